# What the compiler does not check: rooms, symbols, rows, links, packages. Each script proves with --self-test, on a violation
# planted in a copy, that it can fail.
find_package(Python3 3.8 REQUIRED COMPONENTS Interpreter)

set(python ${Python3_EXECUTABLE} -B)
set(here ${CMAKE_CURRENT_LIST_DIR})

function(softstep_structure_test name)
  add_test(NAME structure_${name} COMMAND ${ARGN})
  set_tests_properties(structure_${name} PROPERTIES LABELS structure TIMEOUT 900)
endfunction()

foreach(script IN ITEMS check_includes check_rows check_portable check_isa_macros check_links check_rooms check_faults)
  softstep_structure_test(${script} ${python} ${here}/${script}.py ${PROJECT_SOURCE_DIR})
  softstep_structure_test(${script}_self_test ${python} ${here}/${script}.py ${PROJECT_SOURCE_DIR} --self-test)
endforeach()

# The benchmarks print no figure for a wrong result, and the guard of instruction counts can fail.
if(TARGET softstep_benchmarks_selftest)
  softstep_structure_test(benchmarks_refuse_wrong_results softstep_benchmarks_selftest)
endif()
if(TARGET softstep_benchmarks)
  softstep_structure_test(check_benchmark_groups ${python} ${here}/check_benchmark_groups.py ${PROJECT_SOURCE_DIR}
                          --program $<TARGET_FILE:softstep_benchmarks>)
endif()
softstep_structure_test(instruction_counts_self_test ${python}
                        ${PROJECT_SOURCE_DIR}/benchmarks/instruction_counts/check.py --self-test)

# The comparison with peers keeps what it measured, and takes no NaN for an answer.
softstep_structure_test(check_peers ${python} ${here}/check_peers.py ${PROJECT_SOURCE_DIR})

# The table of coverage by room counts what it says.
softstep_structure_test(coverage_rooms_self_test ${python} ${PROJECT_SOURCE_DIR}/tools/coverage_rooms.py --self-test)

# Symbols are judged in an optimised build, which is what is installed.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(isa_objects)
  file(STRINGS ${PROJECT_SOURCE_DIR}/simd/isas.def rows REGEX "^SOFTSTEP_ISA\\(")
  foreach(row IN LISTS rows)
    string(REGEX REPLACE "^SOFTSTEP_ISA\\(([a-z0-9]+).*" "\\1" isa "${row}")
    if(TARGET softstep_isa_${isa})
      list(APPEND isa_objects --isa-object ${isa}=$<TARGET_OBJECTS:softstep_isa_${isa}>)
    endif()
  endforeach()
  softstep_structure_test(check_instructions ${python} ${here}/check_instructions.py --objdump ${CMAKE_OBJDUMP} ${isa_objects})
  softstep_structure_test(check_instructions_self_test ${python} ${here}/check_instructions.py --objdump ${CMAKE_OBJDUMP}
                          --compiler ${CMAKE_CXX_COMPILER} --self-test)
  softstep_structure_test(check_symbols ${python} ${here}/check_symbols.py ${PROJECT_SOURCE_DIR} --nm ${CMAKE_NM}
                          --library $<TARGET_FILE:softstep> ${isa_objects})
  softstep_structure_test(check_symbols_self_test ${python} ${here}/check_symbols.py ${PROJECT_SOURCE_DIR}
                          --nm ${CMAKE_NM} --compiler ${CMAKE_CXX_COMPILER} --self-test)
  # The shared library is read where it is made: check_package.py.
  if(SOFTSTEP_HARDEN AND TARGET softstep_program)
    softstep_structure_test(check_hardening ${python} ${here}/check_hardening.py
                            --program $<TARGET_FILE:softstep_program> ${isa_objects})
    softstep_structure_test(check_hardening_self_test ${python} ${here}/check_hardening.py --compiler ${CMAKE_CXX_COMPILER}
                            --self-test)
  endif()
endif()

softstep_structure_test(check_exports_self_test ${python} ${here}/check_exports.py ${PROJECT_SOURCE_DIR} --nm ${CMAKE_NM}
                        --compiler ${CMAKE_CXX_COMPILER} --self-test)

# Manual page and completions say what the program's help says.
if(TARGET softstep_program)
  set(packaging ${PROJECT_SOURCE_DIR}/packaging)
  foreach(script IN ITEMS manual check_completions)
    softstep_structure_test(${script} ${python} ${packaging}/${script}.py --program $<TARGET_FILE:softstep_program> --check)
    softstep_structure_test(${script}_self_test ${python} ${packaging}/${script}.py --program $<TARGET_FILE:softstep_program>
                            --self-test)
  endforeach()
endif()

# A lane without a test is red, and a release is whole.
softstep_structure_test(check_scripts ${python} ${here}/check_scripts.py ${PROJECT_SOURCE_DIR})

# The library as others meet it: installed, shared and embedded.
if(SOFTSTEP_INSTALL)
  foreach(way IN ITEMS installed shared embedded)
    softstep_structure_test(package_${way} ${python} ${here}/check_package.py ${way} --source ${PROJECT_SOURCE_DIR}
                            --build ${PROJECT_BINARY_DIR} --cmake ${CMAKE_COMMAND} --generator ${CMAKE_GENERATOR}
                            --make-program ${CMAKE_MAKE_PROGRAM} --compiler ${CMAKE_CXX_COMPILER}
                            --nm ${CMAKE_NM} "--launcher=${CMAKE_CXX_COMPILER_LAUNCHER}"
                            "--build-type=${CMAKE_BUILD_TYPE}" "--cxx-flags=${CMAKE_CXX_FLAGS}")
  endforeach()
endif()
