#include <benchmark/benchmark.h>

#include <Eigen/Core>

#include "softstep/isa.h"
#include "softstep/version.h"
#include "support.h"

// Like the library's own main, with what the figures depend on in the context, and a failure if a result was
// wrong.
int main(int argc, char** argv) {
  benchmark::AddCustomContext("softstep", softstep::version);
  std::string runnable;
  for (const softstep::simd::Isa* isa : softstep::bench::runnable_isas())
    runnable += (runnable.empty() ? "" : " ") + std::string(isa->name);
  benchmark::AddCustomContext("isas_runnable", runnable);
  benchmark::AddCustomContext("isa_active", softstep::active_isa());
#if defined(__clang__)
  benchmark::AddCustomContext("compiler", "clang " __clang_version__);
#elif defined(__GNUC__)
  benchmark::AddCustomContext("compiler", "gcc " __VERSION__);
#endif
  Eigen::setNbThreads(1);  // the kernels beside it run on one thread
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return softstep::bench::any_wrong() ? 1 : 0;
}
