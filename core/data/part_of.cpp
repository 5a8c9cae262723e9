// The samples of one of several ranks, of a batch.

#include <string>

#include "softstep/error.h"
#include "softstep/ranks.h"

namespace softstep {

template <NumberType T>
BatchView<T> part_of(const BatchView<T>& batch, SampleRange range, std::vector<std::int64_t>& query_offsets) {
  if (range.begin >= range.end || range.end > batch.n_samples)
    throw InvalidArgument("range", std::to_string(range.begin) + " to " + std::to_string(range.end) +
                                       " (the batch has " + std::to_string(batch.n_samples) + " samples)");
  BatchView<T> part = batch;
  const std::size_t first_query = batch.first_query(range.begin);
  part.n_samples = range.end - range.begin;
  if (batch.offsets)
    part.offsets = batch.offsets + range.begin;
  else
    part.tokens = batch.tokens == nullptr ? nullptr : batch.sample(range.begin);
  if (batch.labels) part.labels = batch.labels + range.begin;
  if (batch.targets) part.targets = batch.targets + range.begin;
  if (batch.query_index) part.query_index = batch.query_index + first_query;
  if (batch.queries)
    part.queries = batch.queries + first_query * (batch.query_stride ? batch.query_stride : batch.dim);
  if (!batch.query_offsets.empty()) {
    query_offsets.clear();
    for (std::size_t i = range.begin; i <= range.end; ++i)
      query_offsets.push_back(batch.query_offsets[i] - static_cast<std::int64_t>(first_query));
    part.query_offsets = query_offsets;
  }
  // One weight for each query of all samples, or one for each query of a sample.
  if (!batch.query_weights.empty() && batch.query_weights.size() == batch.total_queries())
    part.query_weights = batch.query_weights.subspan(first_query, part.total_queries());
  return part;
}

template BatchView<float> part_of(const BatchView<float>&, SampleRange, std::vector<std::int64_t>&);
template BatchView<double> part_of(const BatchView<double>&, SampleRange, std::vector<std::int64_t>&);

}  // namespace softstep
