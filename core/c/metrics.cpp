#include "softstep/metrics.h"

#include <algorithm>

#include "core/c/arrays.h"
#include "core/c/handles.h"
#include "softstep/max_margin.h"

namespace softstep::c {
namespace {

// dim x dim weights of a batch.
template <class T>
std::span<const double> weights_of(const BatchView<T>& batch, const double* weights) {
  return numbers(weights, batch.dim * batch.dim, "weights");
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_compare_direction(const double* a, const double* b, size_t size,
                                           double* one_minus_cos, double* angle) {
  return guarded([&] {
    const Direction found = compare_direction(numbers(a, size, "a"), numbers(b, size, "b"));
    if (one_minus_cos != nullptr) *one_minus_cos = found.one_minus_cos;
    if (angle != nullptr) *angle = found.angle;
  });
}

softstep_status softstep_matrix_norm(const double* a, size_t n_rows, size_t n_cols, const char* norm,
                                     double p, double* value) {
  return guarded([&] {
    required(value, "value");
    *value = matrix_norm(numbers(a, product(n_rows, n_cols), "a"), n_rows, n_cols,
                         parse_matrix_norm(required(norm, "norm")), p);
  });
}

softstep_status softstep_singular_values(const double* a, size_t n_rows, size_t n_cols, double* values,
                                         size_t n) {
  return guarded([&] {
    required(values, "values");
    if (n != std::min(n_rows, n_cols))
      throw InvalidArgument(
          "n", std::to_string(n) + " (the matrix has " + std::to_string(std::min(n_rows, n_cols)) + ")");
    const std::vector<double> found =
        singular_values(numbers(a, product(n_rows, n_cols), "a"), n_rows, n_cols);
    std::copy(found.begin(), found.end(), values);
  });
}

softstep_status softstep_normalized_margin(const softstep_batch* batch, const double* weights,
                                           double* margin) {
  return guarded([&] {
    required(margin, "margin");
    *margin = with_plain_batch(batch, [&](const auto& view) {
      return normalized_margin(view, score_tokens(view), weights_of(view, weights));
    });
  });
}

softstep_status softstep_margin_in_norm(const softstep_batch* batch, const double* weights, const char* norm,
                                        double p, double* margin) {
  return guarded([&] {
    required(margin, "margin");
    const MatrixNorm in = parse_matrix_norm(required(norm, "norm"));
    *margin = with_plain_batch(batch, [&](const auto& view) {
      return margin_in_norm(view, score_tokens(view), weights_of(view, weights), in, p);
    });
  });
}

softstep_status softstep_selected_tokens(const softstep_batch* batch, const double* weights, size_t* selected,
                                         size_t n) {
  return guarded([&] {
    required(selected, "selected");
    const std::vector<std::size_t> found = with_plain_batch(
        batch, [&](const auto& view) { return selected_tokens(view, weights_of(view, weights)); });
    if (n != found.size())
      throw InvalidArgument(
          "n", std::to_string(n) + " (the batch has " + std::to_string(found.size()) + " queries)");
    std::copy(found.begin(), found.end(), selected);
  });
}

softstep_status softstep_attention_sparsity(const softstep_batch* batch, const double* weights, double level,
                                            softstep_sparsity* sparsity) {
  return guarded([&] {
    check_writable(required(sparsity, "sparsity"), "sparsity");
    const AttentionSparsity found = with_plain_batch(batch, [&](const auto& view) {
      return attention_sparsity(view, weights_of(view, weights), level == 0.0 ? 1e-3 : level);
    });
    softstep_sparsity out{};
    out.mean_entropy = found.mean_entropy;
    out.mean_effective_tokens = found.mean_effective_tokens;
    out.fraction_below = found.fraction_below;
    write(out, sparsity, "sparsity");
  });
}
}
