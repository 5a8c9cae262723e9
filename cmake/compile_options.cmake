# Options of our own code. No fast-math anywhere; contraction off so that every compiler and platform rounds alike
# (fused multiply-adds are written where they are wanted).
function(softstep_compile_options target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                         -ffp-contract=off)
  # GCC 12 warns of overlaps inside its own std::string (GCC bug 105651).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-restrict)
  endif()
  # Sanitized, GCC takes the insides of std::regex for uninitialised (GCC bug 105562).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_FLAGS MATCHES "-fsanitize")
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
  endif()
  if(SOFTSTEP_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()

# A project that embeds softstep and names no build type gets an optimised library all the same; one that names a type or its own
# -O gets that.
function(softstep_optimise target)
  if(NOT CMAKE_CXX_FLAGS MATCHES "(^| )-O")
    target_compile_options(${target} PRIVATE $<$<CONFIG:>:-O3>)
    target_compile_definitions(${target} PRIVATE $<$<CONFIG:>:NDEBUG>)
  endif()
endfunction()
