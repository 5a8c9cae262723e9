# SIGKILL at random moments, few of them here; the whole number has its own command (docs/reliability.md). And what becomes of the runs that
# a command has kept.
find_package(Python3 3.8 REQUIRED COMPONENTS Interpreter)

foreach(name IN ITEMS kill_runs kept_runs)
  set(${name} ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/${name}.py --program $<TARGET_FILE:softstep_program>)
endforeach()
set(torn --failing-calls $<TARGET_FILE:softstep_failing_calls> --self-test)
add_test(NAME faults_kills COMMAND ${kill_runs} --tries 14)
add_test(NAME faults_kills_of_train_self_test COMMAND ${kill_runs} ${torn} --only train)
add_test(NAME faults_kills_of_compare_self_test COMMAND ${kill_runs} ${torn} --only compare)
add_test(NAME faults_kept_runs COMMAND ${kept_runs})
add_test(NAME faults_kept_runs_self_test COMMAND ${kept_runs} --self-test)
set_tests_properties(faults_kills faults_kills_of_train_self_test faults_kills_of_compare_self_test faults_kept_runs
                     faults_kept_runs_self_test PROPERTIES TIMEOUT 900 ENVIRONMENT "OMP_WAIT_POLICY=passive")
