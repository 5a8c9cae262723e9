#include "core/layer/passes/sample_pass.h"

#include <algorithm>

#include "core/layer/mantissa.h"
#include "core/layer/sharing.h"

namespace softstep {
namespace {

constexpr std::size_t together = simd::attention_together;  // samples in one call of the kernel

}  // namespace

template <class T>
SamplePass<T>::SamplePass(const AttentionData<T>& data, const Scoring<T>& scoring, const T* projected,
                          T* rows, T* means)
    : AttentionPass<T>(data, scoring),
      projected_(projected),
      rows_(rows),
      means_(means),
      work_stride_(simd::round_up_to_lanes<T>(2 * together * data.longest) + simd::lane_multiple<T>) {
  work_.assign(work_stride_ * static_cast<std::size_t>(data.n_threads), T(0));
  stats_.resize(data.batch.n_samples);
  args_.resize(data.batch.n_samples);
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
void SamplePass<T>::attend(const Team& team, SampleSet samples, bool with_rows) {
  const AttentionData<T>& data = this->data_;
  const auto [begin, end] = share_of_samples(team, samples.size(data.batch.n_samples));
  T* work = work_.data() + work_stride_ * team.rank;
  const bool may_keep = samples.is_all() && this->scoring_.is_given();
  const Prepared now{team.size, with_rows};
  if (!may_keep || !(prepared_ == now))
    for (std::size_t row = begin; row < end; ++row)
      args_[row] = args_of(row, samples[row], with_rows, work + 2 * (row % together) * data.longest);
  if (means_ == nullptr || !with_rows) {
    data.kernels.attention(args_.data() + begin, end - begin, stats_.data() + begin);
  } else {
    for (std::size_t row = begin; row < end; ++row) {
      data.kernels.attention(args_.data() + row, 1, stats_.data() + row);
      average(row, samples[row]);
    }
  }
  for (std::size_t row = begin; row < end; ++row)
    this->outcomes_.note(row, stats_[row], static_cast<double>(stats_[row].largest), this->scoring_,
                         samples[row]);
  team.wait();
  if (team.leads()) prepared_ = may_keep ? now : Prepared{};
}

// X_i^T p_i, from the scores that the kernel has just left.
template <class T>
void SamplePass<T>::average(std::size_t row, std::size_t sample) {
  const AttentionData<T>& data = this->data_;
  const std::size_t n_tokens = data.batch.tokens_of(sample), d = data.batch.dim;
  const T* scores = args_[row].scores;
  T *p = args_[row].weights, *mean = means_ + row * data.stride;
  std::fill_n(mean, d, T(0));
  const T top = scores[stats_[row].pivot];
  for (std::size_t t = 0; t < n_tokens; ++t) p[t] = scores[t] - top;
  data.kernels.exp_nonpositive(p, p, n_tokens);
  for (std::size_t t = 0; t < n_tokens; ++t)
    if (!(p[t] == T(0)))
      data.kernels.axpy(d, p[t] * stats_[row].pivot_attention,
                        data.batch.sample(sample) + t * data.batch.row_stride(), mean);
}

template class SamplePass<float>;
template class SamplePass<double>;

}  // namespace softstep
