#pragma once

// The batch's tokens scored by a decoder: gamma_it = y_i u^T x_it, by sample, and what the kernels need of
// them.

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "core/layer/units.h"
#include "simd/dispatch.h"
#include "softstep/batch.h"

namespace softstep {

template <class T>
class Scoring {
 public:
  /// Scores of the batch's own decoder, in twice the working precision.
  // Moved from, which clang-tidy does not see in a template.
  // NOLINTNEXTLINE(performance-unnecessary-value-param)
  static Scoring given(const BatchView<T>& batch, TokenScores scores) {
    Scoring out;
    out.is_given_ = true;
    out.tokens_ = std::move(scores);
    out.allocate(batch);
    for (std::size_t i = 0; i < batch.n_samples; ++i) out.set_gaps(i);
    return out;
  }
  /// Room for scores of a decoder in training; score() fills them in sample by sample.
  static Scoring trained(const BatchView<T>& batch) {
    Scoring out;
    TokenScores& tokens = out.tokens_;
    tokens.first.push_back(0);
    for (std::size_t i = 0; i < batch.n_samples; ++i)
      tokens.first.push_back(tokens.first.back() + batch.tokens_of(i));
    tokens.gaps.resize(tokens.first.back());
    tokens.optimal_score.resize(batch.n_samples);
    tokens.optimal.resize(batch.n_samples);
    out.allocate(batch);
    return out;
  }

  bool is_given() const { return is_given_; }
  const TokenScores& tokens() const { return tokens_; }
  /// Place of a sample's first token among all tokens.
  std::size_t first(std::size_t sample) const { return tokens_.first[sample]; }
  /// gamma_opt - gamma_t of a sample, in T and in the unit of the sample.
  const T* gaps(std::size_t sample) const { return gaps_.data() + tokens_.first[sample]; }
  double gap_unit(std::size_t sample) const { return gap_units_[sample]; }
  /// The binary exponent of the unit, which may be below what double holds.
  int gap_power(std::size_t sample) const { return gap_powers_[sample]; }
  /// Whether any sample's is far from 1 (is_far).
  bool has_far_gaps() const { return has_far_gaps_; }
  /// gamma_opt - gamma_t, plain.
  double gap(std::size_t sample, std::size_t token) const {
    return (plain_gaps_.empty() ? tokens_.gaps : plain_gaps_)[tokens_.first[sample] + token];
  }
  /// The same in the unit of the sample.
  double gap_in_units(std::size_t sample, std::size_t token) const {
    const int power = tokens_.gap_power.empty() ? 0 : tokens_.gap_power[sample];
    return std::ldexp(tokens_.gaps[tokens_.first[sample] + token], power - gap_powers_[sample]);
  }
  double optimal_score(std::size_t sample) const { return tokens_.optimal_score[sample]; }
  std::size_t optimal(std::size_t sample) const { return tokens_.optimal[sample]; }
  /// Scores a sample with this decoder, with the rounding of u^T x in T. Different samples may be scored at
  /// once.
  void score(const BatchView<T>& batch, const simd::Kernels<T>& kernels, std::size_t i, const T* decoder) {
    const std::size_t n_tokens = batch.tokens_of(i);
    const double sign = batch.sign(i);
    double* gaps = tokens_.gaps.data() + tokens_.first[i];
    for (std::size_t t = 0; t < n_tokens; ++t)
      gaps[t] = sign * kernels.dot(batch.dim, decoder, batch.sample(i) + t * batch.row_stride());
    std::size_t best = 0;
    for (std::size_t t = 1; t < n_tokens; ++t)
      if (gaps[best] < gaps[t]) best = t;
    const double top = gaps[best];
    tokens_.optimal_score[i] = top;
    tokens_.optimal[i] = best;
    for (std::size_t t = 0; t < n_tokens; ++t) gaps[t] = top - gaps[t];
    set_gaps(i);
  }

 private:
  void allocate(const BatchView<T>& batch) {
    gaps_.resize(tokens_.gaps.size());
    gap_units_.assign(batch.n_samples, 1.0);
    gap_powers_.assign(batch.n_samples, 0);
    if (!tokens_.gap_power.empty()) plain_gaps_ = tokens_.gaps;
  }
  void set_gaps(std::size_t i) {
    const std::size_t first = tokens_.first[i];
    const int power = tokens_.gap_power.empty() ? 0 : tokens_.gap_power[i];
    gap_powers_[i] =
        scale_gaps(tokens_.gaps.data() + first, tokens_.first[i + 1] - first, gaps_.data() + first) + power;
    gap_units_[i] = std::ldexp(1.0, gap_powers_[i]);
    if (is_given_ && is_far(gap_powers_[i])) has_far_gaps_ = true;
    for (std::size_t k = first; !plain_gaps_.empty() && k < tokens_.first[i + 1]; ++k)
      plain_gaps_[k] = std::ldexp(tokens_.gaps[k], power);
  }

  bool is_given_ = false, has_far_gaps_ = false;
  TokenScores tokens_;
  std::vector<T> gaps_;
  std::vector<double> gap_units_;  // powers of two: the largest gap of a sample is in [1, 2) units
  std::vector<int> gap_powers_;    // their exponents
  std::vector<double>
      plain_gaps_;  // tokens_.gaps where these are in units (TokenScores::gap_power), else empty
};

}  // namespace softstep
