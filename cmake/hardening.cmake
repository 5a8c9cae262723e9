# What makes a mistake in our own code harder to use against whoever runs it: a canary behind arrays on the stack, checked copies,
# addresses that differ from run to run, and tables of the linker that nothing can write to once the program has started.
# tests/structure/check_hardening.py reads the files that come out. The objects of simd/ for one instruction set are not given these
# options: a kernel has nothing that comes from outside but numbers, and a canary costs it time.
include(CheckCXXCompilerFlag)
include(CheckLinkerFlag)
include(CheckPIESupported)

option(SOFTSTEP_HARDEN "Canaries, checked copies, read-only tables of the linker, an executable at no fixed address" ON)

# Executables need -pie besides -fPIE, which CMake only adds once it was asked for.
check_pie_supported(LANGUAGES CXX)

# The options that compile `target`. Sanitizers check more than _FORTIFY_SOURCE does, and stand in its way; it also needs an
# optimised build, and leaves alone what the flags of the whole build ask for.
function(softstep_harden_compilation target)
  if(NOT SOFTSTEP_HARDEN)
    return()
  endif()
  foreach(flag IN ITEMS -fstack-protector-strong -fstack-clash-protection)
    string(MAKE_C_IDENTIFIER "SOFTSTEP_HAS${flag}" has)
    check_cxx_compiler_flag(${flag} ${has})
    if(${has})
      target_compile_options(${target} PRIVATE ${flag})
    endif()
  endforeach()
  if(CMAKE_CXX_FLAGS MATCHES "-fsanitize|_FORTIFY_SOURCE")
    return()
  endif()
  set(optimised $<CONFIG:Release,RelWithDebInfo,MinSizeRel>)
  if(NOT CMAKE_CXX_FLAGS MATCHES "(^| )-O")
    set(optimised $<OR:${optimised},$<CONFIG:>>)  # as softstep_optimise has it
  endif()
  # Some distributions define it inside the compiler.
  target_compile_options(${target} PRIVATE $<${optimised}:-U_FORTIFY_SOURCE> $<${optimised}:-D_FORTIFY_SOURCE=2>)
endfunction()

# The options that link `target`: an executable, or a library that is loaded.
function(softstep_harden_link target)
  if(NOT SOFTSTEP_HARDEN)
    return()
  endif()
  foreach(keyword IN ITEMS relro now noexecstack)
    check_linker_flag(CXX -Wl,-z,${keyword} SOFTSTEP_LINKS_${keyword})
    if(SOFTSTEP_LINKS_${keyword})
      target_link_options(${target} PRIVATE -Wl,-z,${keyword})
    endif()
  endforeach()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endif()
endfunction()
