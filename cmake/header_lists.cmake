# Lists of headers made from the folders, so that adding a kernel or a rule is a file and a row and nothing else.
function(softstep_write_header_list output)
  set(text "#pragma once\n")
  foreach(pattern IN LISTS ARGN)
    file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${pattern})
    foreach(header IN LISTS headers)
      string(APPEND text "#include \"${header}\"\n")
    endforeach()
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/${output} CONTENT "${text}" @ONLY)
endfunction()

softstep_write_header_list(core/step_rules/all_rules.h core/step_rules/rules/*.h)

# The kernels' headers as options: their names are then the same in each build folder, where the path of a written list is not,
# and a compiler cache knows the objects of one folder in the next.
file(GLOB SOFTSTEP_INCLUDE_KERNELS CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} simd/kernels/*.h)
list(TRANSFORM SOFTSTEP_INCLUDE_KERNELS PREPEND "SHELL:-include ")
