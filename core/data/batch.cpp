#include "softstep/batch.h"

#include <cmath>
#include <string>

#include "core/data/checked_size.h"
#include "core/data/finite.h"
#include "core/data/text.h"

namespace softstep {
namespace {

using data::multiply;
using data::number_text;

std::string at_least(std::size_t value, std::size_t least) {
  return std::to_string(value) + " (need at least " + std::to_string(least) + ")";
}

void require_stride(const char* name, std::size_t stride, std::size_t dim) {
  if (stride != 0 && stride < dim)
    throw InvalidArgument(name,
                          std::to_string(stride) + " (need 0 or at least dim = " + std::to_string(dim) + ")");
}

// rows * stride + extent elements of T must be addressable: no offset a caller computes overflows.
template <class T>
void require_extent(const char* name, std::size_t rows, std::size_t stride, std::size_t extent) {
  const std::size_t limit = data::max_bytes / sizeof(T);
  std::size_t all = 0;
  if (!multiply(rows, stride, limit, all) || extent > limit - all)
    throw InvalidArgument(name, "sizes overflow: " + std::to_string(rows) + " times a stride of " +
                                    std::to_string(stride) + " elements cannot be addressed");
}

template <class T>
void require_uniform(const BatchView<T>& b) {
  require_stride("sample_stride", b.sample_stride, b.dim);
  require_extent<T>("n_tokens", b.n_tokens, b.row_stride(), 0);
  const std::size_t sample = b.n_tokens * b.row_stride();
  require_extent<T>("n_samples", b.n_samples, b.sample_stride ? b.sample_stride : sample, sample);
  // Overlapping samples (sample_stride < a sample) may have more rows than elements.
  require_extent<T>("n_samples", b.n_samples, b.n_tokens, 0);
}

template <class T>
void require_offsets(const BatchView<T>& b) {
  if (b.offsets[0] < 0)
    throw InvalidArgument("offsets", "entry 0: " + std::to_string(b.offsets[0]) + " (need 0 or more)");
  for (std::size_t i = 0; i < b.n_samples; ++i) {
    const std::int64_t begin = b.offsets[i], end = b.offsets[i + 1];
    if (end == begin)
      throw InvalidArgument("offsets", "sample " + std::to_string(i) + " has no tokens (entries " +
                                           std::to_string(i) + " and " + std::to_string(i + 1) +
                                           " are both " + std::to_string(end) + ")");
    if (end < begin)
      throw InvalidArgument("offsets", "entry " + std::to_string(i + 1) + ": " + std::to_string(end) +
                                           " after " + std::to_string(begin) + " (need increasing offsets)");
  }
  require_extent<T>("offsets", static_cast<std::size_t>(b.offsets[b.n_samples]), b.row_stride(), 0);
}

// `place` says where the vector is; called only when something is wrong.
template <class T, class Place>
void require_finite(const char* name, const T* x, std::size_t size, Place place) {
  if (data::all_finite(x, size)) return;
  for (std::size_t k = 0; k < size; ++k)
    if (!std::isfinite(x[k]))
      throw InvalidArgument(name, place() + "element " + std::to_string(k) + ": " +
                                      number_text(static_cast<double>(x[k])) + " (need finite numbers)");
}

template <class T>
void require_finite_tokens(const BatchView<T>& b) {
  for (std::size_t i = 0; i < b.n_samples; ++i) {
    const std::size_t n_tokens = b.tokens_of(i);
    if (b.row_stride() == b.dim && data::all_finite(b.sample(i), n_tokens * b.dim)) continue;
    for (std::size_t t = 0; t < n_tokens; ++t)
      require_finite("tokens", b.sample(i) + t * b.row_stride(), b.dim,
                     [&] { return "sample " + std::to_string(i) + ", token " + std::to_string(t) + ", "; });
  }
}

}  // namespace

template <NumberType T>
std::size_t BatchView<T>::total_tokens() const {
  return offsets ? static_cast<std::size_t>(offsets[n_samples] - offsets[0]) : n_samples * n_tokens;
}

template <NumberType T>
void BatchView<T>::validate() const {
  if (n_samples == 0) throw InvalidArgument("n_samples", at_least(0, 1));
  if (dim == 0) throw InvalidArgument("dim", at_least(0, 1));
  if (offsets == nullptr && n_tokens == 0) throw InvalidArgument("n_tokens", at_least(0, 1));
  std::size_t weights_size = 0;
  if (!multiply(dim, dim, data::max_bytes / sizeof(double), weights_size))
    throw InvalidArgument("dim", std::to_string(dim) + " (dim x dim weights cannot be addressed)");
  if (tokens == nullptr) throw InvalidArgument("tokens", "null pointer");
  if (labels == nullptr && targets == nullptr) throw InvalidArgument("labels", "null pointer");
  require_stride("token_stride", token_stride, dim);
  require_stride("query_stride", query_stride, dim);
  if (offsets)
    require_offsets(*this);
  else
    require_uniform(*this);
  if (queries) require_extent<T>("queries", n_samples, query_stride ? query_stride : dim, dim);

  for (std::size_t i = 0; i < n_samples; ++i) {
    if (targets != nullptr) {
      if (!std::isfinite(targets[i]))
        throw InvalidArgument("targets", "sample " + std::to_string(i) + " has one that is not finite");
      continue;
    }
    if (labels[i] != 1 && labels[i] != -1)
      throw InvalidArgument(
          "labels", "sample " + std::to_string(i) + ": " + std::to_string(labels[i]) + " (need -1 or 1)");
  }
  if (query_index && !queries)
    for (std::size_t i = 0; i < n_samples; ++i)
      if (query_index[i] < 0 || static_cast<std::size_t>(query_index[i]) >= tokens_of(i))
        throw InvalidArgument("query_index", "sample " + std::to_string(i) + ": " +
                                                 std::to_string(query_index[i]) + " (need 0 to " +
                                                 std::to_string(tokens_of(i) - 1) + ")");

  if (decoder) require_finite("decoder", decoder, dim, [] { return std::string(); });
  if (queries)
    for (std::size_t i = 0; i < n_samples; ++i)
      require_finite("queries", query(i), dim, [&] { return "sample " + std::to_string(i) + ", "; });
  require_finite_tokens(*this);
}

template struct BatchView<float>;
template struct BatchView<double>;

}  // namespace softstep
