// What the examples in C++ share: the data, its max-margin direction, the two objectives that a solver can be
// given, and the row that each run prints.

#pragma once

#include <softstep/softstep.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace example {

/// The loss itself, or log(L - L*); each plus penalty/2 |W|^2.
enum class Objective { plain_loss, log_gap };

class Problem {
 public:
  /// argv: the data file, and the weights that `softstep train --out` left.
  explicit Problem(char** argv)
      : data(softstep::load_dataset<double>(argv[1])),
        model(data.view()),
        limit(softstep::solve_max_margin(data.view())),
        trained(softstep::load_weights(argv[2], data.view().dim)),
        space_(model) {}

  std::size_t size() const { return softstep::flat_size(model); }

  /// Value and gradient of the objective at w. False where it has no value: L = L* to the last digit.
  bool evaluate(Objective objective, double penalty, const double* w, double* value, double* gradient) {
    ++evaluations;
    const std::span<const double> at(w, size());
    const std::span<double> out =
        gradient == nullptr ? std::span<double>() : std::span<double>(gradient, size());
    if (objective == Objective::plain_loss) {
      const softstep::PlainLoss loss = softstep::plain_loss(model, at, out, space_);
      underflows = loss.gradient_underflows;
      *value = loss.value;
    } else {
      const softstep::LogGap gap = softstep::log_gap(model, at, out, space_);
      if (gap.status != softstep::LogGapStatus::good) return false;
      *value = gap.value;
    }
    for (std::size_t k = 0; k < at.size(); ++k) {
      *value += 0.5 * penalty * at[k] * at[k];
      if (gradient != nullptr) gradient[k] += penalty * at[k];
    }
    return true;
  }

  /// Weights of a rough direction, 20 normalised steps from zero, so long that the smallest margin is 1000:
  /// e^-1000 is no number.
  std::vector<double> far_out() const {
    auto state = softstep::initial_state<double>(model);
    softstep::train<double>(model, state, {.rules = {softstep::parse_rule("ngd")}, .n_steps = 20});
    std::vector<double> w = state.blocks[0];
    const double margin =
        softstep::normalized_margin(data.view(), model.token_scores(), std::span<const double>(w)) *
        softstep::frobenius_norm(std::span<const double>(w));
    for (double& x : w) x *= 1000.0 / margin;
    return w;
  }

  /// One row of the table.
  void report(const std::string& solver, const std::string& run, const std::vector<double>& w,
              const std::string& ending) const {
    const std::span<const double> at(w);
    std::printf("| %-22s | %-28s | %9d | %.6f | %.1e | %.1e | %s |\n", solver.c_str(), run.c_str(),
                evaluations, softstep::normalized_margin(data.view(), model.token_scores(), at),
                softstep::compare_direction(at, std::span<const double>(limit.weights)).one_minus_cos,
                softstep::compare_direction(at, std::span<const double>(trained)).one_minus_cos,
                ending.c_str());
  }

  softstep::Dataset<double> data;
  softstep::AttentionModel<double> model;
  softstep::MaxMarginResult limit;
  std::vector<double> trained;
  int evaluations = 0;
  bool underflows = false;  ///< at the last evaluation of the plain loss

 private:
  softstep::FlatSpace<double> space_;
};

/// The weights that minimise log(L - L*) + penalty/2 |W|^2 turn to W_mm as the penalty falls, and their norm
/// grows as 1 / penalty. So each solution, ten times as long, is where the next minimisation starts.
/// minimise(penalty, w) is the solver.
template <class Minimise>
std::vector<double> along_the_path(std::vector<double> w, Minimise minimise) {
  constexpr double first = 1.0, last = 1e-6;
  for (double penalty = first; penalty > 0.5 * last; penalty *= 0.1) {
    minimise(penalty, w);
    if (penalty > 5.0 * last)
      for (double& x : w) x *= 10.0;
  }
  return w;
}

}  // namespace example
