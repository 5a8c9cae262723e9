#include <benchmark/benchmark.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "commit.h"
#include "limits/limits.h"
#include "softstep/isa.h"
#include "softstep/version.h"
#include "support.h"

namespace {

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

void add_context() {
  using benchmark::AddCustomContext;
  AddCustomContext("softstep", softstep::version);
  AddCustomContext("commit", SOFTSTEP_COMMIT);
  AddCustomContext("cpu", cpu_model());
  std::string runnable;
  for (const softstep::simd::Isa* isa : softstep::bench::runnable_isas())
    runnable += (runnable.empty() ? "" : " ") + std::string(isa->name);
  AddCustomContext("isas_runnable", runnable);
  AddCustomContext("isa_active", softstep::active_isa());
#if defined(__clang__)
  AddCustomContext("compiler", "clang " __clang_version__);
#elif defined(__GNUC__)
  AddCustomContext("compiler", "gcc " __VERSION__);
#endif
  AddCustomContext("flags", SOFTSTEP_FLAGS);
  AddCustomContext("threads", std::to_string(softstep::bench::all_threads()));
  for (const auto& [key, value] : softstep::bench::limits_as_text()) AddCustomContext(key, value);
}

}  // namespace

// Like the library's own main, with defaults that give figures to be compared, what they depend on in the
// context, and a failure if a result was wrong.
int main(int argc, char** argv) {
  std::vector<std::string> arguments = {
      argv[0], "--benchmark_repetitions=9", "--benchmark_enable_random_interleaving=true",
      "--benchmark_display_aggregates_only=true", "--benchmark_min_time=0.05"};
  bool only_list = false;
  for (int k = 1; k < argc; ++k) {
    arguments.emplace_back(argv[k]);  // the later of two wins
    only_list = only_list || std::strncmp(argv[k], "--benchmark_list_tests", 22) == 0 ||
                std::strcmp(argv[k], "--help") == 0;
  }
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;
  if (!only_list) add_context();
  const std::size_t n_matched = benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (n_matched == 0) return 2;  // Google Benchmark has said that nothing matches
  return softstep::bench::any_wrong() ? 1 : 0;
}
