// Someone else's program: makes data, trains, solves, and prints how close the two directions are. Includes
// nothing but the installed headers.

#include <softstep/softstep.h>

#include <cstdio>
#include <string>

int main() {
  const std::string built = std::to_string(SOFTSTEP_VERSION_MAJOR) + "." +
                            std::to_string(SOFTSTEP_VERSION_MINOR) + "." +
                            std::to_string(SOFTSTEP_VERSION_PATCH);
  if (built != softstep::version) return std::printf("version.h contradicts itself: %s\n", built.c_str()), 1;

  softstep::GeneratorOptions options;
  options.n_samples = 4;
  options.n_tokens = 3;
  options.dim = 20;
  const auto data = softstep::generate(options);
  const auto solution = softstep::solve_max_margin(data.view());

  softstep::AttentionModel<double> model(data.view());
  auto state = softstep::initial_state(model);
  softstep::TrainerOptions training;
  training.rules = {softstep::parse_rule("ngd:step-size=1")};
  training.n_steps = 300;
  training.references = {solution.weights};
  const auto summary = softstep::train(model, state, training);
  std::printf("%s: %s after %lld steps, 1 - cos = %.3g\n", softstep::active_isa().c_str(),
              softstep::to_string(summary.status), static_cast<long long>(summary.steps),
              summary.last.one_minus_cos);
  if (!(summary.last.one_minus_cos < 1e-2)) return 1;

  try {  // an exception crosses the library's boundary
    softstep::parse_rule("no-such-rule");
  } catch (const softstep::InvalidArgument&) {
    return 0;
  }
  return std::puts("an unknown rule was accepted"), 1;
}
