#pragma once

// Loss, loss gap, attention of the optimal tokens and accuracy of the samples of a pass.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "core/layer/passes/attention_pass.h"
#include "core/layer/row_terms.h"
#include "core/ranks/scaled_sums.h"
#include "softstep/model.h"

namespace softstep {

template <class T>
class Losses {
 public:
  Losses(const AttentionData<T>& data, const Scoring<T>& scoring)
      : data_(data), scoring_(scoring), terms_(data.batch.n_samples) {
    optimal_loss_ = fixed_optimal_loss(data);
    if (!scoring.is_given() || data.options.optimal_loss != OptimalLoss::optimal) return;
    for (std::size_t i = 0; i < data.batch.n_samples; ++i)
      optimal_slopes_.push_back(data.loss.slope(optimal_score(data, scoring, i), data.batch.target(i)));
  }

  /// L* where it does not depend on the point, else NaN.
  static double fixed_optimal_loss(const AttentionData<T>& data) {
    switch (data.options.optimal_loss) {
      case OptimalLoss::zero:
        return 0.0;
      case OptimalLoss::value:
        return data.options.optimal_loss_value;
      case OptimalLoss::selected:
        return std::numeric_limits<double>::quiet_NaN();
      case OptimalLoss::optimal:
        break;
    }
    const Scoring<T>& scoring = *data.given_scoring();
    const auto n = static_cast<double>(data.query_rows.n_samples_of_all());
    std::vector<Scaled> terms;
    for (std::size_t i = 0; i < data.batch.n_samples; ++i)
      terms.push_back({data.loss.value(optimal_score(data, scoring, i), data.batch.target(i)) / n, 0.0});
    return sum_scaled(data.ranks, terms.data(), terms.size()).value();
  }

  /// What is wanted of loss and loss gap, after a pass over these rows.
  void sum(const Outcomes<T>& outcomes, const PassRows& rows, Evaluation<T>& out, unsigned want) {
    if (rows.are_samples())
      sum_samples(rows, out, want,
                  [&](std::size_t k, std::size_t sample) { return terms_of(outcomes, k, scoring_, sample); });
    else
      sum_samples(rows, out, want, [&](std::size_t k, std::size_t) { return outcomes.pooled[k]; });
  }

  /// The smallest attention of an optimal token, and the largest rest: of several queries their mean by
  /// weight.
  void attention_of_optimal(const AttentionPass<T>& pass, const PassRows& rows, Evaluation<T>& out) const {
    double smallest = 1.0, largest_rest = -std::numeric_limits<double>::infinity();
    bool nan = false;
    for (std::size_t k = 0; k < rows.n_samples(); ++k) {
      const auto [p, rest] =
          rows.are_samples() ? attention_of_row(pass, k, rows.samples()[k]) : pooled_attention(pass, rows, k);
      nan = nan || std::isnan(p) || std::isnan(rest);
      smallest = std::min(smallest, p);
      largest_rest = std::max(largest_rest, rest);
    }
    if (are_several(data_.ranks)) {
      smallest =
          0.0 - largest_of_ranks(data_.ranks, nan ? std::numeric_limits<double>::quiet_NaN() : -smallest);
      largest_rest = largest_of_ranks(data_.ranks, largest_rest);
      nan = std::isnan(smallest);
    }
    constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
    out.min_optimal_attention = nan ? not_a_number : smallest;
    out.log10_one_minus_optimal_attention = nan ? not_a_number : largest_rest / std::log(10.0);
  }

 private:
  struct OptimalAttention {
    double attention, log_rest;
  };

  // The margin where all attention of a sample goes to the optimal token: weights add up to 1, or to what
  // they add up to.
  static double optimal_score(const AttentionData<T>& data, const Scoring<T>& scoring, std::size_t i) {
    return data.query_rows.total_weight(i) * scoring.optimal_score(i);
  }

  OptimalAttention attention_of_row(const AttentionPass<T>& pass, std::size_t row, std::size_t sample) const {
    const simd::AttentionStats<T> stats = pass.stats(row);
    const std::size_t optimal = scoring_.optimal(sample);
    return {attention_of(stats, optimal), log_one_minus_attention_of(stats, optimal)};
  }
  OptimalAttention pooled_attention(const AttentionPass<T>& pass, const PassRows& rows, std::size_t k) const {
    const std::size_t sample = rows.samples()[k], m = rows.of_batch().of(sample);
    double attention = 0.0, poison = 0.0;
    std::vector<Scaled> rests;
    for (std::size_t q = 0; q < m; ++q) {
      const OptimalAttention row = attention_of_row(pass, rows.first(k) + q, sample);
      const double share =
          rows.of_batch().weight(rows.first_of_batch(k) + q) / rows.of_batch().total_weight(sample);
      attention += share * row.attention;
      poison += std::isnan(row.log_rest) ? row.log_rest : 0.0;
      if (row.log_rest > -std::numeric_limits<double>::infinity()) rests.push_back({share, row.log_rest});
    }
    // Shares add up to 1 but for rounding.
    return {std::min(attention, 1.0), std::min(sum_scaled(rests.data(), rests.size()).log(), 0.0) + poison};
  }

  template <class TermsAt>
  void sum_samples(const PassRows& rows, Evaluation<T>& out, unsigned want, TermsAt terms_at) {
    const bool with_loss = (want & want_loss) != 0, with_gap = (want & want_loss_gap) != 0;
    if (!with_loss && !with_gap) return;
    if (with_gap || data_.options.optimal_loss == OptimalLoss::selected) sum_gap(terms_at, rows, out);
    if (with_loss) sum_loss(terms_at, rows, out);
  }

  template <class TermsAt>
  void sum_gap(TermsAt terms_at, const PassRows& rows, Evaluation<T>& out) {
    const std::size_t n = rows.n_samples();
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t i = rows.samples()[k];
      const auto terms = terms_at(k, i);
      const double target = data_.batch.target(i);
      switch (data_.options.optimal_loss) {
        case OptimalLoss::optimal:
          terms_[k] =
              data_.loss.difference(terms.optimal_score, optimal_slopes_[i], terms.gap_to_optimal(), target);
          break;
        case OptimalLoss::selected:
          terms_[k] = data_.loss.difference(terms.pivot_score(), terms.gap_to_pivot(), target);
          break;
        case OptimalLoss::value:
        case OptimalLoss::zero:
          terms_[k] =
              data_.loss.scaled_near(terms.margin(), terms.pivot_score(), -terms.gap_to_pivot(), target);
      }
    }
    out.loss_gap = mean(rows);
    out.optimal_loss = optimal_loss_;
    if (data_.options.optimal_loss == OptimalLoss::value)
      out.loss_gap = minus_optimal(out.loss_gap, optimal_loss_);
    if (data_.options.optimal_loss != OptimalLoss::selected) return;
    double selected = 0.0;
    add_over_ranks(data_.ranks, selected, [&] {
      for (std::size_t k = 0; k < n; ++k) {
        const std::size_t i = rows.samples()[k];
        selected += data_.loss.value(terms_at(k, i).pivot_score(), data_.batch.target(i));
      }
    });
    out.optimal_loss = selected / static_cast<double>(rows.n_samples_of_all());
  }

  // Of terms_.
  Scaled mean(const PassRows& rows) const {
    Scaled sum = sum_scaled(data_.ranks, terms_.data(), rows.n_samples());
    sum.mantissa /= static_cast<double>(rows.n_samples_of_all());
    return sum;
  }

  template <class TermsAt>
  void sum_loss(TermsAt terms_at, const PassRows& rows, Evaluation<T>& out) {
    std::array<double, 2> sums = {};
    double &loss = sums[0], &n_right = sums[1];
    add_over_ranks(data_.ranks, sums, [&] {
      for (std::size_t k = 0; k < rows.n_samples(); ++k) {
        const auto terms = terms_at(k, rows.samples()[k]);
        const double margin = terms.margin(), target = data_.batch.target(rows.samples()[k]);
        terms_[k] = data_.loss.scaled_near(margin, terms.pivot_score(), -terms.gap_to_pivot(), target);
        loss += data_.loss.has_kernel() ? data_.loss.value(margin, target) : terms_[k].value();
        if (margin > 0.0) n_right += 1.0;
      }
    });
    const auto n = static_cast<double>(rows.n_samples_of_all());
    out.loss = loss / n;
    out.loss_scaled = mean(rows);
    out.accuracy = data_.batch.targets != nullptr ? std::numeric_limits<double>::quiet_NaN() : n_right / n;
  }

  const AttentionData<T>& data_;
  const Scoring<T>& scoring_;
  std::vector<Scaled> terms_;           // work space, by sample of the pass
  std::vector<Scaled> optimal_slopes_;  // -l' at the optimal scores, by sample
  double optimal_loss_;
};

}  // namespace softstep
