// Everything that cannot be used: one message that names it, nothing written.

#include <functional>
#include <utility>

#include "data/refused.h"
#include "heads/heads_tests.h"

namespace softstep::test {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::size_t huge = static_cast<std::size_t>(-1);

// A call that is right until something of it is changed.
template <class T>
struct Faces {
  HeadsInputs<T> inputs;
  HeadsOutputs<T> outputs;
  HeadsView<T> output_gradient;
  HeadsGradients<T> gradients;
  HeadsOptions options;
};

HeadsSetup plain_setup() {
  HeadsSetup setup;
  setup.shape = {
      .batch = 2, .n_heads = 4, .n_key_heads = 2, .n_queries = 3, .n_keys = 5, .dim = 8, .value_dim = 6};
  setup.bias = true;
  setup.bias_per_head = true;
  return setup;
}

HeadsSetup ragged_setup() {
  HeadsSetup setup;
  setup.shape = {.batch = 2, .n_heads = 4, .n_key_heads = 2, .dim = 8, .value_dim = 6};
  setup.query_offsets = {0, 1, 3};
  setup.key_offsets = {0, 4, 5};
  return setup;
}

template <class T>
using Change = std::function<void(Faces<T>&)>;

enum class Where { forward, backward, both };

template <class T>
void refuse(const HeadsSetup& setup, const std::string& argument, const std::vector<std::string>& words,
            const Change<T>& change, Where where = Where::both) {
  const HeadsCase<T> in(setup);
  const auto faces = [&](HeadsRun<T>& out) {
    return Faces<T>{in.inputs(), out.forward_face(), in.output_gradient.view(), out.backward_face(),
                    in.options("", 1)};
  };
  if (where != Where::backward) {
    HeadsRun<T> out(in);
    Faces<T> call = faces(out);
    change(call);
    const std::vector<std::uint64_t> before = out.bits();
    INFO("forward");
    require_refused(argument, words, [&] { attention_forward(call.inputs, call.outputs, call.options); });
    CHECK((out.bits() == before));
  }
  if (where != Where::forward) {
    HeadsRun<T> out(in);
    attention_forward(in.inputs(), out.forward_face(), in.options("", 1));
    Faces<T> call = faces(out);
    change(call);
    const std::vector<std::uint64_t> before = out.bits();
    INFO("backward");
    require_refused(argument, words, [&] {
      attention_backward(call.inputs, *call.outputs.state, call.output_gradient, call.gradients,
                         call.options);
    });
    CHECK((out.bits() == before));
  }
}

template <class T>
HeadsSpan<T> writable(const HeadsView<T>& view) {
  HeadsSpan<T> out;
  out.numbers = {const_cast<T*>(view.numbers.data()), view.numbers.size()};
  out.strides = view.strides;
  return out;
}

using F = Faces<float>;
void refuse_plain(const std::string& argument, const std::vector<std::string>& words,
                  const Change<float>& change, Where where = Where::both) {
  refuse<float>(plain_setup(), argument, words, change, where);
}
void refuse_ragged(const std::string& argument, const std::vector<std::string>& words,
                   const Change<float>& change, Where where = Where::both) {
  refuse<float>(ragged_setup(), argument, words, change, where);
}

}  // namespace

TEST_CASE("Shapes of heads that do not fit are refused", "[heads]") {
  refuse_plain("batch", {"0"}, [](F& f) { f.inputs.shape.batch = 0; });
  // It would take years of empty heads.
  refuse_plain("batch", {"1099511627776", "2^24"}, [](F& f) {
    f.inputs.shape.batch = std::size_t{1} << 40;
    f.inputs.shape.n_queries = f.inputs.shape.n_keys = 0;
  });
  // No array is so long, but a row of work would be.
  refuse_plain("dim", {"1125899906842624", "2^16"}, [](F& f) {
    f.inputs.shape.dim = std::size_t{1} << 50;
    f.inputs.shape.n_queries = f.inputs.shape.n_keys = 0;
  });
  refuse_plain("value_dim", {"65537", "2^16"}, [](F& f) {
    f.inputs.shape.value_dim = 65537;
    f.inputs.shape.n_queries = f.inputs.shape.n_keys = 0;
  });
  refuse_plain("n_heads", {"0"}, [](F& f) { f.inputs.shape.n_heads = 0; });
  refuse_plain("dim", {"0"}, [](F& f) { f.inputs.shape.dim = 0; });
  refuse_plain("n_key_heads", {"3", "4"}, [](F& f) { f.inputs.shape.n_key_heads = 3; });
  refuse_plain("n_key_heads", {"8", "4"}, [](F& f) { f.inputs.shape.n_key_heads = 8; });
  for (auto size : {&HeadsShape::batch, &HeadsShape::n_heads, &HeadsShape::n_queries, &HeadsShape::n_keys,
                    &HeadsShape::dim, &HeadsShape::value_dim})
    for (const std::size_t many : {huge, huge / 2, std::size_t{1} << 40}) {
      const HeadsCase<float> in(plain_setup());
      HeadsRun<float> out(in);
      const std::vector<std::uint64_t> before = out.bits();
      HeadsInputs<float> inputs = in.inputs();
      inputs.shape.n_key_heads = 0;
      inputs.shape.*size = many;
      CHECK_THROWS_AS(attention_forward(inputs, out.forward_face(), in.options("", 1)), InvalidArgument);
      CHECK((out.bits() == before));
    }
  // One element too few.
  const auto shorter = [](auto& array) { array.numbers = array.numbers.first(array.numbers.size() - 1); };
  refuse_plain("queries", {"191"}, [&](F& f) { shorter(f.inputs.queries); });
  refuse_plain("keys", {"159"}, [&](F& f) { shorter(f.inputs.keys); });
  refuse_plain("values", {"119"}, [&](F& f) { shorter(f.inputs.values); });
  refuse_plain(
      "outputs", {"143"}, [&](F& f) { shorter(f.outputs.outputs); }, Where::forward);
  refuse_plain(
      "output_gradient", {"143"}, [&](F& f) { shorter(f.output_gradient); }, Where::backward);
  refuse_plain(
      "gradients.queries", {"191"}, [&](F& f) { shorter(f.gradients.queries); }, Where::backward);
  refuse_plain(
      "gradients.keys", {"159"}, [&](F& f) { shorter(f.gradients.keys); }, Where::backward);
  refuse_plain(
      "gradients.values", {"119"}, [&](F& f) { shorter(f.gradients.values); }, Where::backward);
  // Nothing at all.
  refuse_plain("queries", {"0"}, [](F& f) { f.inputs.queries = {}; });
  refuse_plain("keys", {"0"}, [](F& f) { f.inputs.keys = {}; });
  refuse_plain("values", {"0"}, [](F& f) { f.inputs.values = {}; });
  refuse_plain(
      "outputs", {"0"}, [](F& f) { f.outputs.outputs = {}; }, Where::forward);
  refuse_plain(
      "output_gradient", {"0"}, [](F& f) { f.output_gradient = {}; }, Where::backward);
  // Packed arrays of other sizes.
  const auto one = [](auto& numbers) { numbers = numbers.first(numbers.size() - 1); };
  refuse_plain("bias", {"59", "60"}, [&](F& f) { one(f.inputs.bias.numbers); });
  refuse_plain("bias", {"60", "120"}, [](F& f) { f.inputs.bias.per_batch = true; });
  refuse_plain("bias", {"60", "15"}, [](F& f) { f.inputs.bias.per_head = false; });
  refuse_plain(
      "log_sum_exp", {"23", "24"}, [&](F& f) { one(f.outputs.log_sum_exp); }, Where::forward);
  refuse_plain(
      "gradients.query_exponents", {"23", "24"}, [&](F& f) { one(f.gradients.query_exponents); },
      Where::backward);
  refuse_plain(
      "gradients.key_exponents", {"3", "4"}, [&](F& f) { one(f.gradients.key_exponents); }, Where::backward);
  refuse_plain(
      "gradients.bias", {"59", "60"}, [&](F& f) { one(f.gradients.bias); }, Where::backward);
}

TEST_CASE("Strides that lead out of an array are refused", "[heads]") {
  refuse_plain("queries", {"192"}, [](F& f) { f.inputs.queries.strides.origin = 1; });
  refuse_plain("keys", {"160"}, [](F& f) { f.inputs.keys.strides.row = 9; });
  refuse_plain("keys", {"160"}, [](F& f) { f.inputs.keys.strides.row = -8; });
  refuse_plain("values", {"120"}, [](F& f) { f.inputs.values.strides.head = 1000; });
  refuse_plain("values", {"120"}, [](F& f) { f.inputs.values.strides.batch = -1; });
  refuse_plain("queries", {}, [](F& f) { f.inputs.queries.strides.origin = huge; });
  for (auto stride : {&HeadsStrides::row, &HeadsStrides::head, &HeadsStrides::batch})
    for (const std::ptrdiff_t far : {PTRDIFF_MAX, PTRDIFF_MIN, PTRDIFF_MAX / 2, PTRDIFF_MIN + 1}) {
      const HeadsCase<float> in(plain_setup());
      HeadsRun<float> out(in);
      HeadsInputs<float> inputs = in.inputs();
      inputs.keys.strides.*stride = far;
      CHECK_THROWS_AS(attention_forward(inputs, out.forward_face(), in.options("", 1)), InvalidArgument);
    }
}

TEST_CASE("Masks of heads that do not fit are refused", "[heads]") {
  static const std::vector<std::int64_t> negative{5, -1}, beyond{6, 5}, short_one{5}, long_one{5, 5, 5};
  refuse_plain("key_lengths[1]", {"-1"}, [](F& f) { f.options.mask.key_lengths = negative; });
  refuse_plain("key_lengths[0]", {"6", "5"}, [](F& f) { f.options.mask.key_lengths = beyond; });
  refuse_plain("key_lengths", {"1", "2"}, [](F& f) { f.options.mask.key_lengths = short_one; });
  refuse_plain("key_lengths", {"3", "2"}, [](F& f) { f.options.mask.key_lengths = long_one; });

  static const std::vector<std::int64_t> from_one{1, 2, 3}, falling{0, 4, 3}, two{0, 3}, four{0, 1, 2, 3},
      below{0, -1, 3}, far{0, 1, INT64_MAX}, lowest{0, INT64_MIN, 3};
  refuse_ragged("query_offsets[0]", {"1"}, [](F& f) { f.options.mask.query_offsets = from_one; });
  refuse_ragged("query_offsets[2]", {"3", "4"}, [](F& f) { f.options.mask.query_offsets = falling; });
  refuse_ragged("query_offsets[1]", {"-1"}, [](F& f) { f.options.mask.query_offsets = below; });
  refuse_ragged("query_offsets[1]", {}, [](F& f) { f.options.mask.query_offsets = lowest; });
  refuse_ragged("query_offsets", {"2", "3"}, [](F& f) { f.options.mask.query_offsets = two; });
  refuse_ragged("query_offsets", {"0", "3"}, [](F& f) { f.options.mask.query_offsets = {}; });
  refuse_ragged("key_offsets", {"4", "3"}, [](F& f) { f.options.mask.key_offsets = four; });
  refuse_ragged("key_offsets", {"0", "3"}, [](F& f) { f.options.mask.key_offsets = {}; });
  refuse_ragged("key_offsets[0]", {"1"}, [](F& f) { f.options.mask.key_offsets = from_one; });
  refuse_ragged("key_offsets[2]", {"3", "4"}, [](F& f) { f.options.mask.key_offsets = falling; });
  refuse_ragged("shape", {}, [](F& f) { f.options.mask.key_offsets = far; });
  // A batch that has no size + 1.
  refuse_ragged("query_offsets", {}, [](F& f) {
    f.inputs.shape.batch = huge;
    f.options.mask.query_offsets = {};
  });
  static const std::vector<float> bias(15, 0.0f);
  refuse_ragged("bias", {"ragged"}, [](F& f) { f.inputs.bias.numbers = bias; });
}

TEST_CASE("Numbers that attention over heads cannot use are refused", "[heads]") {
  for (const double bad : {static_cast<double>(NAN), infinity, -infinity}) {
    refuse_plain("scale", {}, [&](F& f) { f.options.scale = bad; });
    refuse_plain("soft_cap", {}, [&](F& f) { f.options.soft_cap = bad; });
  }
  refuse_plain("soft_cap", {"-1"}, [](F& f) { f.options.soft_cap = -1.0; });
  // Beyond float: 0 or infinity there.
  for (const auto& [bad, text] : {std::pair(1e39, "1e+39"), std::pair(1e300, "1e+300")}) {
    refuse_plain("scale", {text}, [value = bad](F& f) { f.options.scale = value; });
    refuse_plain("soft_cap", {text}, [value = bad](F& f) { f.options.soft_cap = value; });
  }
  // 0 there, or a number that has lost digits.
  for (const auto& [bad, text] : {std::pair(1e-60, "1e-60"), std::pair(1e-40, "1e-40")}) {
    refuse_plain("scale", {text, "normal"}, [value = bad](F& f) { f.options.scale = value; });
    refuse_plain("scale", {text, "normal"}, [value = bad](F& f) { f.options.scale = -value; });
    refuse_plain("soft_cap", {text, "normal"}, [value = bad](F& f) { f.options.soft_cap = value; });
  }
  static std::vector<float> with_nan(60, 0.0f), with_infinity(60, 0.0f);
  with_nan[41] = NAN;
  with_infinity[59] = std::numeric_limits<float>::infinity();
  refuse_plain("bias[41]", {"nan"}, [](F& f) { f.inputs.bias.numbers = with_nan; });
  refuse_plain("bias[59]", {"inf"}, [](F& f) { f.inputs.bias.numbers = with_infinity; });
}

TEST_CASE("Storage, threads and instruction sets that are none are refused", "[heads]") {
  refuse_plain("queries.storage", {"f64"}, [](F& f) { f.inputs.queries.storage = StoredType::f64; });
  refuse_plain(
      "outputs.storage", {"f64"}, [](F& f) { f.outputs.outputs.storage = StoredType::f64; }, Where::forward);
  refuse_plain(
      "gradients.keys.storage", {"f64"}, [](F& f) { f.gradients.keys.storage = StoredType::f64; },
      Where::backward);
  refuse_plain("keys.storage", {}, [](F& f) { f.inputs.keys.storage = static_cast<StoredType>(77); });
  // Named as 16 bits, given as numbers.
  refuse_plain("values", {"0"}, [](F& f) { f.inputs.values.storage = StoredType::f16; });
  using D = Faces<double>;
  refuse<double>(plain_setup(), "keys.storage", {"f16"},
                 [](D& f) { f.inputs.keys.storage = StoredType::f16; });
  refuse<double>(plain_setup(), "values.storage", {"f32"},
                 [](D& f) { f.inputs.values.storage = StoredType::f32; });
  refuse<double>(
      plain_setup(), "output_gradient.storage", {"bf16"},
      [](D& f) { f.output_gradient.storage = StoredType::bf16; }, Where::backward);
  refuse<double>(
      plain_setup(), "gradients.queries.storage", {"bf16"},
      [](D& f) { f.gradients.queries.storage = StoredType::bf16; }, Where::backward);
  refuse_plain("threads", {"-1"}, [](F& f) { f.options.threads = -1; });
  refuse_plain("threads", {"1025"}, [](F& f) { f.options.threads = 1025; });
  refuse_plain("isa", {"mmx"}, [](F& f) { f.options.isa = "mmx"; });
}

TEST_CASE("A bias whose size is beyond memory is refused", "[heads]") {
  // 2^16 (2^48 + 1) numbers are 2^16 of them in 64 bits.
  constexpr std::size_t m = std::size_t{1} << 16;
  const std::vector<float> one{1.0f}, bias(m, 0.0f);
  std::vector<float> outputs(m);
  HeadsInputs<float> in;
  in.shape = {.n_queries = m, .n_keys = (std::size_t{1} << 48) + 1, .dim = 1};
  for (HeadsView<float>* array : {&in.queries, &in.keys, &in.values}) {
    array->numbers = one;
    array->strides.row = 0;
  }
  in.bias.numbers = bias;
  HeadsOptions options;
  options.mask.before = options.mask.after = 0;
  require_refused("bias", {"65536", "memory"}, [&] {
    attention_forward<float>(in, {{outputs}, {}, nullptr}, options);
  });
}

TEST_CASE("Products along a direction are named as such", "[heads]") {
  const HeadsCase<double> in(plain_setup());
  HeadsRun<double> out = run(in, "");
  const HeadsDirection<double> along{in.queries.view(), {}, {}, {}};
  HeadsGradients<double> products = out.backward_face();
  products.bias = {};
  products.queries.numbers = products.queries.numbers.first(1);
  require_refused("products.queries", {"1 elements"}, [&] {
    attention_hessian_product(in.inputs(), out.state, in.output_gradient.view(), along, products,
                              in.options("", 1));
  });
}

TEST_CASE("Outputs of attention over heads that overlap are refused", "[heads]") {
  // Themselves
  refuse_plain(
      "outputs", {"overlap"}, [](F& f) { f.outputs.outputs.strides.row = 0; }, Where::forward);
  refuse_plain(
      "outputs", {"overlap"}, [](F& f) { f.outputs.outputs.strides.row = 5; }, Where::forward);
  refuse_plain(
      "outputs", {"overlap"}, [](F& f) { f.outputs.outputs.strides.head = 12; }, Where::forward);
  refuse_plain(
      "gradients.keys", {"overlap"}, [](F& f) { f.gradients.keys.strides.batch = 0; }, Where::backward);
  refuse_plain(
      "gradients.queries", {"overlap"},
      [](F& f) {
        f.gradients.queries.strides.origin = 16;
        f.gradients.queries.strides.row = -7;
      },
      Where::backward);
  // Inputs
  refuse_plain(
      "outputs", {"queries"}, [](F& f) { f.outputs.outputs = writable(f.inputs.queries); }, Where::forward);
  refuse_plain(
      "gradients.queries", {"queries"}, [](F& f) { f.gradients.queries = writable(f.inputs.queries); },
      Where::backward);
  refuse_plain(
      "gradients.keys", {"keys"}, [](F& f) { f.gradients.keys = writable(f.inputs.keys); }, Where::backward);
  refuse_plain(
      "gradients.values", {"values"}, [](F& f) { f.gradients.values = writable(f.inputs.values); },
      Where::backward);
  // Each other
  refuse_plain(
      "gradients.values", {"gradients.keys"},
      [](F& f) { f.gradients.values.numbers = f.gradients.keys.numbers; }, Where::backward);
  refuse_plain(
      "gradients.keys", {"gradients.queries"},
      [](F& f) { f.gradients.keys.numbers = f.gradients.queries.numbers; }, Where::backward);
  // The packed arrays
  const auto bias_of = [](F& f) {
    return std::span<float>{const_cast<float*>(f.inputs.bias.numbers.data()), f.inputs.bias.numbers.size()};
  };
  refuse_plain(
      "log_sum_exp", {"outputs"},
      [](F& f) { f.outputs.log_sum_exp = f.outputs.outputs.numbers.subspan(100, 24); }, Where::forward);
  refuse_plain(
      "log_sum_exp", {"keys"},
      [](F& f) { f.outputs.log_sum_exp = writable(f.inputs.keys).numbers.first(24); }, Where::forward);
  refuse_plain(
      "log_sum_exp", {"bias"}, [&](F& f) { f.outputs.log_sum_exp = bias_of(f).last(24); }, Where::forward);
  refuse_plain(
      "outputs", {"bias"},
      [&](F& f) {
        std::fill_n(f.outputs.outputs.numbers.data(), 60, 0.0f);
        f.inputs.bias = {std::span<const float>(f.outputs.outputs.numbers).first(60), false, true};
      },
      Where::forward);
  refuse_plain(
      "gradients.bias", {"bias"}, [&](F& f) { f.gradients.bias = bias_of(f); }, Where::backward);
  refuse_plain(
      "gradients.bias", {"gradients.queries"},
      [](F& f) { f.gradients.bias = f.gradients.queries.numbers.first(60); }, Where::backward);
  refuse_plain(
      "gradients.key_exponents", {"gradients.query_exponents"},
      [](F& f) { f.gradients.key_exponents = f.gradients.query_exponents.first(4); }, Where::backward);
}

TEST_CASE("Gradients of heads without their forward pass are refused", "[heads]") {
  HeadsState<float> empty;
  refuse_plain(
      "state", {"0"}, [&](F& f) { f.outputs.state = &empty; }, Where::backward);
  HeadsState<float> gone;
  const HeadsState<float> taken(std::move(gone));
  refuse_plain(
      "state", {}, [&](F& f) { f.outputs.state = &gone; }, Where::backward);
  // That of other shapes.
  refuse_plain(
      "state", {"rows"}, [](F& f) { f.inputs.shape.value_dim = 5; }, Where::backward);
  refuse_plain(
      "gradients.bias", {}, [](F& f) { f.inputs.bias = {}; }, Where::backward);
}

}  // namespace softstep::test
