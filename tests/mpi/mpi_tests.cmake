# Runs over MPI on 1 to 4 ranks: the library on a communicator, and the program under its launcher. More ranks than this machine has
# processors are no error.
find_package(Python3 3.8 REQUIRED COMPONENTS Interpreter)
softstep_test_program(softstep_mpi_tests mpi/program/main.cpp mpi/program/runs.cpp mpi/program/any_order.cpp mpi/program/max_margin.cpp)
target_link_libraries(softstep_mpi_tests PRIVATE softstep::mpi)

# What the launcher is told besides; Open MPI counts processors, where MPICH does not.
execute_process(COMMAND ${MPIEXEC_EXECUTABLE} --version OUTPUT_VARIABLE version ERROR_VARIABLE version)
set(flags "")
if(version MATCHES "Open MPI|OpenRTE")
  set(flags --oversubscribe)
endif()
set(SOFTSTEP_MPI_LAUNCH_FLAGS "${flags}" CACHE STRING "Options for the launcher of MPI in the tests")
set(mpi_environment OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
    OMP_WAIT_POLICY=passive)

function(softstep_mpi_test name)
  add_test(NAME ${name} COMMAND ${ARGN})
  set_tests_properties(${name} PROPERTIES TIMEOUT 900 LABELS mpi ENVIRONMENT "${mpi_environment}" RUN_SERIAL ON)
endfunction()
foreach(ranks IN ITEMS 1 2 3 4)
  softstep_mpi_test(mpi_library_${ranks} ${MPIEXEC_EXECUTABLE} ${SOFTSTEP_MPI_LAUNCH_FLAGS} ${MPIEXEC_NUMPROC_FLAG} ${ranks}
                    $<TARGET_FILE:softstep_mpi_tests>)
endforeach()
# Wrong answers: a sum in another order, the last bit of a number on one rank; of sums in any order one without a rank, and one that is
# another on one rank.
foreach(plant IN ITEMS order last-bit left-out own-sum)
  softstep_mpi_test(mpi_library_${plant} ${MPIEXEC_EXECUTABLE} ${SOFTSTEP_MPI_LAUNCH_FLAGS} ${MPIEXEC_NUMPROC_FLAG} 3
                    $<TARGET_FILE:softstep_mpi_tests> --plant ${plant})
  set_tests_properties(mpi_library_${plant} PROPERTIES PASS_REGULAR_EXPRESSION "[1-9][0-9]* differ")
endforeach()
# The same in C, by the communicator of the caller; with --plant a bit of an answer is changed.
add_executable(softstep_mpi_c_tests mpi/c/main.c)
target_link_libraries(softstep_mpi_c_tests PRIVATE softstep::mpi OpenMP::OpenMP_CXX m)
target_compile_options(softstep_mpi_c_tests PRIVATE -Wall -Wextra $<$<BOOL:${SOFTSTEP_WERROR}>:-Werror>)
set_target_properties(softstep_mpi_c_tests PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON LINKER_LANGUAGE CXX)
foreach(ranks IN ITEMS 1 2 3 4)
  softstep_mpi_test(mpi_c_${ranks} ${MPIEXEC_EXECUTABLE} ${SOFTSTEP_MPI_LAUNCH_FLAGS} ${MPIEXEC_NUMPROC_FLAG} ${ranks}
                    $<TARGET_FILE:softstep_mpi_c_tests> ${CMAKE_CURRENT_BINARY_DIR}/mpi_c.safetensors)
endforeach()
softstep_mpi_test(mpi_c_plant ${MPIEXEC_EXECUTABLE} ${SOFTSTEP_MPI_LAUNCH_FLAGS} ${MPIEXEC_NUMPROC_FLAG} 3
                  $<TARGET_FILE:softstep_mpi_c_tests> ${CMAKE_CURRENT_BINARY_DIR}/mpi_c_plant.safetensors --plant)
set_tests_properties(mpi_c_plant PROPERTIES PASS_REGULAR_EXPRESSION "[1-9][0-9]* differ")
if(TARGET softstep_program)
  list(JOIN SOFTSTEP_MPI_LAUNCH_FLAGS " " flags)
  set(check ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/check_program.py --program $<TARGET_FILE:softstep_program>
      --launch "${MPIEXEC_EXECUTABLE} ${flags}")
  softstep_mpi_test(mpi_program ${check} --folder ${CMAKE_CURRENT_BINARY_DIR}/mpi_program)
  softstep_mpi_test(mpi_program_broken ${check} --folder ${CMAKE_CURRENT_BINARY_DIR}/mpi_program_broken --broken)
  set_tests_properties(mpi_program_broken PROPERTIES WILL_FAIL ON)
endif()
# The library as others meet it. The wrappers are those of this build's MPI.
find_program(PKG_CONFIG pkg-config)
if(SOFTSTEP_INSTALL AND PKG_CONFIG AND NOT BUILD_SHARED_LIBS)
  string(REGEX REPLACE "mpi(cxx|c\\+\\+|CC)" "mpicc" mpicc "${MPI_CXX_COMPILER}")
  list(JOIN SOFTSTEP_MPI_LAUNCH_FLAGS " " flags)
  softstep_mpi_test(mpi_package ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/../structure/check_mpi_package.py
                    --source ${PROJECT_SOURCE_DIR} --build ${PROJECT_BINARY_DIR} --cmake ${CMAKE_COMMAND} --generator ${CMAKE_GENERATOR}
                    --make-program ${CMAKE_MAKE_PROGRAM} --compiler ${CMAKE_CXX_COMPILER} --mpicc ${mpicc}
                    --mpicxx ${MPI_CXX_COMPILER} --launch "${MPIEXEC_EXECUTABLE} ${flags}")
endif()
