// Which form and which layout are the cheapest: a model of the time of a step in nanoseconds, from what
// bounds its parts, arithmetic or memory traffic, and what a step costs besides. Only ratios matter. The
// constants were fitted to measured steps on one thread (benchmarks/, step/ngd on the grid of shapes), where
// the choice is compared with the best of the three.

#include <algorithm>
#include <cstddef>
#include <limits>

#include "core/trainer/forms/choose_form.h"

namespace softstep {
namespace {

// Bytes that stay near the cores, and how many a nanosecond brings from there and from beyond.
constexpr double cache_bytes = 8e6, cache_speed = 100.0, memory_speed = 30.0;
constexpr double most_gram_bytes = 5e8;  // larger Gram matrices are not worth their memory

double traffic(double bytes) { return bytes / (bytes <= cache_bytes ? cache_speed : memory_speed); }

// Flops a nanosecond in float32; half as many in float64. Of the Gram matrix of tokens times one vector, of
// the two passes over the tokens (softmax included), and of products of matrices.
constexpr double vector_speed = 32.0, attention_speed = 44.0, product_speed = 103.0;
// Calls, loop heads and the row factors of a step; in the token span also by sample.
constexpr double step_cost = 350.0, token_step_cost = 250.0, sample_cost = 55.0;

template <class T>
double time_of(double flops, double speed) {
  return flops / (sizeof(T) == 4 ? speed : 0.5 * speed);
}

struct FormTimes {
  double dense, query, token;
};

template <class T>
FormTimes times_of_step(const AttentionData<T>& data) {
  const BatchView<T>& batch = data.batch;
  const auto samples = static_cast<double>(data.n_rows()), d = static_cast<double>(batch.dim);
  const auto tokens = static_cast<double>(data.total_tokens);
  // Set-up is paid once. Not the number asked for: a run in parts must take the same form as one in a whole.
  constexpr double steps = 1000.0;
  constexpr double width = sizeof(T);
  // With the sample index last, padding is work too.
  const double n =
      fits_lanes(data) ? static_cast<double>(simd::round_up_to_lanes<T>(batch.n_samples)) : samples;
  const double pass =
      step_cost + std::max(time_of<T>(2.0 * data.attention_work * n / samples, attention_speed),
                           traffic(tokens * d * width));
  // Weights and gradient are each gone through three times beside the products.
  const double dense = pass + time_of<T>(4.0 * n * d * d, product_speed) + traffic(6.0 * d * d * width);
  const double query = pass + time_of<T>(2.0 * n * samples * d, product_speed) +
                       traffic(6.0 * n * d * width) +
                       time_of<T>(2.0 * samples * d * (samples + d), product_speed) / steps;
  const double gram = tokens * tokens * width;
  const double token =
      token_step_cost + sample_cost * samples +
      std::max(time_of<T>(2.0 * tokens * tokens, vector_speed), traffic(gram)) +
      (time_of<T>(2.0 * tokens * tokens * d + 2.0 * samples * d * d, product_speed) + traffic(2.0 * gram)) /
          steps;
  const bool may_take_tokens =
      data.storage() == StoredType::working && gram <= most_gram_bytes && data.query_rows.are_samples();
  return {dense, query, may_take_tokens ? token : std::numeric_limits<double>::infinity()};
}

}  // namespace

template <class T>
Form cheapest_form(const AttentionData<T>& data) {
  if (data.ranks != nullptr) return Form::dense;
  const FormTimes times = times_of_step(data);
  if (times.token < times.query && times.token < times.dense) return Form::token_span;
  return times.query < times.dense ? Form::query_span : Form::dense;
}

template <class T>
bool fits_lanes(const AttentionData<T>& data) {
  const BatchView<T>& batch = data.batch;
  if (data.storage() != StoredType::working || !data.query_rows.are_samples()) return false;
  if (data.ranks != nullptr) return false;  // its sums are not chains over the samples
  // A copy of the tokens that is no burden, and a line of samples that is not read twice from far away.
  // Measured on one thread, 96 and 32 samples, T d from 256 to 2048: in vectors of a cache line lanes
  // gain 2.0 to 1.0 times up to 2000 in float32 and 1200 in float64, and lose up to 1.2 beyond; in shorter
  // ones, which read a line in pieces, they gain 1.6 to 1.0 times at 256 but lose up to 1.2 at 1000.
  constexpr std::size_t multiple = simd::lane_multiple<T>, most_copied = 64 << 20;
  constexpr std::size_t most_in_line = sizeof(T) == sizeof(float) ? 1900 : 1200;
  const std::size_t most_in_lane = data.kernels.vector_width == multiple ? most_in_line : 512;
  const std::size_t lanes = simd::round_up_to_lanes<T>(batch.n_samples);
  // Padding is work too, where it is more than a few vectors.
  return data.longest * batch.dim <= most_in_lane &&
         data.longest * batch.dim * lanes * sizeof(T) <= most_copied &&
         (data.longest * lanes <= 2 * data.total_tokens || lanes == multiple);
}

// 2 n^2 d flops, n the queries, against four passes over d^2 numbers. Measured with AVX-512 on one thread, 16
// to 256 samples in 200 to 2048 dimensions: from d = 12 n on 10 to 18 % of a step are gained, or nothing
// within 1 %; at d = 4 n up to 18 % are lost.
template <class T>
bool pays_without_gradient(const AttentionData<T>& data) {
  return data.ranks == nullptr && 12 * data.n_rows() <= data.batch.dim;
}

// A run in a lane does the work of the query span at the speed of whole vectors, as long as the data of all
// lanes stay in the second cache.
template <class T>
bool pays_side_by_side(const AttentionData<T>& data) {
  constexpr double lane_speed = 90.0, lane_cost = 60.0, softmax_flops = 80.0, most_bytes = 1e6;
  const auto n = static_cast<double>(data.batch.n_samples), d = static_cast<double>(data.batch.dim);
  const auto n_tokens = static_cast<double>(data.longest);
  const double bytes =
      static_cast<double>(data.kernels.vector_width * sizeof(T)) * n * (n_tokens * d + 4.0 * d + n);
  if (bytes > most_bytes) return false;
  const double flops =
      2.0 * n * n * d + (4.0 * n_tokens + 6.0) * n * d + softmax_flops * n * (n_tokens + 3.0);
  const FormTimes times = times_of_step(data);
  return lane_cost + time_of<T>(flops, lane_speed) < std::min({times.dense, times.query, times.token});
}

// Weights, gradient and what a rule remembers of all lanes are gone through in every step, from the second
// cache or the third.
template <class T>
bool pays_side_by_side_dense(const AttentionData<T>& data) {
  constexpr double most_bytes = 8e6;
  const auto n = static_cast<double>(data.batch.n_samples), d = static_cast<double>(data.batch.dim);
  const auto n_tokens = static_cast<double>(data.longest),
             width = static_cast<double>(data.kernels.vector_width);
  return width *
             (sizeof(T) * n * (n_tokens * d + 3.0 * d) + (3.0 * sizeof(T) + 4.0 * sizeof(double)) * d * d) <=
         most_bytes;
}

template Form cheapest_form(const AttentionData<float>&);
template Form cheapest_form(const AttentionData<double>&);
template bool pays_side_by_side(const AttentionData<float>&);
template bool pays_side_by_side(const AttentionData<double>&);
template bool pays_side_by_side_dense(const AttentionData<float>&);
template bool pays_side_by_side_dense(const AttentionData<double>&);
template bool fits_lanes(const AttentionData<float>&);
template bool fits_lanes(const AttentionData<double>&);
template bool pays_without_gradient(const AttentionData<float>&);
template bool pays_without_gradient(const AttentionData<double>&);

}  // namespace softstep
