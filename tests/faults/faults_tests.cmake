# SIGKILL at random moments, few of them here; the whole number has its own command (docs/reliability.md). And what becomes of the runs that
# a command has kept.
find_package(Python3 3.8 REQUIRED COMPONENTS Interpreter)

foreach(name IN ITEMS kill_runs kept_runs)
  set(${name} ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/${name}.py --program $<TARGET_FILE:softstep_program>)
endforeach()
set(torn --failing-calls $<TARGET_FILE:softstep_failing_calls> --self-test)
add_test(NAME faults_kills COMMAND ${kill_runs} --tries 16)
add_test(NAME faults_kills_of_train_self_test COMMAND ${kill_runs} ${torn} --only train)
add_test(NAME faults_kills_of_compare_self_test COMMAND ${kill_runs} ${torn} --only compare)
add_test(NAME faults_kept_runs COMMAND ${kept_runs})
add_test(NAME faults_kept_runs_self_test COMMAND ${kept_runs} --self-test)
set_tests_properties(faults_kills faults_kills_of_train_self_test faults_kills_of_compare_self_test faults_kept_runs
                     faults_kept_runs_self_test PROPERTIES TIMEOUT 900 ENVIRONMENT "OMP_WAIT_POLICY=passive")

# Data larger than the memory that the run may have: a small version of what the command in docs/reliability.md does.
set(large_data ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/large_data.py --program $<TARGET_FILE:softstep_program>
    --size 200M --memory 128M --shards 4 --steps 1 --folder ${CMAKE_CURRENT_BINARY_DIR})
add_test(NAME faults_large_data COMMAND ${large_data} --threads 2)
add_test(NAME faults_large_data_self_test COMMAND ${large_data} --self-test)
set_tests_properties(faults_large_data faults_large_data_self_test PROPERTIES TIMEOUT 900)

# One allocation of a run fails: few of them here; all of them have their own command (docs/reliability.md).
set(out_of_memory ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/out_of_memory.py --program $<TARGET_FILE:softstep_program>
    --library $<TARGET_FILE:softstep_failing_new>)
add_test(NAME faults_out_of_memory COMMAND ${out_of_memory} --most 40)
add_test(NAME faults_out_of_memory_self_test COMMAND ${out_of_memory} --self-test)
set_tests_properties(faults_out_of_memory faults_out_of_memory_self_test PROPERTIES TIMEOUT 900)
