#include "core/layer/attention_data.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "core/layer/mantissa.h"
#include "core/layer/passes/lane_batch.h"
#include "core/ranks/in_order.h"
#include "core/threads/start.h"
#include "softstep/metrics.h"

namespace softstep {
namespace {

template <class T>
std::size_t longest_of(const BatchView<T>& batch) {
  std::size_t longest = 0;
  for (std::size_t i = 0; i < batch.n_samples; ++i) longest = std::max(longest, batch.tokens_of(i));
  return longest;
}

// A token times a query: once for its score and once for the gradient.
template <class T>
double work_of(const BatchView<T>& batch, const QueryRows& rows) {
  double pairs = 0.0;
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    pairs += static_cast<double>(batch.tokens_of(i)) * static_cast<double>(rows.of(i));
  return 2.0 * pairs * static_cast<double>(batch.dim);
}

std::size_t samples_before(Ranks* ranks, std::size_t n_samples) {
  if (!are_several(ranks)) return 0;
  const std::vector<std::size_t> counts = gathered(ranks, n_samples);
  return std::accumulate(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(ranks->rank()),
                         std::size_t{0});
}

struct Counts {
  std::size_t n_samples, n_rows, single;
};

// As one process that has the samples of all: where one of them has several queries, rows are no samples.
template <class T>
QueryRows rows_among_all(Ranks* ranks, const BatchView<T>& batch) {
  std::size_t n_samples = 0, n_rows = 0;
  bool single = true;
  const Counts mine{batch.n_samples, batch.total_queries(), batch.has_single_queries() ? 1u : 0u};
  for (const Counts& counts : gathered(ranks, mine)) {
    n_samples += counts.n_samples;
    n_rows += counts.n_rows;
    single = single && counts.single != 0;
  }
  QueryRows rows(batch, single);
  rows.set_all(n_samples, n_rows);
  return rows;
}

}  // namespace

template <class T>
AttentionData<T>::AttentionData(const BatchView<T>& view, const AttentionOptions& wanted,
                                const HalfBatchView* halves)
    : batch(view),
      options(wanted),
      loss(options.loss, options.own_loss.get()),
      isa(resolve_isa(wanted.isa)),
      kernels(isa.template kernels<T>()),
      n_threads(thread_count(wanted.n_threads)),
      ranks(wanted.ranks.get()),
      first_sample(samples_before(ranks, view.n_samples)),
      query_rows(rows_among_all(ranks, view)),
      stride(padded_stride<T>(view.dim)),
      longest(longest_of(view)),
      total_tokens(view.total_tokens()),
      attention_work(work_of(view, query_rows)),
      storage_(in_16_bits(wanted.token_storage) ? wanted.token_storage : StoredType::working) {
  if (halves != nullptr) {
    halves_ = *halves;
    storage_ = halves_.storage;
    half_stride_ = batch.row_stride();
  }
  all_or_none(ranks, [&] {
    if (!wanted.train_decoder)
      scoring_ = std::make_unique<const Scoring<T>>(
          Scoring<T>::given(batch, halves == nullptr ? score_tokens(batch) : score_tokens(*halves)));
    copy_queries();
    if constexpr (sizeof(T) == sizeof(float))
      if (halves == nullptr) store_tokens();
  });
  if (half_tokens_.size() == 0)
    bounded_ = data::bounded_range_of(halves == nullptr ? static_cast<const void*>(batch.tokens)
                                                        : halves->tokens.data());
}

template <class T>
void AttentionData<T>::copy_queries() {
  queries = zero_rows();
  data::TokenRows<T> from = rows();
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    for (std::size_t q = 0; q < query_rows.of(i); ++q) {
      T* z = queries.data() + (query_rows.first(i) + q) * stride;
      std::copy_n(from.query(i, q), batch.dim, z);
      query_norms.push_back(frobenius_norm({z, batch.dim}));
    }
}

template <class T>
AttentionData<T>::~AttentionData() = default;

// The tokens once more in 16 bits, for the kernel alone: scores of tokens, queries and W_mm are those of the
// batch.
template <class T>
void AttentionData<T>::store_tokens() {
  if (!in_16_bits(storage_)) return;
  constexpr std::size_t line = 64 / sizeof(std::uint16_t);
  half_stride_ = (batch.dim + line - 1) / line * line;
  half_first_.push_back(0);
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    half_first_.push_back(half_first_.back() + batch.tokens_of(i));
  half_tokens_ = zeros<std::uint16_t>(batch.n_samples, n_threads,
                                      [this](std::size_t i) { return half_first_[i] * half_stride_; });
  data::ReadAhead ahead(batch.tokens);
  const auto narrow = storage_ == StoredType::f16 ? data::encode_f16 : data::encode_bf16;
  for (std::size_t i = 0; i < batch.n_samples; ++i)
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
      const T* x = batch.sample(i) + t * batch.row_stride();
      ahead.reading(x, batch.dim * sizeof(T));
      std::uint16_t* stored = half_tokens_.data() + (half_first_[i] + t) * half_stride_;
      for (std::size_t j = 0; j < batch.dim; ++j) {
        stored[j] = narrow(static_cast<double>(x[j]));
        if (storage_ == StoredType::f16 && !std::isfinite(data::decode_f16(stored[j])))
          throw InvalidArgument("token_storage",
                                "f16 does not hold " + data::number_text(static_cast<double>(x[j])) +
                                    ", in token " + std::to_string(t) + " of sample " + std::to_string(i));
      }
    }
}

template <class T>
const LaneBatch<T>& AttentionData<T>::lanes() const {
  std::call_once(lanes_made_, [this] { lanes_ = std::make_unique<const LaneBatch<T>>(*this); });
  return *lanes_;
}

template class AttentionData<float>;
template class AttentionData<double>;

}  // namespace softstep
