#pragma once

// Arrays of heads: [batch, heads, rows, columns], or [rows, heads, columns] of ragged batches, with strides
// of any sign.

#include <nanobind/nanobind.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "array.h"
#include "softstep/attention.h"
#include "softstep/error.h"
#include "softstep/linear_attention.h"

namespace softstep::python {

/// What softmax and linear attention are asked for, kept for many calls. Holds the arrays that it names.
class HeadOptions {
 public:
  HeadOptions(std::optional<double> scale, double soft_cap, bool causal, std::optional<std::size_t> before,
              std::optional<std::size_t> after, nb::handle key_lengths, nb::handle query_offsets,
              nb::handle key_offsets, int n_threads, const std::string& isa);
  HeadOptions(std::optional<double> scale, double soft_cap, bool causal, std::optional<std::size_t> before,
              std::optional<std::size_t> after, Array key_lengths, Array query_offsets, Array key_offsets,
              int n_threads, const std::string& isa);

  const HeadsOptions& softmax() const { return options_; }
  LinearAttentionOptions linear() const;
  bool ragged() const { return !options_.mask.query_offsets.empty(); }
  std::size_t batch_of_ragged() const { return options_.mask.query_offsets.size() - 1; }

 private:
  Array key_lengths_, query_offsets_, key_offsets_;
  HeadsOptions options_ = {};
};

/// Array of heads that is read.
template <NumberType T>
HeadsView<T> view_of_heads(const Array& array);
/// Array of heads that is written.
template <NumberType T>
HeadsSpan<T> span_of_heads(const Array& array);

/// The sizes that queries, keys and values say. Throws InvalidArgument where they do not fit each other.
HeadsShape shape_of_heads(const Array& queries, const Array& keys, const Array& values,
                          const HeadOptions& options);

/// Extents of another array of heads with as many `columns`.
std::vector<std::size_t> extents_of_heads(const Array& like, std::size_t columns);

/// An output: `given`, or a new array of these extents where it is None; then it is made into the kind of
/// `model`.
class HeadsOutput {
 public:
  HeadsOutput() = default;
  HeadsOutput(nb::handle given, const char* name, nb::handle model, Number number,
              std::span<const std::size_t> extents);
  const Array& array() const { return array_; }
  nb::object hand_out() const;

 private:
  nb::object object_ = nb::none();
  nb::object model_ = nb::none();
  bool given_ = false;
  Array array_;
};

/// Calls use<T>() for the precision that queries of these numbers are computed with.
template <class Use>
decltype(auto) in_precision_of(const Array& queries, Use&& use) {
  if (queries.number() == Number::f64) return use.template operator()<double>();
  if (queries.number() == Number::f32 || in_16_bits(queries.number()))
    return use.template operator()<float>();
  throw InvalidArgument("queries", std::string("dtype ") + to_string(queries.number()) +
                                       " (need float16, bfloat16, float32 or float64)");
}

}  // namespace softstep::python
