#include "softstep/batch.h"

#include <cmath>
#include <string>

#include "core/data/checked_size.h"
#include "core/data/finite.h"
#include "core/data/read_ahead.h"
#include "core/data/text.h"
#include "core/data/token_rows.h"

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
  data::ReadAhead ahead(b.tokens);
  for (std::size_t i = 0; i < b.n_samples; ++i) {
    const std::size_t n_tokens = b.tokens_of(i);
    ahead.reading(b.sample(i), ((n_tokens - 1) * b.row_stride() + b.dim) * sizeof(T));
    if (b.row_stride() == b.dim && data::all_finite(b.sample(i), n_tokens * b.dim)) continue;
    for (std::size_t t = 0; t < n_tokens; ++t)
      require_finite("tokens", b.sample(i) + t * b.row_stride(), b.dim,
                     [&] { return "sample " + std::to_string(i) + ", token " + std::to_string(t) + ", "; });
  }
}

// How many queries the samples have.
template <class T>
void require_query_counts(const BatchView<T>& b) {
  const char* counted = !b.query_offsets.empty() ? "query_offsets" : "n_queries";
  const bool is_counted = !b.query_offsets.empty() || b.n_queries != 1;
  if (b.n_queries == 0) throw InvalidArgument("n_queries", at_least(0, 1));
  if (b.all_tokens_are_queries) {
    if (b.queries || b.query_index || is_counted)
      throw InvalidArgument("all_tokens_are_queries", std::string("true, and `") +
                                                          (b.queries       ? "queries"
                                                           : b.query_index ? "query_index"
                                                                           : counted) +
                                                          "` is set too (need one of the two)");
    return;
  }
  if (is_counted && !b.queries && !b.query_index)
    throw InvalidArgument(counted, "set, and neither `queries` nor `query_index` says what the queries are");
  if (b.query_offsets.empty()) return require_extent<T>("n_queries", b.n_samples, b.n_queries, 0);
  if (b.n_queries != 1)
    throw InvalidArgument(
        "n_queries", std::to_string(b.n_queries) + ", and `query_offsets` is set too (need one of the two)");
  if (b.query_offsets.size() - 1 != b.n_samples)
    throw InvalidArgument("query_offsets",
                          std::to_string(b.query_offsets.size()) +
                              " entries (need n_samples + 1 = " + std::to_string(b.n_samples + 1) + ")");
  if (b.query_offsets[0] != 0)
    throw InvalidArgument("query_offsets", "entry 0: " + std::to_string(b.query_offsets[0]) + " (need 0)");
  for (std::size_t i = 0; i < b.n_samples; ++i)
    if (b.query_offsets[i + 1] <= b.query_offsets[i])
      throw InvalidArgument("query_offsets", "sample " + std::to_string(i) + " has no queries (entries " +
                                                 std::to_string(i) + " and " + std::to_string(i + 1) +
                                                 " are " + std::to_string(b.query_offsets[i]) + " and " +
                                                 std::to_string(b.query_offsets[i + 1]) + ")");
}

// "sample 3", and which query of it where it has several.
template <class T>
std::string query_place(const BatchView<T>& b, std::size_t i, std::size_t q) {
  std::string place = "sample " + std::to_string(i);
  return b.queries_of(i) == 1 ? place : place + ", query " + std::to_string(q);
}

template <class T>
void require_query_weights(const BatchView<T>& b) {
  const std::size_t size = b.query_weights.size(), all = b.total_queries();
  if (size == 0) return;
  const bool is_shared = !b.all_tokens_are_queries && b.query_offsets.empty() && size == b.n_queries;
  if (size != all && !is_shared)
    throw InvalidArgument(
        "query_weights",
        std::to_string(size) + " entries (need one for each of the " + std::to_string(all) + " queries" +
            (b.n_queries > 1 ? ", or " + std::to_string(b.n_queries) + " for all samples" : std::string()) +
            ")");
  for (std::size_t k = 0; k < size; ++k)
    if (!(b.query_weights[k] > T(0)) || !std::isfinite(b.query_weights[k]))
      throw InvalidArgument("query_weights", "entry " + std::to_string(k) + ": " +
                                                 number_text(static_cast<double>(b.query_weights[k])) +
                                                 " (need finite numbers above 0)");
  for (std::size_t i = 0; i < b.n_samples; ++i) {
    double sum = 0.0;
    for (std::size_t q = 0; q < b.queries_of(i); ++q) sum += b.query_weight(i, q);
    if (!std::isfinite(sum))
      throw InvalidArgument("query_weights", "sample " + std::to_string(i) + ": their sum overflows");
  }
}

// Everything but the tokens themselves.
template <class T>
void require_all_but_tokens(const BatchView<T>& b, bool has_tokens) {
  if (b.n_samples == 0) throw InvalidArgument("n_samples", at_least(0, 1));
  if (b.dim == 0) throw InvalidArgument("dim", at_least(0, 1));
  if (b.offsets == nullptr && b.n_tokens == 0) throw InvalidArgument("n_tokens", at_least(0, 1));
  std::size_t weights_size = 0;
  if (!multiply(b.dim, b.dim, data::max_bytes / sizeof(double), weights_size))
    throw InvalidArgument("dim", std::to_string(b.dim) + " (dim x dim weights cannot be addressed)");
  if (!has_tokens) throw InvalidArgument("tokens", "null pointer");
  if (b.labels == nullptr && b.targets == nullptr) throw InvalidArgument("labels", "null pointer");
  require_stride("token_stride", b.token_stride, b.dim);
  require_stride("query_stride", b.query_stride, b.dim);
  if (b.offsets)
    require_offsets(b);
  else
    require_uniform(b);
  require_query_counts(b);
  if (b.queries)
    require_extent<T>("queries", b.total_queries(), b.query_stride ? b.query_stride : b.dim, b.dim);

  for (std::size_t i = 0; i < b.n_samples; ++i) {
    if (b.targets != nullptr) {
      if (!std::isfinite(b.targets[i]))
        throw InvalidArgument("targets", "sample " + std::to_string(i) + " has one that is not finite");
      continue;
    }
    if (b.labels[i] != 1 && b.labels[i] != -1)
      throw InvalidArgument(
          "labels", "sample " + std::to_string(i) + ": " + std::to_string(b.labels[i]) + " (need -1 or 1)");
  }
  if (b.query_index && !b.queries)
    for (std::size_t i = 0; i < b.n_samples; ++i)
      for (std::size_t q = 0; q < b.queries_of(i); ++q) {
        const std::int64_t index = b.query_index[b.first_query(i) + q];
        if (index < 0 || static_cast<std::size_t>(index) >= b.tokens_of(i))
          throw InvalidArgument("query_index", query_place(b, i, q) + ": " + std::to_string(index) +
                                                   " (need 0 to " + std::to_string(b.tokens_of(i) - 1) + ")");
      }
  require_query_weights(b);

  if (b.decoder) require_finite("decoder", b.decoder, b.dim, [] { return std::string(); });
  if (b.queries) {
    data::ReadAhead ahead(b.queries);
    for (std::size_t i = 0; i < b.n_samples; ++i)
      for (std::size_t q = 0; q < b.queries_of(i); ++q) {
        ahead.reading(b.query(i, q), b.dim * sizeof(T));
        require_finite("queries", b.query(i, q), b.dim, [&] { return query_place(b, i, q) + ", "; });
      }
  }
}

}  // namespace

template <NumberType T>
std::size_t BatchView<T>::total_tokens() const {
  return offsets ? static_cast<std::size_t>(offsets[n_samples] - offsets[0]) : n_samples * n_tokens;
}

template <NumberType T>
std::size_t BatchView<T>::total_queries() const {
  if (all_tokens_are_queries) return total_tokens();
  return query_offsets.empty() ? n_samples * n_queries
                               : static_cast<std::size_t>(query_offsets[n_samples] - query_offsets[0]);
}

template <NumberType T>
bool BatchView<T>::has_single_queries() const {
  if (total_queries() != n_samples) return false;
  for (const T weight : query_weights)
    if (weight != T(1)) return false;
  return true;
}

template <NumberType T>
void BatchView<T>::validate() const {
  require_all_but_tokens(*this, tokens != nullptr);
  require_finite_tokens(*this);
}

void HalfBatchView::validate() const {
  if (!in_16_bits(storage))
    throw InvalidArgument("storage", std::string(to_string(storage)) + " (need f16 or bf16)");
  if (rest.tokens != nullptr)
    throw InvalidArgument("rest.tokens", "set (need null: the tokens are those in 16 bits)");
  require_all_but_tokens(rest, tokens.data() != nullptr);
  const auto last =
      place(rest.n_samples - 1) + (rest.tokens_of(rest.n_samples - 1) - 1) * rest.row_stride() + rest.dim;
  if (tokens.size() < last)
    throw InvalidArgument(
        "tokens", std::to_string(tokens.size()) + " elements (need at least " + std::to_string(last) + ")");
  const unsigned infinity = storage == StoredType::f16 ? 0x7c00u : 0x7f80u;
  data::ReadAhead ahead(tokens.data());
  for (std::size_t i = 0; i < rest.n_samples; ++i)
    for (std::size_t t = 0; t < rest.tokens_of(i); ++t) {
      const std::uint16_t* bits = sample(i) + t * rest.row_stride();
      ahead.reading(bits, rest.dim * sizeof(std::uint16_t));
      unsigned found = 0;  // without a branch, so that any compiler vectorises it
      for (std::size_t j = 0; j < rest.dim; ++j) found |= (bits[j] & infinity) == infinity ? 1u : 0u;
      if (found != 0)
        for (std::size_t j = 0; j < rest.dim; ++j)
          if ((bits[j] & infinity) == infinity)
            throw InvalidArgument(
                "tokens", "sample " + std::to_string(i) + ", token " + std::to_string(t) + ", element " +
                              std::to_string(j) + ": " +
                              number_text(static_cast<double>(data::decode(bits[j], storage))) +
                              " (need finite numbers)");
    }
}

template struct BatchView<float>;
template struct BatchView<double>;

}  // namespace softstep
