#include "head_arrays.h"

#include <utility>
#include <vector>

#include "batch_arrays.h"
#include "results.h"
#include "softstep/error.h"
#include "softstep/threads.h"

namespace softstep::python {
namespace {

std::span<const std::int64_t> indices_of(const Array& array) {
  if (!array.given()) return {};
  array.require(Number::i64);
  array.require_dims(1, "one dimension");
  array.require_contiguous();
  // To the library an empty one would be none at all, and hide nothing.
  if (array.size() == 0) throw InvalidArgument(array.name(), "empty (need one number or more)");
  return array.span<std::int64_t>();
}

// The place of the first element in a span from the lowest to the highest, its size, and strides.
struct Place {
  std::ptrdiff_t low = 0, high = 0;
  HeadsStrides strides = {};
};

Place place_of(const Array& array) {
  const std::size_t n = array.n_dims(), last = n - 1;
  if (array.extent(last) > 1 && array.stride(last) != 1)
    throw InvalidArgument(array.name(), "stride " + std::to_string(array.stride(last)) +
                                            " along the last axis (its elements must be contiguous)");
  Place out;
  for (std::size_t k = 0; k < n; ++k) {
    if (array.extent(k) < 2) continue;  // a stride that is never taken, which may be anything
    const std::ptrdiff_t reach = (static_cast<std::ptrdiff_t>(array.extent(k)) - 1) * array.stride(k);
    (reach < 0 ? out.low : out.high) += reach;
  }
  out.strides.origin = static_cast<std::size_t>(-out.low);
  if (n == 4) {
    out.strides.batch = array.stride(0);
    out.strides.head = array.stride(1);
    out.strides.row = array.stride(2);
  } else {
    out.strides.row = array.stride(0);
    out.strides.head = array.stride(1);
  }
  return out;
}

template <NumberType T>
void require_numbers(const Array& array) {
  const bool fits = std::same_as<T, double> ? array.number() == Number::f64
                                            : array.number() == Number::f32 || in_16_bits(array.number());
  if (!fits)
    throw InvalidArgument(array.name(), std::string("dtype ") + to_string(array.number()) +
                                            " beside queries that are computed with in " +
                                            to_string(number_of<T>));
}

}  // namespace

HeadOptions::HeadOptions(std::optional<double> scale, double soft_cap, bool causal,
                         std::optional<std::size_t> before, std::optional<std::size_t> after,
                         nb::handle key_lengths, nb::handle query_offsets, nb::handle key_offsets,
                         int n_threads, const std::string& isa)
    : HeadOptions(scale, soft_cap, causal, before, after, optional_array(key_lengths, "key_lengths"),
                  optional_array(query_offsets, "query_offsets"), optional_array(key_offsets, "key_offsets"),
                  n_threads, isa) {}

HeadOptions::HeadOptions(std::optional<double> scale, double soft_cap, bool causal,
                         std::optional<std::size_t> before, std::optional<std::size_t> after,
                         Array key_lengths, Array query_offsets, Array key_offsets, int n_threads,
                         const std::string& isa)
    : key_lengths_(std::move(key_lengths)),
      query_offsets_(std::move(query_offsets)),
      key_offsets_(std::move(key_offsets)) {
  options_.scale = scale;
  options_.soft_cap = soft_cap;
  options_.mask.causal = causal;
  options_.mask.before = before;
  options_.mask.after = after;
  options_.mask.key_lengths = indices_of(key_lengths_);
  options_.mask.query_offsets = indices_of(query_offsets_);
  options_.mask.key_offsets = indices_of(key_offsets_);
  // The library's field has another name.
  if (n_threads < 0 || n_threads > most_threads)
    throw InvalidArgument("n_threads",
                          std::to_string(n_threads) + " (need 0 to " + std::to_string(most_threads) + ")");
  options_.threads = n_threads;
  options_.isa = isa;
  if (options_.mask.query_offsets.empty() != options_.mask.key_offsets.empty())
    throw InvalidArgument("key_offsets",
                          "given without query_offsets, or these without them (need both or none)");
}

LinearAttentionOptions HeadOptions::linear() const {
  if (options_.soft_cap != 0.0) throw InvalidArgument("soft_cap", "not with linear attention");
  return {.scale = options_.scale.value_or(1.0),
          .mask = options_.mask,
          .threads = options_.threads,
          .isa = options_.isa};
}

template <NumberType T>
HeadsView<T> view_of_heads(const Array& array) {
  if (!array.given()) return {};
  require_numbers<T>(array);
  const Place place = place_of(array);
  const std::size_t size = array.size() == 0 ? 0 : static_cast<std::size_t>(place.high - place.low + 1);
  HeadsView<T> out{.strides = place.strides};
  if (in_16_bits(array.number())) {
    out.halves = {array.as<std::uint16_t>() + place.low, size};
    out.storage = stored_type_of(array.number());
  } else {
    out.numbers = {array.as<T>() + place.low, size};
  }
  return out;
}

template <NumberType T>
HeadsSpan<T> span_of_heads(const Array& array) {
  if (!array.given()) return {};
  require_numbers<T>(array);
  const Place place = place_of(array);
  const std::size_t size = array.size() == 0 ? 0 : static_cast<std::size_t>(place.high - place.low + 1);
  HeadsSpan<T> out{.strides = place.strides};
  if (in_16_bits(array.number())) {
    out.halves = {array.writable<std::uint16_t>() + place.low, size};
    out.storage = stored_type_of(array.number());
  } else {
    out.numbers = {array.writable<T>() + place.low, size};
  }
  return out;
}

template HeadsView<float> view_of_heads(const Array&);
template HeadsView<double> view_of_heads(const Array&);
template HeadsSpan<float> span_of_heads(const Array&);
template HeadsSpan<double> span_of_heads(const Array&);

HeadsShape shape_of_heads(const Array& queries, const Array& keys, const Array& values,
                          const HeadOptions& options) {
  const bool ragged = options.ragged();
  const std::size_t n_dims = ragged ? 3 : 4, head = 1, last = n_dims - 1;
  const char* shape = ragged ? "(rows, heads, dim) with offsets" : "(batch, heads, rows, dim)";
  for (const Array* array : {&queries, &keys, &values}) array->require_dims(n_dims, shape);
  const auto require = [](const Array& array, std::size_t k, std::size_t wanted, const char* of) {
    if (array.extent(k) != wanted)
      throw InvalidArgument(array.name(), "shape " + array.shape_text() + " (axis " + std::to_string(k) +
                                              " must have " + std::to_string(wanted) + ", as " + of + ")");
  };
  HeadsShape out;
  out.batch = ragged ? options.batch_of_ragged() : queries.extent(0);
  out.n_heads = queries.extent(head);
  out.n_key_heads = keys.extent(head);
  out.dim = queries.extent(last);
  out.value_dim = values.extent(last);
  require(keys, last, out.dim, "queries");
  require(values, head, out.n_key_heads, "keys");
  if (ragged) {
    require(values, 0, keys.extent(0), "keys");
    const auto rows = [&](const Array& array, std::span<const std::int64_t> offsets) {
      if (offsets.back() > static_cast<std::int64_t>(array.extent(0)))
        throw InvalidArgument(array.name(), "shape " + array.shape_text() + " (its offsets end at " +
                                                std::to_string(offsets.back()) + ")");
    };
    rows(queries, options.softmax().mask.query_offsets);
    rows(keys, options.softmax().mask.key_offsets);
  } else {
    out.n_queries = queries.extent(2);
    out.n_keys = keys.extent(2);
    require(keys, 0, out.batch, "queries");
    require(values, 0, out.batch, "queries");
    require(values, 2, out.n_keys, "keys");
  }
  if (out.dim == 0)
    throw InvalidArgument("queries", "shape " + queries.shape_text() + " (dim must be 1 or more)");
  if (out.value_dim == 0)
    throw InvalidArgument("values", "shape " + values.shape_text() + " (dim must be 1 or more)");
  if (out.n_key_heads == 0)
    throw InvalidArgument("keys", "shape " + keys.shape_text() + " (heads must be 1 or more)");
  return out;
}

std::vector<std::size_t> extents_of_heads(const Array& like, std::size_t columns) {
  std::vector<std::size_t> out;
  for (std::size_t k = 0; k + 1 < like.n_dims(); ++k) out.push_back(like.extent(k));
  out.push_back(columns);
  return out;
}

HeadsOutput::HeadsOutput(nb::handle given, const char* name, nb::handle model, Number number,
                         std::span<const std::size_t> extents)
    : model_(nb::borrow(model)), given_(!given.is_none()) {
  object_ = given_ ? nb::borrow(given) : new_array(number, extents);
  array_ = Array(object_, name, Access::write);
  if (!given_) {
    array_.call_it(number);
    return;
  }
  bool same = array_.n_dims() == extents.size();
  for (std::size_t k = 0; same && k < extents.size(); ++k) same = array_.extent(k) == extents[k];
  if (same) return;
  std::string wanted;
  for (const std::size_t extent : extents) wanted += (wanted.empty() ? "" : ", ") + std::to_string(extent);
  throw InvalidArgument(name, "shape " + array_.shape_text() + " (need (" + wanted + "))");
}

nb::object HeadsOutput::hand_out() const {
  if (given_ || object_.is_none()) return object_;
  return like(model_, object_, array_.number());
}

}  // namespace softstep::python
