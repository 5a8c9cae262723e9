#include "core/objective/layer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/data/half.h"
#include "core/data/text.h"
#include "core/objective/active_isa.h"
#include "core/objective/batch_sums.h"
#include "core/objective/gradient_size.h"
#include "core/objective/loss.h"
#include "core/objective/mantissa.h"
#include "core/objective/units.h"
#include "core/threads/start.h"
#include "core/threads/team.h"
#include "softstep/metrics.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::size_t together = simd::attention_together;  // samples in one call of the kernel

template <class T>
const BatchView<T>& validated(const BatchView<T>& batch, const ObjectiveOptions& options) {
  batch.validate();
  options.validate();
  if (sizeof(T) != sizeof(float) && options.token_storage != StoredTokens::working)
    throw InvalidArgument("token_storage", "16 bits go with float32 only");
  return batch;
}

simd::TokenStorage storage_of(StoredTokens type) {
  return type == StoredTokens::f16    ? simd::TokenStorage::f16
         : type == StoredTokens::bf16 ? simd::TokenStorage::bf16
                                      : simd::TokenStorage::working;
}

}  // namespace

template <class T>
Layer<T>::Layer(const BatchView<T>& view, const ObjectiveOptions& wanted)
    : batch(validated(view, wanted)),
      options(wanted),
      isa(resolve_isa(wanted.isa)),
      kernels(isa.template kernels<T>()),
      n_threads(thread_count(wanted.n_threads)),
      scores(score_tokens(view)),
      stride(padded_stride<T>(view.dim)) {
  const std::size_t n = batch.n_samples;
  set_gaps();
  queries = zero_rows();
  for (std::size_t i = 0; i < n; ++i) {
    std::copy_n(batch.query(i), batch.dim, queries.begin() + static_cast<std::ptrdiff_t>(i * stride));
    longest_ = std::max(longest_, batch.tokens_of(i));
  }
  work_stride_ = simd::round_up_to_lanes<T>(2 * together * longest_) + simd::lane_multiple<T>;
  work_.assign(work_stride_ * static_cast<std::size_t>(n_threads), T(0));
  stats_.resize(n);
  args_.resize(n);
  terms_.resize(n);
  // A largest entry of 0 says that there is no row; the factors of what is no sample are never anything but 0.
  const std::size_t padded = simd::round_up_to_lanes<T>(n);
  for (auto* values : {&exponent_, &mean_gap_, &pivot_gap_, &largest_, &optimal_score_, &log_unit_,
                       &inverse_query_, &row_scale_, &row_factor_, &size_})
    values->resize(padded);
  std::copy(scores.optimal_score.begin(), scores.optimal_score.end(), optimal_score_.begin());
  set_units();
  if constexpr (sizeof(T) == sizeof(float)) store_tokens();
  for (const double gamma : scores.optimal_score) optimal_slopes_.push_back(loss_slope(options.loss, gamma));
  for (std::size_t i = 0; i < n; ++i)
    terms_[i] = {loss_value(options.loss, scores.optimal_score[i]) / static_cast<double>(n), 0.0};
  if (options.optimal_loss == OptimalLoss::optimal) optimal_loss_ = sum_scaled(terms_.data(), n).value();
  if (options.optimal_loss == OptimalLoss::value) optimal_loss_ = options.optimal_loss_value;
}

template <class T>
void Layer<T>::set_gaps() {
  gaps_.resize(scores.gaps.size());
  gap_units_.assign(simd::round_up_to_lanes<double>(batch.n_samples), 1.0);
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const std::size_t first = scores.first[i];
    gap_units_[i] = scale_gaps(scores.gaps.data() + first, scores.first[i + 1] - first, gaps_.data() + first);
  }
}

// The tokens once more in 16 bits, for the kernel alone: scores of tokens, queries and W_mm are those of the batch.
template <class T>
void Layer<T>::store_tokens() {
  if (options.token_storage == StoredTokens::working) return;
  constexpr std::size_t line = 64 / sizeof(std::uint16_t);
  half_stride_ = (batch.dim + line - 1) / line * line;
  half_tokens_ = zeros<std::uint16_t>(batch.n_samples, n_threads,
                                      [this](std::size_t i) { return scores.first[i] * half_stride_; });
  const auto narrow = options.token_storage == StoredTokens::f16 ? data::encode_f16 : data::encode_bf16;
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
      const T* x = batch.sample(i) + t * batch.row_stride();
      std::uint16_t* stored = half_tokens_.data() + (scores.first[i] + t) * half_stride_;
      for (std::size_t j = 0; j < batch.dim; ++j) {
        stored[j] = narrow(static_cast<double>(x[j]));
        if (options.token_storage == StoredTokens::f16 && !std::isfinite(data::decode_f16(stored[j])))
          throw InvalidArgument("token_storage",
                                "f16 does not hold " + data::number_text(static_cast<double>(x[j])) +
                                    ", in token " + std::to_string(t) + " of sample " + std::to_string(i));
      }
    }
}

// The powers of two at or below the queries, and their norms.
template <class T>
void Layer<T>::set_units() {
  query_norms_.resize(batch.n_samples);
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const T* z = queries.data() + i * stride;
    const auto largest = static_cast<double>(largest_of(z, batch.dim));
    const int power = unit_power<T>(largest);
    log_unit_[i] = largest == 0.0 ? -infinity : std::log(gap_units_[i]) + power * std::log(2.0);
    inverse_query_[i] = std::ldexp(1.0 / static_cast<double>(batch.n_samples), -power);
    query_norms_[i] = frobenius_norm(z, batch.dim);
  }
}

template <class T>
simd::AttentionArgs<T> Layer<T>::sample_args(std::size_t i, const T* projected, T* row, T* space) const {
  simd::AttentionArgs<T> args{};
  args.tokens = batch.sample(i);
  args.token_stride = batch.row_stride();
  args.n_tokens = batch.tokens_of(i);
  args.dim = batch.dim;
  args.projected_query = projected;
  args.score_gaps = gaps_.data() + scores.first[i];
  args.optimal = scores.optimal[i];
  args.gradient = row;
  args.scores = space;
  args.weights = space + longest_;
  if (!half_tokens_.empty()) {
    args.storage = storage_of(options.token_storage);
    args.half_tokens = half_tokens_.data() + scores.first[i] * half_stride_;
    args.token_stride = half_stride_;
  }
  return args;
}

template <class T>
Team::Range Layer<T>::share_of_samples(const Team& team) const {
  return team.share(batch.n_samples, together);
}

template <class T>
void Layer<T>::note(std::size_t i, double largest) {
  const simd::AttentionStats<T>& stats = stats_[i];
  exponent_[i] = static_cast<double>(stats.exponent);
  mean_gap_[i] = static_cast<double>(stats.mean_gap);
  pivot_gap_[i] = scores.gaps[scores.first[i] + stats.pivot];
  largest_[i] = with_reciprocal<T>(largest);
}

template <class T>
void Layer<T>::attend(const Team& team, const T* projected, T* rows) {
  const auto [begin, end] = share_of_samples(team);
  const Prepared now{projected, rows, team.size};
  if (!(prepared_ == now))
    for (std::size_t i = begin; i < end; ++i)
      args_[i] = sample_args(i, projected + i * stride, rows == nullptr ? nullptr : rows + i * stride,
                             work_.data() + work_stride_ * team.rank + 2 * (i % together) * longest_);
  kernels.attention(args_.data() + begin, end - begin, stats_.data() + begin);
  for (std::size_t i = begin; i < end; ++i) note(i, static_cast<double>(stats_[i].largest));
  team.wait();
  if (!team.leads()) return;
  prepared_ = now;
  lanes_are_newer_ = false;
}

template <class T>
void Layer<T>::attend_scores(const Team& team, const T* token_scores, T* weights) {
  if (team.leads()) lanes_are_newer_ = false;
  const auto [begin, end] = team.share(batch.n_samples);
  for (std::size_t i = begin; i < end; ++i) {
    const std::size_t first = scores.first[i], n_tokens = batch.tokens_of(i);
    T* space = work_.data() + work_stride_ * team.rank;
    T* r = weights == nullptr ? space + longest_ : weights + first;
    std::copy_n(token_scores + first, n_tokens, space);
    simd::AttentionArgs<T> args{};
    args.n_tokens = n_tokens;
    args.score_gaps = gaps_.data() + first;
    args.optimal = scores.optimal[i];
    args.scores = space;
    args.weights = r;
    stats_[i] = kernels.attention_of(args);
    note(i, weights == nullptr ? 0.0 : token_sizes_[i] * static_cast<double>(largest_of(r, n_tokens)));
  }
  team.wait();
}

template <class T>
void Layer<T>::measure_tokens() {
  token_sizes_.assign(batch.n_samples, 0.0);
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t)
      token_sizes_[i] =
          std::max(token_sizes_[i],
                   static_cast<double>(largest_of(batch.sample(i) + t * batch.row_stride(), batch.dim)));
}

template <class T>
bool Layer<T>::conclude(const Team& team, Evaluation<T>& out, unsigned want) {
  const bool want_rows = (want & want_gradient) != 0;
  if (team.leads()) {
    losses(out, want);
    if ((want & want_attention) != 0) attention_of_optimal(out);
    if (want_rows) out.gradient_exponent = set_factors();
  }
  team.wait();
  return want_rows && has_rows(out.gradient_exponent);
}

template <class T>
double Layer<T>::set_factors() {
  const simd::RowFactorsArgs<double> args{simd::round_up_to_lanes<double>(batch.n_samples),
                                          options.loss == Loss::logistic,
                                          exponent_.data(),
                                          mean_gap_.data(),
                                          pivot_gap_.data(),
                                          largest_.data(),
                                          gap_units_.data(),
                                          optimal_score_.data(),
                                          log_unit_.data(),
                                          inverse_query_.data(),
                                          row_scale_.data(),
                                          row_factor_.data(),
                                          size_.data()};
  return isa.f64->row_factors(args);
}

template <class T>
void Layer<T>::scale_rows(const Team& team, T* rows) const {
  const auto [begin, end] = share_of_samples(team);
  for (std::size_t i = begin; i < end; ++i)
    kernels.scale_row(batch.dim, static_cast<T>(row_scale_[i]), static_cast<T>(row_factor_[i]),
                      rows + i * stride);
  team.wait();
}

template <class T>
void Layer<T>::scale_weights(const Team& team, T* weights) const {
  const auto [begin, end] = team.share(batch.n_samples);
  for (std::size_t i = begin; i < end; ++i) {
    // Not by the kernel: a few numbers, which are read again at once.
    const T scale = static_cast<T>(row_scale_[i]), factor = static_cast<T>(row_factor_[i]);
    for (std::size_t k = scores.first[i]; k < scores.first[i + 1]; ++k)
      weights[k] = weights[k] * scale * factor;
  }
  team.wait();
}

// The largest entry of a scaled row is in [1, 2) times its factor.
template <class T>
double Layer<T>::sum_of_sizes() const {
  double sum = 0.0;
  for (std::size_t i = 0; i < batch.n_samples; ++i) sum += std::fabs(row_factor_[i]) * query_norms_[i];
  return 2.0 * std::sqrt(static_cast<double>(batch.dim)) * sum;
}

template <class T>
SampleTerms<T> Layer<T>::terms_of(std::size_t i) const {
  return {stats_[i], gap_units_[i], pivot_gap_[i], scores.optimal_score[i]};
}

template <class T>
void Layer<T>::losses(Evaluation<T>& out, unsigned want) {
  const bool with_loss = (want & want_loss) != 0;
  if (!with_loss && (want & want_loss_gap) == 0) return;
  read_lanes();
  LossSum sum(options, terms_.data(), with_loss);
  for (std::size_t i = 0; i < batch.n_samples; ++i) sum.add(terms_of(i), &optimal_slopes_[i]);
  if (options.optimal_loss == OptimalLoss::selected) optimal_loss_ = sum.selected_loss();
  if (with_loss) out.loss = sum.loss();
  if ((want & want_loss_gap) != 0) out.loss_gap = sum.gap(optimal_loss_);
}

template <class T>
void Layer<T>::attention_of_optimal(Evaluation<T>& out) {
  read_lanes();
  OptimalAttention all;
  for (std::size_t i = 0; i < batch.n_samples; ++i) all.add(terms_of(i), scores.optimal[i]);
  out.min_optimal_attention = all.smallest();
  out.log10_one_minus_optimal_attention = all.log10_largest_rest();
}

template <class T>
std::vector<double> Layer<T>::attention(const T* projected) {
  std::vector<double> out(scores.gaps.size());
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const simd::AttentionStats<T> stats =
        kernels.attention_of(sample_args(i, projected + i * stride, nullptr, work_.data()));
    const auto top = static_cast<double>(work_[stats.pivot]);
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t)
      out[scores.first[i] + t] =
          static_cast<double>(stats.pivot_attention) * std::exp(static_cast<double>(work_[t]) - top);
  }
  return out;
}

template class Layer<float>;
template class Layer<double>;

}  // namespace softstep
