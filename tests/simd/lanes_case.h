#pragma once

// Samples packed for the attention kernel with one sample to a lane, its outputs, and what they say of one
// sample.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "attention_case.h"
#include "simd/dispatch.h"
#include "support/guarded.h"

namespace softstep::test {

constexpr std::size_t n_lane_stats = 8;

template <class T>
struct Lanes {
  static constexpr std::size_t m = simd::lane_multiple<T>;
  std::vector<AttentionCase<T>>& cases;
  std::size_t n_tokens = 0, dim, n_lanes;
  Guarded<T> tokens, projected, gaps, optimal, gradient, weights, stats, shifted, attention;

  explicit Lanes(std::vector<AttentionCase<T>>& samples)
      : cases(samples),
        n_tokens(longest(samples)),
        dim(samples[0].dim),
        n_lanes((samples.size() + m - 1) / m * m),
        tokens(n_tokens * dim * n_lanes),
        projected(dim * n_lanes),
        gaps(n_tokens * n_lanes),
        optimal(n_lanes),
        gradient(dim * n_lanes),
        weights(n_tokens * n_lanes),
        stats(n_lane_stats * n_lanes),
        shifted(n_lanes),
        attention(n_tokens * n_lanes) {
    for (Guarded<T>* array : {&tokens, &projected, &optimal}) array->fill(T(0));
    gaps.fill(std::numeric_limits<T>::quiet_NaN());
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const AttentionCase<T>& in = samples[i];
      optimal[i] = static_cast<T>(in.optimal);
      for (std::size_t j = 0; j < dim; ++j) projected[j * n_lanes + i] = in.query[j];
      for (std::size_t t = 0; t < in.n_tokens; ++t) {
        gaps[t * n_lanes + i] = in.gaps[t];
        for (std::size_t j = 0; j < dim; ++j)
          tokens[((i / m * n_tokens + t) * dim + j) * m + i % m] = in.at(t, j);
      }
    }
  }
  static std::size_t longest(const std::vector<AttentionCase<T>>& samples) {
    std::size_t most = 0;
    for (const auto& in : samples) most = std::max(most, in.n_tokens);
    return most;
  }
  void run(const simd::Isa& isa, bool want_gradient = true) { run(isa, optimal.data(), want_gradient); }
  /// What a step of training needs. No sample may miss a token; nor do lanes without one, which are left with
  /// tokens of zeros. The pivot is put down as a number again.
  void run_for_a_step(const simd::Isa& isa) {
    const std::vector<T> by_token(gaps.data(), gaps.data() + gaps.size());
    lay_out_for_a_step();
    run(isa, nullptr, true);
    std::copy(by_token.begin(), by_token.end(), gaps.data());
    number_pivots();
  }
  void lay_out_for_a_step() {
    const std::vector<T> by_token(gaps.data(), gaps.data() + gaps.size());
    for (std::size_t t = 0; t < n_tokens; ++t)
      for (std::size_t i = 0; i < n_lanes; ++i)
        gaps[(i / m * n_tokens + t) * m + i % m] = i < cases.size() ? by_token[t * n_lanes + i] : T(0);
  }
  // The first token of the largest score, if the pivot's gap is its own; else none.
  void number_pivots() {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const std::vector<T> scores = sample(i).scores;
      const auto first = std::max_element(scores.begin(), scores.end()) - scores.begin();
      T& pivot = stats[i];
      pivot = static_cast<T>(gaps[static_cast<std::size_t>(first) * n_lanes + i] == pivot ? first : 99);
    }
  }
  void run(const simd::Isa& isa, const T* best, bool want_gradient) {
    T* s = stats.data();
    const auto field = [&](std::size_t k) { return s + k * n_lanes; };
    // In two halves, as threads do it.
    const std::size_t middle = n_lanes / m / 2 * m;
    for (const auto& [begin, end] : {std::pair{std::size_t{0}, middle}, std::pair{middle, n_lanes}}) {
      isa.kernels<T>().attention_lanes({tokens.data(),
                                        n_lanes,
                                        n_tokens,
                                        dim,
                                        begin,
                                        end,
                                        projected.data(),
                                        gaps.data(),
                                        best,
                                        want_gradient ? gradient.data() : nullptr,
                                        weights.data(),
                                        field(0),
                                        field(1),
                                        field(2),
                                        field(3),
                                        field(4),
                                        field(5),
                                        field(6),
                                        field(7),
                                        shifted.data(),
                                        best != nullptr ? attention.data() : nullptr});
    }
  }
  T field(std::size_t k, std::size_t i) const { return stats[k * n_lanes + i]; }
  AttentionRun<T> sample(std::size_t i) const {
    AttentionRun<T> out;
    out.stats = {static_cast<std::size_t>(field(0, i)),
                 field(1, i),
                 field(2, i),
                 field(3, i),
                 field(4, i),
                 field(5, i),
                 field(6, i),
                 field(7, i)};
    const AttentionCase<T>& in = cases[i];
    for (std::size_t t = 0; t < in.n_tokens; ++t) {
      long double score = 0;
      for (std::size_t j = 0; j < dim; ++j) score += static_cast<long double>(in.at(t, j)) * in.query[j];
      out.scores.push_back(static_cast<T>(score));
      out.weights.push_back(weights[t * n_lanes + i]);
    }
    for (std::size_t j = 0; j < dim; ++j) out.gradient.push_back(gradient[j * n_lanes + i]);
    return out;
  }
};

// Multiples of 1/64 up to 1; the query times a power of two.
template <class T>
std::vector<AttentionCase<T>> random_cases(std::mt19937_64& random, std::size_t count, std::size_t n_tokens,
                                           std::size_t dim, int power, bool ragged) {
  std::vector<AttentionCase<T>> out;
  for (std::size_t i = 0; i < count; ++i) {
    AttentionCase<T>& in = out.emplace_back(ragged ? 1 + random() % n_tokens : n_tokens, dim, 0);
    in.fill(random, 1.0);
    const auto sixty_fourth = [&] { return std::ldexp(static_cast<double>(random() % 129) - 64.0, -6); };
    for (std::size_t t = 0; t < in.n_tokens; ++t)
      for (std::size_t j = 0; j < dim; ++j) in.at(t, j) = static_cast<T>(sixty_fourth());
    for (std::size_t j = 0; j < dim; ++j) in.query[j] = static_cast<T>(std::ldexp(sixty_fourth(), power));
  }
  return out;
}

}  // namespace softstep::test
