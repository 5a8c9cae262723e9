# tools/datasets: each tests/datasets/test_*.py on its own, with the program that has to accept what they write. They need
# NumPy, scikit-learn and Pillow (tools/setup); without them they fail.
find_package(Python3 3.8 REQUIRED COMPONENTS Interpreter)

file(GLOB dataset_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/test_*.py)
foreach(script IN LISTS dataset_tests)
  get_filename_component(name ${script} NAME_WE)
  string(REGEX REPLACE "^test_" "datasets_" name ${name})
  add_test(NAME ${name} COMMAND ${Python3_EXECUTABLE} -B ${script})
  set_tests_properties(${name} PROPERTIES LABELS datasets TIMEOUT 900
                       ENVIRONMENT "SOFTSTEP_PROGRAM=$<TARGET_FILE:softstep_program>;OPENBLAS_NUM_THREADS=1")
endforeach()
