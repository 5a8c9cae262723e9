#include "core/c/arrays.h"
#include "core/c/handles.h"

namespace softstep::c {
namespace {

template <class T>
BatchView<T> view_of(const softstep_batch& in) {
  BatchView<T> out;
  out.tokens = static_cast<const T*>(in.tokens);
  out.n_samples = in.n_samples;
  out.n_tokens = in.n_tokens;
  out.dim = in.dim;
  out.offsets = in.offsets;
  out.token_stride = in.token_stride;
  out.sample_stride = in.sample_stride;
  out.labels = in.labels;
  out.targets = static_cast<const T*>(in.targets);
  out.decoder = static_cast<const T*>(in.decoder);
  out.query_index = in.query_index;
  out.queries = static_cast<const T*>(in.queries);
  out.query_stride = in.query_stride;
  out.all_tokens_are_queries = in.all_tokens_are_queries != 0;
  if (in.n_queries != 0) out.n_queries = in.n_queries;
  if (in.query_offsets != nullptr) out.query_offsets = {in.query_offsets, in.n_samples + 1};
  if (in.query_weights != nullptr)
    out.query_weights = {static_cast<const T*>(in.query_weights), in.n_query_weights};
  return out;
}

// Elements up to the last token that a batch reaches, for the span of a HalfBatchView.
std::size_t reach_of(const BatchView<float>& batch) {
  if (batch.n_samples == 0 || batch.dim == 0) return 0;
  const std::size_t last = batch.n_samples - 1, row = batch.row_stride();
  if (batch.offsets != nullptr) {
    const auto rows = static_cast<std::size_t>(std::max<std::int64_t>(batch.offsets[batch.n_samples], 0));
    return rows == 0 ? 0 : (rows - 1) * row + batch.dim;
  }
  if (batch.n_tokens == 0) return 0;
  const std::size_t sample = batch.sample_stride != 0 ? batch.sample_stride : batch.n_tokens * row;
  return last * sample + (batch.n_tokens - 1) * row + batch.dim;
}

}  // namespace

AnyBatch batch_of(const softstep_batch* given) {
  const softstep_batch in = read(required(given, "batch"), "batch");
  entries(in.n_samples, 1, "batch.n_samples");  // before offsets are followed
  switch (in.type) {
    case SOFTSTEP_F64:
      return {view_of<double>(in)};
    case SOFTSTEP_F32:
      return {view_of<float>(in)};
    case SOFTSTEP_F16:
    case SOFTSTEP_BF16: {
      HalfBatchView out;
      out.storage = in.type == SOFTSTEP_F16 ? StoredType::f16 : StoredType::bf16;
      out.rest = view_of<float>(in);
      out.rest.tokens = nullptr;
      if (in.tokens != nullptr)
        out.tokens = {static_cast<const std::uint16_t*>(in.tokens), reach_of(out.rest)};
      return {out};
    }
    default:
      throw InvalidArgument("batch.type", std::to_string(in.type) + " (need one of softstep_type)");
  }
}

}  // namespace softstep::c
