#include "core/layer/passes/sample_pass.h"

#include <algorithm>

#include "core/layer/mantissa.h"
#include "core/layer/sample_terms.h"

namespace softstep {
namespace {

// Says so at its end, unless what it stands for has come to its own.
struct TornUnlessWhole {
  std::atomic<bool>& is_torn;
  bool is_whole = false;
  ~TornUnlessWhole() {
    if (!is_whole) is_torn.store(true, std::memory_order_relaxed);
  }
};

constexpr std::size_t together = simd::attention_together;  // samples in one call of the kernel

// Before a pass reads the tokens of a sample.
template <class T>
void about_to_read(data::ReadAhead& ahead, const AttentionData<T>& data, std::size_t sample) {
  const std::size_t n_tokens = data.batch.tokens_of(sample);
  if (data.storage() == StoredType::working)
    ahead.reading(data.batch.sample(sample),
                  ((n_tokens - 1) * data.batch.row_stride() + data.batch.dim) * sizeof(T));
  else
    ahead.reading(data.half_sample(sample),
                  ((n_tokens - 1) * data.half_stride() + data.batch.dim) * sizeof(std::uint16_t));
}

}  // namespace

template <class T>
SamplePass<T>::SamplePass(const AttentionData<T>& data, const Scoring<T>& scoring, const T* projected,
                          T* rows, T* means)
    : AttentionPass<T>(data, scoring),
      projected_(projected),
      rows_(rows),
      means_(means),
      work_stride_(simd::round_up_to_lanes<T>(2 * together * data.longest) + simd::lane_multiple<T>) {
  if (!data.query_rows.are_samples()) products_.resize(static_cast<std::size_t>(data.n_threads));
  work_.assign(work_stride_ * static_cast<std::size_t>(data.n_threads), T(0));
  stats_.resize(data.n_rows());
  args_.resize(data.n_rows());
}

template <class T>
simd::AttentionArgs<T> SamplePass<T>::args_of(std::size_t row, std::size_t sample, bool with_row,
                                              T* space) const {
  const AttentionData<T>& data = this->data_;
  simd::AttentionArgs<T> args{};
  args.n_tokens = data.batch.tokens_of(sample);
  args.dim = data.batch.dim;
  args.projected_query = projected_ + row * data.stride;
  args.score_gaps = this->scoring_.gaps(sample);
  args.optimal = this->scoring_.optimal(sample);
  args.gradient = with_row ? rows_ + row * data.stride : nullptr;
  args.scores = space;
  args.weights = space + data.longest;
  if (data.storage() == StoredType::working) {
    args.tokens = data.batch.sample(sample);
    args.token_stride = data.batch.row_stride();
  } else {
    args.storage = data.storage();
    args.half_tokens = data.half_sample(sample);
    args.token_stride = data.half_stride();
  }
  return args;
}

template <class T>
void SamplePass<T>::attend(const Team& team, const PassRows& rows, bool with_rows) {
  const AttentionData<T>& data = this->data_;
  const SampleSet samples = rows.by_row();
  const auto [begin, end] = rows.share(team);
  T* work = work_.data() + work_stride_ * team.rank;
  const bool may_keep = rows.is_all() && this->scoring_.is_given();
  const Prepared now{team.size, with_rows};
  const bool is_prepared = may_keep && prepared_ == now && !is_torn_.load(std::memory_order_relaxed);
  TornUnlessWhole pass{is_torn_};
  if (!is_prepared)
    for (std::size_t row = begin; row < end; ++row)
      args_[row] = args_of(row, samples[row], with_rows, work + 2 * (row % together) * data.longest);
  if (!rows.are_samples()) {
    attend_to_pooled(team, rows, with_rows);
  } else if (means_ == nullptr || !with_rows) {
    attend_to_samples(team, samples, begin, end);
  } else {
    data::ReadAhead ahead(data.bounded(), team.size);
    for (std::size_t row = begin; row < end; ++row) {
      about_to_read(ahead, data, samples[row]);
      data.kernels.attention(args_.data() + row, 1, stats_.data() + row);
      std::fill_n(means_ + row * data.stride, data.batch.dim, T(0));
      average(row, samples[row], 1.0, means_ + row * data.stride);
    }
  }
  for (std::size_t row = begin; row < end; ++row)
    this->outcomes_.note(row, stats_[row], static_cast<double>(stats_[row].largest), this->scoring_,
                         samples[row]);
  if (!rows.are_samples()) pool(rows, rows.share_of_samples(team), this->scoring_, this->outcomes_);
  team.wait();
  pass.is_whole = true;
  if (!team.leads()) return;
  prepared_ = may_keep ? now : Prepared{};
  is_torn_.store(false, std::memory_order_relaxed);
}

// In one call, or in calls of as many samples as the kernel takes together: the same groups, the same bits.
template <class T>
void SamplePass<T>::attend_to_samples(const Team& team, const SampleSet& samples, std::size_t begin,
                                      std::size_t end) {
  const AttentionData<T>& data = this->data_;
  if (data.bounded() == nullptr) {
    data.kernels.attention(args_.data() + begin, end - begin, stats_.data() + begin);
    return;
  }
  data::ReadAhead ahead(data.bounded(), team.size);
  for (std::size_t row = begin; row < end; row += together) {
    const std::size_t n = std::min(together, end - row);
    for (std::size_t k = 0; k < n; ++k) about_to_read(ahead, data, samples[row + k]);
    data.kernels.attention(args_.data() + row, n, stats_.data() + row);
  }
}

template <class T>
void SamplePass<T>::attend_to_pooled(const Team& team, const PassRows& rows, bool with_rows) {
  const AttentionData<T>& data = this->data_;
  const auto [begin, end] = rows.share_of_samples(team);
  data::ReadAhead ahead(data.bounded(), team.size);
  for (std::size_t k = begin; k < end; ++k) {
    const std::size_t sample = rows.samples()[k], first = rows.first(k), m = data.query_rows.of(sample);
    about_to_read(ahead, data, sample);
    const bool with_mean = means_ != nullptr && with_rows;
    T* mean = with_mean ? means_ + k * data.stride : nullptr;
    if (with_mean) std::fill_n(mean, data.batch.dim, T(0));
    const auto weight = [&](std::size_t q) { return data.query_rows.weight(rows.first_of_batch(k) + q); };
    if (m >= QueryProducts<T>::from) {
      products_[team.rank].attend(data, args_.data() + first, m, sample, stats_.data() + first, weight, mean);
      continue;
    }
    if (!with_mean) {
      data.kernels.attention(args_.data() + first, m, stats_.data() + first);
      continue;
    }
    for (std::size_t q = 0; q < m; ++q) {
      data.kernels.attention(args_.data() + first + q, 1, stats_.data() + first + q);
      average(first + q, sample, weight(q), mean);
    }
  }
}

// Adds w X_i^T p, from the scores that the kernel has just left.
template <class T>
void SamplePass<T>::average(std::size_t row, std::size_t sample, double weight, T* mean) {
  const AttentionData<T>& data = this->data_;
  const std::size_t n_tokens = data.batch.tokens_of(sample), d = data.batch.dim;
  const T* scores = args_[row].scores;
  T* p = args_[row].weights;
  const T factor = static_cast<T>(weight) * stats_[row].pivot_attention;
  const T top = scores[stats_[row].pivot];
  for (std::size_t t = 0; t < n_tokens; ++t) p[t] = scores[t] - top;
  data.kernels.exp_nonpositive(p, p, n_tokens);
  for (std::size_t t = 0; t < n_tokens; ++t)
    if (!(p[t] == T(0)))
      data.kernels.axpy(d, p[t] * factor, data.batch.sample(sample) + t * data.batch.row_stride(), mean);
}

template class SamplePass<float>;
template class SamplePass<double>;

}  // namespace softstep
