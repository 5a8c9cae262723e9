#include "core/models/attention_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/models/slope_sum.h"
#include "core/objective/active_isa.h"
#include "core/objective/batch_sums.h"
#include "core/objective/units.h"
#include "core/threads/start.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

template <class T>
AttentionRows<T>::AttentionRows(const BatchView<T>& view, const ObjectiveOptions& options,
                                bool trains_decoder)
    : batch(view),
      isa(resolve_isa(options.isa)),
      kernels(isa.template kernels<T>()),
      stride(padded_stride<T>(view.dim)),
      options_(options),
      n_threads_(thread_count(options.n_threads)),
      trains_decoder_(trains_decoder) {
  const std::size_t n = batch.n_samples;
  for (std::size_t i = 0; i < n; ++i) longest_ = std::max(longest_, batch.tokens_of(i));
  const auto threads = static_cast<std::size_t>(n_threads_);
  work_.assign(3 * longest_ * threads, T(0));
  score_work_.assign(longest_ * threads, 0.0);
  rows_.assign(n * stride, T(0));
  if (trains_decoder) means_.assign(n * stride, T(0));
  stats_.resize(n);
  optimal_.resize(n);
  terms_.resize(n);
  for (auto* values : {&gap_unit_, &pivot_gap_, &optimal_score_, &exponent_, &mean_gap_, &largest_,
                       &log_unit_, &inverse_factor_, &row_scale_, &row_factor_, &size_})
    values->resize(n);
  if (options.optimal_loss == OptimalLoss::value) optimal_loss_ = options.optimal_loss_value;
  if (trains_decoder) return;
  scores_ = score_tokens(batch);
  if (options.optimal_loss != OptimalLoss::optimal) return;
  for (const double gamma : scores_.optimal_score) optimal_loss_ += loss_value(options.loss, gamma);
  optimal_loss_ /= static_cast<double>(n);
}

template <class T>
void AttentionRows<T>::choose(SampleSet samples) {
  chosen_ = samples.indices;
  n_chosen_ = chosen_ == nullptr ? batch.n_samples : samples.n;
}

// gamma_opt - gamma_t; opt and gamma_opt beside. Of a decoder in training gamma has the rounding of u^T x in T.
template <class T>
const double* AttentionRows<T>::score(std::size_t row, const T* decoder, double* space) {
  const std::size_t i = sample(row);
  if (!trains_decoder_) {
    optimal_[row] = scores_.optimal[i];
    optimal_score_[row] = scores_.optimal_score[i];
    return scores_.gaps.data() + scores_.first[i];
  }
  const std::size_t n_tokens = batch.tokens_of(i);
  for (std::size_t t = 0; t < n_tokens; ++t) {
    const double f = kernels.dot(batch.dim, decoder, batch.sample(i) + t * batch.row_stride());
    space[t] = batch.labels[i] < 0 ? -f : f;
  }
  const double* best = std::max_element(space, space + n_tokens);
  const double top = optimal_score_[row] = *best;
  optimal_[row] = static_cast<std::size_t>(best - space);
  for (std::size_t t = 0; t < n_tokens; ++t) space[t] = top - space[t];
  return space;
}

template <class T>
void AttentionRows<T>::attend_one(std::size_t row, const T* projected, const T* decoder, bool want_rows,
                                  std::size_t thread) {
  const std::size_t i = sample(row), n_tokens = batch.tokens_of(i);
  T* space = work_.data() + 3 * longest_ * thread;
  const double* gaps = score(row, decoder, score_work_.data() + longest_ * thread);
  gap_unit_[row] = scale_gaps(gaps, n_tokens, space);

  simd::AttentionArgs<T> args{};
  args.tokens = batch.sample(i);
  args.token_stride = batch.row_stride();
  args.n_tokens = n_tokens;
  args.dim = batch.dim;
  args.projected_query = projected + row * stride;
  args.score_gaps = space;
  args.optimal = optimal_[row];
  args.gradient = want_rows ? rows_.data() + row * stride : nullptr;
  args.scores = space + longest_;
  args.weights = space + 2 * longest_;
  const simd::AttentionStats<T> stats = kernels.attention_of(args);
  stats_[row] = stats;
  pivot_gap_[row] = gaps[stats.pivot];
  if (want_rows && trains_decoder_) average(row, args.scores, args.weights);
}

// X_i^T p_i
template <class T>
void AttentionRows<T>::average(std::size_t row, const T* token_scores, T* p) {
  const std::size_t i = sample(row), n_tokens = batch.tokens_of(i);
  T* mean = means_.data() + row * stride;
  std::fill_n(mean, batch.dim, T(0));
  const T top = token_scores[stats_[row].pivot];
  for (std::size_t t = 0; t < n_tokens; ++t) p[t] = token_scores[t] - top;
  kernels.exp_nonpositive(p, p, n_tokens);
  for (std::size_t t = 0; t < n_tokens; ++t)
    if (!(p[t] == T(0)))
      kernels.axpy(batch.dim, p[t] * stats_[row].pivot_attention, batch.sample(i) + t * batch.row_stride(),
                   mean);
}

template <class T>
void AttentionRows<T>::attend(const T* projected, const T* decoder, bool want_rows) {
  const double work = static_cast<double>(n_chosen_ * batch.dim) * static_cast<double>(batch.total_tokens()) /
                      static_cast<double>(batch.n_samples);
  for_each_index(n_chosen_, threads_for(work), [&](std::size_t row, std::size_t thread) {
    attend_one(row, projected, decoder, want_rows, thread);
  });
}

template <class T>
void AttentionRows<T>::loss(ModelEvaluation<T>& out) {
  LossSum sum(options_, terms_.data(), true);
  std::size_t n_right = 0;
  for (std::size_t row = 0; row < n_chosen_; ++row) {
    const SampleTerms<T> sample = terms_of(row);
    sum.add(sample);
    if (sample.margin() > 0.0) ++n_right;
  }
  if (options_.optimal_loss == OptimalLoss::selected) optimal_loss_ = sum.selected_loss();
  out.loss = sum.loss();
  out.loss_gap = sum.gap(optimal_loss_);
  const bool has_loss =
      options_.optimal_loss == OptimalLoss::value || options_.optimal_loss == OptimalLoss::zero;
  for (std::size_t row = 0; row < n_chosen_ && !has_loss; ++row)
    terms_[row] = loss_scaled(options_.loss, terms_of(row).margin());
  out.loss_scaled = mean_scaled(terms_.data(), n_chosen_);
  out.accuracy = static_cast<double>(n_right) / static_cast<double>(n_chosen_);
}

template <class T>
void AttentionRows<T>::attention_of_optimal(ModelEvaluation<T>& out) const {
  OptimalAttention all;
  for (std::size_t row = 0; row < n_chosen_; ++row) all.add(terms_of(row), optimal_[row]);
  out.min_optimal_attention = all.smallest();
  out.log10_one_minus_optimal_attention = all.log10_largest_rest();
}

template <class T>
double AttentionRows<T>::scale(T* rows, std::size_t n_cols, std::size_t row_stride,
                               const double* largest_entry, const double* largest_factor) {
  for (std::size_t row = 0; row < n_chosen_; ++row) {
    const simd::AttentionStats<T>& stats = stats_[row];
    const double largest = largest_entry == nullptr ? static_cast<double>(stats.largest) : largest_entry[row];
    exponent_[row] = static_cast<double>(stats.exponent);
    mean_gap_[row] = static_cast<double>(stats.mean_gap);
    largest_[row] = with_reciprocal<T>(largest);
    const double factor = largest_factor[row];
    const int power = unit_power<T>(factor);
    log_unit_[row] =
        factor == 0.0 ? -infinity : std::log(gap_unit_[row]) + power * std::log(2.0) + factor * 0.0;
    inverse_factor_[row] = std::ldexp(1.0 / static_cast<double>(n_chosen_), -power);
  }
  const double top = isa.f64->row_factors(
      {n_chosen_, options_.loss == Loss::logistic, exponent_.data(), mean_gap_.data(), pivot_gap_.data(),
       largest_.data(), gap_unit_.data(), optimal_score_.data(), log_unit_.data(), inverse_factor_.data(),
       row_scale_.data(), row_factor_.data(), size_.data()});
  if (!(top > -infinity)) return top;
  for_each_index(n_chosen_, threads_for(0.25 * static_cast<double>(n_chosen_ * n_cols)),
                 [&](std::size_t row, std::size_t) {
                   kernels.scale_row(n_cols, static_cast<T>(row_scale_[row]),
                                     static_cast<T>(row_factor_[row]), rows + row * row_stride);
                 });
  return top;
}

// (1/n) sum_i l'(m_i) y_i X_i^T p_i
template <class T>
void AttentionRows<T>::decoder_gradient(BlockGradient<T>& out) const {
  sum_slopes(
      options_.loss, n_chosen_, batch.dim, [&](std::size_t row) { return terms_of(row).margin(); },
      [&](std::size_t row) { return batch.labels[sample(row)]; },
      [&](std::size_t row) { return means_.data() + row * stride; }, kernels, out);
}

template class AttentionRows<float>;
template class AttentionRows<double>;

}  // namespace softstep
