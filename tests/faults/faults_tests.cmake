# SIGKILL at random moments, few of them here; the whole number has its own command (docs/reliability.md).
find_package(Python3 3.8 REQUIRED COMPONENTS Interpreter)

set(kills ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/kill_runs.py --program $<TARGET_FILE:softstep_program>)
add_test(NAME faults_kills COMMAND ${kills} --tries 8)
add_test(NAME faults_kills_self_test COMMAND ${kills} --failing-calls $<TARGET_FILE:softstep_failing_calls> --self-test)
set_tests_properties(faults_kills faults_kills_self_test PROPERTIES TIMEOUT 900 ENVIRONMENT "OMP_WAIT_POLICY=passive")
