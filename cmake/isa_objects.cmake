# One object file per row of simd/isas.def that fits the target processor: `source` compiled with that row's flags, as
# target `prefix`_<isa>, and made part of each of `targets`; further arguments are options that come last. Always optimised,
# also in debug builds: an inline
# function that is not inlined becomes a weak symbol, and the linker may then keep the copy compiled for a CPU that is
# not there.
#
# The flags of the whole build come first, and may allow more than a row may use (-march=native). So every row begins again
# at what each processor of its family has, and adds its own flags to that. -mno-sse3 takes back what single flags allow, with
# all that builds on it.
#
# Sanitizers stop inlining. So these files are left out of them, unless SOFTSTEP_SANITIZE_KERNELS names some, for a build whose only
# purpose they are. Then a function of the C++ library may come out of several of these files; the linker keeps the first, and the
# rows stand in the order of their instruction sets, the oldest first. Each check of UBSan is one more branch at each element: the
# kernels compile in a minute with those below, and not in ten with all of them. What is left out are null pointers and alignment,
# which the processor itself finds out. Clang makes each check of an address a call, which halves its time. Rows that
# SOFTSTEP_EXPECT_ISAS does not name are not run, and so not sanitized either.
set(SOFTSTEP_SANITIZE_KERNELS "" CACHE STRING "Sanitizers for the kernels: address, thread; empty: none")
if(SOFTSTEP_SANITIZE_KERNELS STREQUAL "address")
  set(softstep_kernel_flags -fsanitize=address,signed-integer-overflow,shift,bounds,float-cast-overflow
      -fno-sanitize-recover=all -fno-omit-frame-pointer -O1 -g1)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    list(APPEND softstep_kernel_flags -fsanitize-address-outline-instrumentation)
  endif()
elseif(SOFTSTEP_SANITIZE_KERNELS STREQUAL "thread")
  set(softstep_kernel_flags -fsanitize=thread -O1 -g1)
elseif(SOFTSTEP_SANITIZE_KERNELS)
  message(FATAL_ERROR "SOFTSTEP_SANITIZE_KERNELS: ${SOFTSTEP_SANITIZE_KERNELS} (need address, thread, or nothing)")
elseif(CMAKE_CXX_FLAGS MATCHES "--coverage")
  set(softstep_kernel_flags -O1)  # counters in optimised kernels take long to compile, and count the same lines
else()
  set(softstep_kernel_flags)
endif()
if(softstep_kernel_flags AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND softstep_kernel_flags -Wno-pass-failed)  # loops that are not unrolled now
endif()

# Into `targets`; <prefix>_objects is the list of their names.
function(softstep_add_isa_objects targets prefix source)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    set(family x86)
    set(baseline -march=x86-64 -mno-sse3)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
    set(family arm)
    set(baseline)
  else()
    set(family none)
    set(baseline)
  endif()
  set(objects)
  set(isas ${PROJECT_SOURCE_DIR}/simd/isas.def)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${isas})
  file(STRINGS ${isas} rows REGEX "^SOFTSTEP_ISA\\(")
  foreach(row IN LISTS rows)
    # SOFTSTEP_ISA(name, family, arch, condition, "flags")
    string(REGEX MATCH "^SOFTSTEP_ISA\\(([a-z0-9]+), *([a-z0-9]+), *(.*), *([^,]+), *\"([^\"]*)\"\\)" _ "${row}")
    if(NOT CMAKE_MATCH_0)
      message(FATAL_ERROR "simd/isas.def: cannot read the row: ${row}")
    endif()
    set(name ${CMAKE_MATCH_1})
    set(arch "${CMAKE_MATCH_3}")
    separate_arguments(flags UNIX_COMMAND "${CMAKE_MATCH_5}")
    if(NOT CMAKE_MATCH_2 STREQUAL "any" AND NOT CMAKE_MATCH_2 STREQUAL family)
      continue()
    endif()
    set(sanitized ${softstep_kernel_flags})
    if(SOFTSTEP_SANITIZE_KERNELS AND SOFTSTEP_EXPECT_ISAS AND NOT name IN_LIST SOFTSTEP_EXPECT_ISAS)
      set(sanitized)
    endif()
    set(object ${prefix}_${name})
    list(APPEND objects ${object})
    add_library(${object} OBJECT ${source})
    softstep_compile_options(${object})
    # GCC 12 takes the undefined registers inside its own AVX-512 intrinsics for uninitialised variables.
    # Some compilers add canaries unasked.
    target_compile_options(${object} PRIVATE -O3 -fno-sanitize=all -fno-stack-protector -fno-exceptions -fno-math-errno
                           -fno-trapping-math
                           $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-uninitialized> ${baseline} ${flags}
                           ${sanitized} ${ARGN})
    target_compile_definitions(${object} PRIVATE SOFTSTEP_ISA_NAME=${name}
                               "SOFTSTEP_ISA_ROW=\"simd/rows/${name}.h\"" "SOFTSTEP_ISA_ARCH=${arch}" NDEBUG)
    target_compile_features(${object} PRIVATE cxx_std_20)
    target_include_directories(${object} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/core/include)
    if(NOT arch STREQUAL "void")
      target_link_libraries(${object} PRIVATE xsimd)
    endif()
    set_target_properties(${object} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                               VISIBILITY_INLINES_HIDDEN ON)
    foreach(target IN LISTS targets)
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${object}>)
    endforeach()
  endforeach()
  set(${prefix}_objects ${objects} PARENT_SCOPE)
endfunction()
