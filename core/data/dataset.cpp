#include "softstep/dataset.h"

#include <type_traits>

#include "core/data/checked_size.h"
#include "core/data/half.h"
#include "core/data/text.h"

namespace softstep {
namespace {

void require_size(const char* name, std::size_t size, std::size_t expected) {
  if (size != expected)
    throw InvalidArgument(name, std::to_string(size) + " entries (need " + std::to_string(expected) + ")");
}

// rows * dim, or an error naming `name`.
std::size_t elements(const char* name, std::size_t rows, std::size_t dim) {
  std::size_t product = 0;
  if (!data::multiply(rows, dim, data::max_bytes, product))
    throw InvalidArgument(name, "sizes overflow: " + std::to_string(rows) + " times " + std::to_string(dim));
  return product;
}

template <class To, class From, class Place>
void append(std::vector<To>& out, const From* x, std::size_t size, const char* name, Place place) {
  for (std::size_t k = 0; k < size; ++k) {
    if constexpr (sizeof(To) < sizeof(From))
      if (data::overflows_float(x[k]))
        throw InvalidArgument(name, place() + "element " + std::to_string(k) + ": " +
                                        data::number_text(x[k]) + " overflows in float");
    out.push_back(static_cast<To>(x[k]));
  }
}

template <class To, class From>
DatasetParts<To> packed(const BatchView<From>& from) {
  if (from.targets != nullptr)
    throw InvalidArgument("targets", "set (the parts of a data set have labels in their place)");
  DatasetParts<To> parts;
  const std::size_t n = from.n_samples, dim = from.dim;
  parts.n_samples = n;
  parts.n_tokens = from.offsets ? 0 : from.n_tokens;
  parts.dim = dim;
  const auto sample = [](std::size_t i) { return "sample " + std::to_string(i) + ", "; };
  parts.tokens.reserve(elements("tokens", from.total_tokens(), dim));
  if (from.offsets) parts.offsets.push_back(0);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t n_tokens = from.tokens_of(i);
    for (std::size_t t = 0; t < n_tokens; ++t)
      append(parts.tokens, from.sample(i) + t * from.row_stride(), dim, "tokens",
             [&] { return sample(i) + "token " + std::to_string(t) + ", "; });
    if (from.offsets) parts.offsets.push_back(parts.offsets.back() + static_cast<std::int64_t>(n_tokens));
  }
  parts.labels.assign(from.labels, from.labels + n);
  if (from.decoder) append(parts.decoder, from.decoder, dim, "decoder", [] { return std::string(); });
  parts.all_tokens_are_queries = from.all_tokens_are_queries;
  parts.n_queries = from.n_queries;
  parts.query_offsets.assign(from.query_offsets.begin(), from.query_offsets.end());
  append(parts.query_weights, from.query_weights.data(), from.query_weights.size(), "query_weights",
         [] { return std::string(); });
  const std::size_t all = from.total_queries();
  if (from.queries) {
    parts.queries.reserve(elements("queries", all, dim));
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t q = 0; q < from.queries_of(i); ++q)
        append(parts.queries, from.query(i, q), dim, "queries", [&] { return sample(i); });
  } else if (from.query_index) {
    parts.query_index.assign(from.query_index, from.query_index + all);
  }
  return parts;
}

}  // namespace

template <NumberType T>
Dataset<T> make_dataset(DatasetParts<T> parts) {
  const auto kept = std::make_shared<DatasetParts<T>>(std::move(parts));
  const DatasetParts<T>& p = *kept;
  const std::size_t n = p.n_samples;
  if (n == 0 || p.dim == 0) throw InvalidArgument(n == 0 ? "n_samples" : "dim", "0 (need at least 1)");
  std::size_t rows = 0;
  if (p.offsets.empty()) {
    if (p.n_tokens == 0) throw InvalidArgument("n_tokens", "0 (need at least 1)");
    rows = elements("n_samples", n, p.n_tokens);
  } else {
    if (p.offsets.size() - 1 != n)
      throw InvalidArgument("offsets", std::to_string(p.offsets.size()) +
                                           " entries (need n_samples + 1, n_samples = " + std::to_string(n) +
                                           ")");
    if (p.offsets.back() < 0)
      throw InvalidArgument("offsets", "entry " + std::to_string(n) + ": " +
                                           std::to_string(p.offsets.back()) + " (need 0 or more)");
    rows = static_cast<std::size_t>(p.offsets.back());
  }
  require_size("tokens", p.tokens.size(), elements("tokens", rows, p.dim));
  require_size("labels", p.labels.size(), n);
  if (!p.decoder.empty()) require_size("decoder", p.decoder.size(), p.dim);
  std::size_t n_queries = elements("n_queries", n, p.n_queries);
  if (!p.query_offsets.empty()) {
    require_size("query_offsets", p.query_offsets.size(), n + 1);
    if (p.query_offsets.back() < 0)
      throw InvalidArgument(
          "query_offsets",
          "entry " + std::to_string(n) + ": " + std::to_string(p.query_offsets.back()) + " (need 0 or more)");
    n_queries = static_cast<std::size_t>(p.query_offsets.back());
  }
  if (!p.query_index.empty()) require_size("query_index", p.query_index.size(), n_queries);
  if (!p.queries.empty()) require_size("queries", p.queries.size(), elements("queries", n_queries, p.dim));

  const auto pointer = [](const auto& v) { return v.empty() ? nullptr : v.data(); };
  BatchView<T> view;
  view.tokens = pointer(p.tokens);
  view.n_samples = n;
  view.n_tokens = p.offsets.empty() ? p.n_tokens : 0;
  view.dim = p.dim;
  view.offsets = pointer(p.offsets);
  view.labels = pointer(p.labels);
  view.decoder = pointer(p.decoder);
  view.query_index = pointer(p.query_index);
  view.queries = pointer(p.queries);
  view.all_tokens_are_queries = p.all_tokens_are_queries;
  view.n_queries = p.n_queries;
  view.query_offsets = p.query_offsets;
  view.query_weights = p.query_weights;
  view.validate();
  return Dataset<T>(view, kept);
}

template <NumberType To, NumberType From>
Dataset<To> convert(const Dataset<From>& from) {
  from.view().validate();
  if constexpr (std::is_same_v<To, From>)
    return from;
  else
    return make_dataset(packed<To>(from.view()));
}

template Dataset<float> make_dataset(DatasetParts<float>);
template Dataset<double> make_dataset(DatasetParts<double>);
template Dataset<float> convert<float, float>(const Dataset<float>&);
template Dataset<float> convert<float, double>(const Dataset<double>&);
template Dataset<double> convert<double, float>(const Dataset<float>&);
template Dataset<double> convert<double, double>(const Dataset<double>&);

}  // namespace softstep
