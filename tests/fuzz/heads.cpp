// Attention over heads, forward and backward, on every instruction set beside the reference: shapes, masks,
// orders in memory, storage, raggedness and numbers from the bytes. The bounds are those of the tests
// (core/reference/heads_bounds.h). NaN or infinity in the keys of a head reach the rows that see them
// (softstep/attention.h), and no other head.

#include <cmath>
#include <limits>
#include <vector>

#include "bytes.h"
#include "heads/heads_check.h"
#include "memory_file.h"
#include "support/isas.h"

// Compiled in tests/heads/heads_tests.cpp elsewhere.
namespace softstep::test {
template class HeadsArray<float>;
template class HeadsArray<double>;
template struct HeadsCase<float>;
template struct HeadsCase<double>;
template struct HeadsRun<float>;
template struct HeadsRun<double>;
template class HeadsExact<float>;
template class HeadsExact<double>;
}  // namespace softstep::test

using namespace softstep;
using fuzz::require;
using test::HeadsArray;
using test::HeadsCase;
using test::HeadsRun;
using test::HeadsSetup;

namespace {

HeadsSetup setup_of(fuzz::Bytes& bytes, bool halves) {
  HeadsSetup out;
  out.seed = bytes.word();
  const std::size_t n_key_heads = bytes.between(1, 3);
  const auto length = [&] { return bytes.byte() > 230 ? bytes.between(1, 100) : bytes.between(1, 24); };
  out.shape = {.batch = bytes.between(1, 3),
               .n_heads = n_key_heads * bytes.between(1, 3),
               .n_key_heads = n_key_heads,
               .n_queries = length(),
               .n_keys = length(),
               .dim = bytes.between(1, 40),
               .value_dim = bytes.between(1, 40)};
  out.causal = bytes.flag();
  if (bytes.flag()) out.before = bytes.between(0, out.shape.n_keys);
  if (bytes.flag()) out.after = bytes.between(0, out.shape.n_keys);
  if (bytes.flag()) out.soft_cap = bytes.pick({0.5, 3.0, 50.0});
  if (bytes.flag()) out.scale = bytes.pick({0.125, 1.0, -0.7, 1e-3});
  out.order = static_cast<test::Order>(bytes.between(0, 4));
  if (halves) {
    out.storage = bytes.pick({StoredType::working, StoredType::f16, StoredType::bf16});
    out.result_storage = bytes.pick({StoredType::working, StoredType::f16, StoredType::bf16});
  }
  out.spread = bytes.pick({1.0, 0.0, 5.0, 50.0, 1000.0, 1e-30});
  if (in_16_bits(out.storage)) {
    out.spread = std::min(out.spread, 50.0);
    if (out.scale) out.scale = 0.125;
  }
  out.exponents = bytes.flag();
  if (bytes.byte() > 192) {
    for (std::vector<std::int64_t>* offsets : {&out.query_offsets, &out.key_offsets}) {
      offsets->assign(1, 0);
      for (std::size_t b = 0; b < out.shape.batch; ++b)
        offsets->push_back(offsets->back() +
                           static_cast<std::int64_t>(bytes.byte() > 200 ? 0 : bytes.between(1, 24)));
    }
    return out;
  }
  if (bytes.flag())
    for (std::size_t b = 0; b < out.shape.batch; ++b)
      out.key_lengths.push_back(static_cast<std::int64_t>(bytes.between(0, out.shape.n_keys)));
  if (bytes.flag()) {
    out.bias = true;
    out.bias_per_batch = bytes.flag();
    out.bias_per_head = bytes.flag();
    out.hidden = bytes.pick({0.0, 0.2, 0.9});
  }
  return out;
}

// Some numbers become zero, tiny, subnormal or, where nothing can leave the range of T by it, larger.
template <class T>
void change(fuzz::Bytes& bytes, HeadsArray<T>& array) {
  using Limits = std::numeric_limits<T>;
  if (array.rows().total() == 0) return;
  const std::size_t n = bytes.between(0, 4);
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t b = bytes.byte() % array.rows().of_entry.size(), rows = array.rows().of_entry[b];
    if (rows == 0) continue;
    const double value = bytes.pick<double>({0.0, -0.0, static_cast<double>(Limits::denorm_min()),
                                             static_cast<double>(Limits::min()) / 4, 1e-20, -16.0, 0x1p-14});
    array.set(b, bytes.byte() % array.n_heads(), bytes.byte() % rows, bytes.byte() % array.n_cols(), value);
  }
}

template <class T>
void check_bounds(fuzz::Bytes& bytes, HeadsCase<T>& in) {
  for (HeadsArray<T>* array : {&in.queries, &in.keys, &in.values, &in.output_gradient}) change(bytes, *array);
  const test::HeadsExact<T> exact(in);
  const int n_threads = static_cast<int>(bytes.between(1, 2));
  for (const simd::Isa* isa : test::runnable_isas()) {
    const HeadsRun<T> out = test::run(in, isa->name, n_threads);
    require(exact.compare(out).ok());
    require(out.gaps_untouched());
  }
}

// A row of keys that is NaN: in the rows that see it, outputs are not numbers; other heads have the bits that
// they had.
template <class T>
void check_not_finite(fuzz::Bytes& bytes, HeadsCase<T>& in) {
  const HeadsSetup& setup = in.setup;
  if (setup.order == test::Order::repeated) return;
  const std::size_t b = bytes.byte() % setup.shape.batch, g = bytes.byte() % setup.n_key_heads(),
                    n = in.n_keys(b), group = setup.shape.n_heads / setup.n_key_heads();
  if (n == 0) return;
  const std::size_t j = bytes.byte() % n;
  const double bad = bytes.flag() ? static_cast<double>(NAN) : HUGE_VAL;
  const bool in_values = bytes.flag();
  const HeadsCase<T> clean(setup);
  HeadsArray<T>& array = in_values ? in.values : in.keys;
  for (std::size_t c = 0; c < array.n_cols(); ++c) array.set(b, g, j, c, c == 0 ? NAN : bad);
  for (const simd::Isa* isa : test::runnable_isas()) {
    const HeadsRun<T> out = test::run(in, isa->name), before = test::run(clean, isa->name);
    require(out.gaps_untouched());
    for (std::size_t e = 0; e < setup.shape.batch; ++e)
      for (std::size_t h = 0; h < setup.shape.n_heads; ++h) {
        const auto head = test::head_of<long double>(clean, e, h);
        const bool spoilt = e == b && h / group == g;
        for (std::size_t i = 0; i < out.outputs.rows().of_entry[e]; ++i)
          for (std::size_t c = 0; c < out.outputs.n_cols(); ++c) {
            const T x = out.outputs.get(e, h, i, c), y = before.outputs.get(e, h, i, c);
            if (!spoilt)
              require(x == y);
            else if (head.seen(i, j) != 0 && (!in_values || c == 0))
              require(!std::isfinite(x));
          }
      }
  }
}

template <class T>
void one_case(fuzz::Bytes& bytes) {
  const bool finite = bytes.byte() < 200;
  HeadsCase<T> in(setup_of(bytes, sizeof(T) == 4));
  if (finite)
    check_bounds(bytes, in);
  else
    check_not_finite(bytes, in);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  if (bytes.flag())
    one_case<float>(bytes);
  else
    one_case<double>(bytes);
  return 0;
}
