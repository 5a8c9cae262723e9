// The whole objective's gradient, direction and length, against the scalar reference in long double at
// weights small and large. The bound of each row is derived for its own data (core/reference/error_bounds.h).

#include <cmath>
#include <cstdio>

#include "core/reference/error_bounds.h"
#include "core/reference/objective.h"
#include "core/self_check/self_check_parts.h"
#include "softstep/attention_model.h"

namespace softstep::self_check_parts {
namespace {

using Number = long double;

struct GradientError {
  double direction, exponent;
  reference::GradientBound bound;
};

template <class T>
GradientError gradient_error(AttentionModel<T>& model, const std::vector<T>& weights, reference::Loss loss) {
  Evaluation<T> out;
  model.evaluate(std::span<const T>(weights), out, want_gradient);
  const BlockGradient<T>& gradient = out.gradients[0];
  const Number log_norm = Number(gradient.exponent) + std::log(Number(gradient.norm));
  const auto problem = reference::problem_of<Number>(model.batch());
  const auto values = reference::evaluate(problem, weights.data(), loss, log_norm);
  const std::vector<Number> exact = reference::gradient(problem, values);
  Number squared = 0, computed_squared = 0, difference_squared = 0;
  for (const Number g : exact) squared += g * g;
  for (const T g : gradient.values) computed_squared += Number(g) * Number(g);
  const Number norm = std::sqrt(squared), computed_norm = std::sqrt(computed_squared);
  for (std::size_t k = 0; k < exact.size(); ++k) {
    const Number difference = gradient.values[k] / computed_norm - exact[k] / norm;
    difference_squared += difference * difference;
  }
  return {static_cast<double>(std::sqrt(difference_squared)), static_cast<double>(std::fabs(std::log(norm))),
          reference::gradient_bound(problem, values, weights.data(), norm, unit_roundoff<T>)};
}

}  // namespace

template <class T>
void check_gradients(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  constexpr std::size_t n = 4, n_tokens = 6, d = 19;
  Stream stream(7);
  const std::vector<T> tokens = stream.numbers<T>(n * n_tokens * d), decoder = stream.numbers<T>(d);
  const std::vector<std::int8_t> labels = {1, -1, 1, -1};
  BatchView<T> batch;
  batch.tokens = tokens.data();
  batch.n_samples = n;
  batch.n_tokens = n_tokens;
  batch.dim = d;
  batch.labels = labels.data();
  batch.decoder = decoder.data();
  AttentionOptions options;
  options.isa = isa.name;
  AttentionModel<T> model(batch, options);
  // Random weights saturate at whatever token; those of the second kind, sum_i (x_opt - mean x) z^T, at the
  // optimal one.
  const std::vector<double> random = stream.numbers<double>(d * d);
  std::vector<double> optimal(d * d, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t r = 0; r < d; ++r) {
      double mean = 0.0;
      for (std::size_t t = 0; t < n_tokens; ++t)
        mean += static_cast<double>(batch.sample(i)[t * d + r]) / n_tokens;
      const double best = static_cast<double>(batch.sample(i)[model.token_scores().optimal[i] * d + r]);
      for (std::size_t c = 0; c < d; ++c)
        optimal[r * d + c] += (best - mean) * static_cast<double>(batch.query(i)[c]);
    }
  for (const bool at_optimal : {true, false})
    for (const double norm : {1e0, 1e2, 1e4, 1e6}) {
      const std::vector<double>& direction = at_optimal ? optimal : random;
      double length = 0.0;
      for (const double x : direction) length = std::hypot(length, x);
      std::vector<T> weights;
      for (const double x : direction) weights.push_back(static_cast<T>(x / length * norm));
      const GradientError error = gradient_error(model, weights, reference::Loss::logistic);
      char where[64];
      std::snprintf(where, sizeof where, ", |W| = 1e%d, %s token",
                    static_cast<int>(std::lround(std::log10(norm))), at_optimal ? "optimal" : "any");
      add_row<T>(rows, isa, std::string("gradient direction") + where, error.direction,
                 error.bound.direction);
      add_row<T>(rows, isa, std::string("gradient exponent") + where, error.exponent, error.bound.exponent);
    }
}

template void check_gradients<float>(const simd::Isa&, std::vector<CheckRow>&);
template void check_gradients<double>(const simd::Isa&, std::vector<CheckRow>&);

}  // namespace softstep::self_check_parts
