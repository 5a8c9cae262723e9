// Softmax attention over heads as functions that XLA calls by itself, without Python: softstep/jax.py
// registers them.

#include <nanobind/nanobind.h>

#include <array>
#include <cstddef>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "head_inputs.h"
#include "parts.h"
#include "softstep/error.h"
#include "xla_ffi.h"

namespace nb = nanobind;

namespace softstep::python {
namespace {

using xla::CallFrame, xla::DataType;

// What can be left out: the bits of the last integer say what is there.
constexpr unsigned given_bias = 1, given_lengths = 2, given_offsets = 4, given_scale = 8;

Number number_of_xla(DataType type) {
  switch (type) {
    case DataType::f16:
      return Number::f16;
    case DataType::bf16:
      return Number::bf16;
    case DataType::f32:
      return Number::f32;
    case DataType::f64:
      return Number::f64;
    case DataType::s32:
      return Number::i32;
    case DataType::s64:
      return Number::i64;
  }
  return Number::other;
}

Array array_of(const xla::Values& values, std::size_t k, const char* name) {
  if (static_cast<std::int64_t>(k) >= values.size || values.kinds[k] != xla::Kind::buffer)
    throw InvalidArgument(name, "not among the buffers of the call");
  const auto& buffer = *static_cast<const xla::Buffer*>(values.values[k]);
  return Array::of_memory(buffer.data, number_of_xla(buffer.type),
                          {buffer.dims, static_cast<std::size_t>(buffer.rank)}, name);
}

// The numbers of an attribute.
template <class T>
std::span<const T> attribute(const CallFrame& frame, std::string_view name, std::size_t size) {
  const xla::Attributes& all = frame.attributes;
  for (std::int64_t k = 0; k < all.size; ++k) {
    if (std::string_view(all.names[k]->data, all.names[k]->size) != name) continue;
    const auto& array = *static_cast<const xla::AttributeArray*>(all.values[k]);
    constexpr DataType wanted = std::same_as<T, double> ? DataType::f64 : DataType::s64;
    if (all.kinds[k] == xla::AttributeKind::array && array.type == wanted && array.size == size)
      return {static_cast<const T*>(array.data), size};
  }
  throw InvalidArgument(std::string(name), "no attribute of " + std::to_string(size) + " numbers");
}

// The arguments of a call, one after the other.
class Arguments {
 public:
  explicit Arguments(const CallFrame& frame)
      : frame_(frame),
        numbers_(attribute<double>(frame, "numbers", 2)),
        integers_(attribute<std::int64_t>(frame, "integers", 5)),
        given_(static_cast<unsigned>(integers_[4])) {}

  HeadInputs inputs() {
    Array q = next("queries"), k = next("keys"), v = next("values");
    Array b = (given_ & given_bias) != 0 ? next("bias") : Array();
    Array lengths = (given_ & given_lengths) != 0 ? wide(next("key_lengths"), 0) : Array();
    const bool ragged = (given_ & given_offsets) != 0;
    Array first = ragged ? wide(next("query_offsets"), 1) : Array();
    Array second = ragged ? wide(next("key_offsets"), 2) : Array();
    const auto width = [](std::int64_t w) {
      return w < 0 ? std::nullopt : std::optional<std::size_t>(static_cast<std::size_t>(w));
    };
    const bool scaled = (given_ & given_scale) != 0;
    options_.emplace(scaled ? std::optional<double>(numbers_[0]) : std::nullopt, numbers_[1],
                     integers_[0] != 0, width(integers_[1]), width(integers_[2]), std::move(lengths),
                     std::move(first), std::move(second), static_cast<int>(integers_[3]), std::string());
    return {std::move(q), std::move(k), std::move(v), std::move(b), *options_};
  }
  Array next(const char* name) { return array_of(frame_.arguments, place_++, name); }
  Array result(std::size_t k, const char* name) const { return array_of(frame_.results, k, name); }
  const HeadsOptions& options() const { return options_->softmax(); }
  bool has_bias() const { return (given_ & given_bias) != 0; }

 private:
  // JAX has integers of 32 bits unless it is told otherwise.
  Array wide(Array array, std::size_t k) {
    if (array.number() == Number::i64) return array;
    array.require(Number::i32, " or int64");
    const std::span<const std::int32_t> numbers = array.span<std::int32_t>();
    widened_[k].assign(numbers.begin(), numbers.end());
    const std::array<std::int64_t, 1> shape = {static_cast<std::int64_t>(numbers.size())};
    array.require_dims(1, "one dimension");
    return Array::of_memory(widened_[k].data(), Number::i64, shape, array.label());
  }

  const CallFrame& frame_;
  std::span<const double> numbers_;
  std::span<const std::int64_t> integers_;
  unsigned given_;
  std::size_t place_ = 0;
  std::array<std::vector<std::int64_t>, 3> widened_ = {};
  std::optional<HeadOptions> options_ = {};
};

struct Forward {
  void operator()(const CallFrame& frame) const {
    Arguments call(frame);
    const HeadInputs in = call.inputs();
    const Array out = call.result(0, "out");
    in_precision_of(in.queries, [&]<NumberType T>() {
      attention_forward(in.in<T>(), HeadsOutputs<T>{.outputs = span_of_heads<T>(out)}, call.options());
    });
  }
};

// What a pass leaves cannot travel from call to call: it is computed once more.
template <NumberType T>
HeadsState<T> state_after(const HeadsInputs<T>& inputs, const HeadInputs& in, const HeadsOptions& options) {
  HeadsState<T> state;
  std::vector<T> out(in.queries.size() / in.shape.dim * in.shape.value_dim);
  std::vector<std::int64_t> shape;
  for (std::size_t k = 0; k + 1 < in.queries.n_dims(); ++k)
    shape.push_back(static_cast<std::int64_t>(in.queries.extent(k)));
  shape.push_back(static_cast<std::int64_t>(in.shape.value_dim));
  const Array array = Array::of_memory(out.data(), number_of<T>, shape, "out");
  attention_forward(inputs, HeadsOutputs<T>{.outputs = span_of_heads<T>(array), .state = &state}, options);
  return state;
}

struct Backward {
  void operator()(const CallFrame& frame) const {
    Arguments call(frame);
    const HeadInputs in = call.inputs();
    const Array gradient = call.next("gradient");
    const Array q = call.result(0, "query_gradient"), k = call.result(1, "key_gradient"),
                v = call.result(2, "value_gradient"),
                b = call.has_bias() ? call.result(3, "bias_gradient") : Array();
    in_precision_of(in.queries, [&]<NumberType T>() {
      const HeadsInputs<T> inputs = in.in<T>();
      const HeadsState<T> state = state_after(inputs, in, call.options());
      attention_backward(inputs, state, view_of_heads<T>(gradient),
                         HeadsGradients<T>{.queries = span_of_heads<T>(q),
                                           .keys = span_of_heads<T>(k),
                                           .values = span_of_heads<T>(v),
                                           .bias = packed<T>(b)},
                         call.options());
    });
  }
};

struct Second {
  void operator()(const CallFrame& frame) const {
    Arguments call(frame);
    const HeadInputs in = call.inputs();
    const Array gradient = call.next("gradient"), aq = call.next("query_direction"),
                ak = call.next("key_direction"), av = call.next("value_direction");
    const Array q = call.result(0, "query_product"), k = call.result(1, "key_product"),
                v = call.result(2, "value_product"), out = call.result(3, "output_derivative");
    in_precision_of(in.queries, [&]<NumberType T>() {
      const HeadsInputs<T> inputs = in.in<T>();
      const HeadsState<T> state = state_after(inputs, in, call.options());
      const HeadsDirection<T> along{
          .queries = view_of_heads<T>(aq), .keys = view_of_heads<T>(ak), .values = view_of_heads<T>(av)};
      attention_hessian_product(
          inputs, state, view_of_heads<T>(gradient), along,
          HeadsGradients<T>{
              .queries = span_of_heads<T>(q), .keys = span_of_heads<T>(k), .values = span_of_heads<T>(v)},
          call.options());
      attention_tangent(inputs, state, along, span_of_heads<T>(out), call.options());
    });
  }
};

xla::Error* error_of(const CallFrame& frame, const char* message, xla::ErrorCode code) {
  xla::ErrorArguments arguments{sizeof(xla::ErrorArguments), nullptr, message, code};
  return frame.api->create_error(&arguments);
}

// XLA asks once which version of its interface a handler was made for. All minor versions will do.
bool answered(const CallFrame& frame) {
  for (xla::Extension* e = frame.extensions; e != nullptr; e = e->next) {
    if (e->type != xla::ExtensionType::metadata) continue;
    xla::Metadata& metadata = *reinterpret_cast<xla::MetadataExtension*>(e)->metadata;
    metadata.version.major = xla::known_major;
    metadata.version.minor = frame.api->version.minor;
    metadata.traits = 0;
    if (metadata.struct_size > offsetof(xla::Metadata, state_type)) metadata.state_type = 0;
    return true;
  }
  return false;
}

template <class Work>
xla::Error* handle(CallFrame* frame) {
  if (answered(*frame)) return nullptr;
  try {
    if (frame->stage == xla::Stage::execute) Work()(*frame);
    return nullptr;
  } catch (const Error& error) {
    return error_of(*frame, error.what(), xla::ErrorCode::invalid_argument);
  } catch (const std::exception& error) {
    return error_of(*frame, error.what(), xla::ErrorCode::internal);
  }
}

}  // namespace

void add_xla_attention(nb::module_& m) {
  m.def(
      "xla_handlers",
      [] {
        nb::dict out;
        const auto add = [&](const char* name, xla::Handler* handler) {
          out[name] = nb::capsule(reinterpret_cast<const void*>(handler));
        };
        add("softstep_attention", handle<Forward>);
        add("softstep_attention_backward", handle<Backward>);
        add("softstep_attention_second", handle<Second>);
        return out;
      },
      nb::sig("def xla_handlers() -> dict[str, typing.Any]"),
      "Functions for jax.ffi.register_ffi_target, by name.");
}

}  // namespace softstep::python
