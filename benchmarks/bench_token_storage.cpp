// The attention kernel on tokens stored in 16 bits, arithmetic in f32: half the traffic where memory bounds
// it.

#include <algorithm>

#include "attention_pass.h"
#include "data.h"
#include "limits/limits.h"

namespace softstep::bench {
namespace {

// Random numbers of the type, with magnitudes in [1/4, 1), and what they are in float.
struct Stored {
  std::vector<std::uint16_t> half;
  std::vector<float> decoded;

  Stored(std::size_t size, StoredType storage) {
    std::mt19937 random(7);
    for (std::size_t k = 0; k < size; ++k) {
      const auto bits = static_cast<std::uint32_t>(random());
      const bool negative = bits & 1u, small = bits & 2u;
      const int mantissa_bits = storage == StoredType::f16 ? 10 : 7;
      const std::uint32_t mantissa = (bits >> 2) & ((1u << mantissa_bits) - 1);
      const std::uint32_t exponent = (storage == StoredType::f16 ? 14u : 126u) - small;
      half.push_back(static_cast<std::uint16_t>(negative << 15 | exponent << mantissa_bits | mantissa));
      const float value =
          std::ldexp(1.0f + std::ldexp(static_cast<float>(mantissa), -mantissa_bits), -1 - small);
      decoded.push_back(negative ? -value : value);
    }
  }
};

void measure(benchmark::State& state, const simd::Isa& isa, const Shape& shape, StoredType storage) {
  Layer<float>& in = layer<float>(shape);
  const std::size_t size = shape.n_tokens * shape.dim;
  const Stored stored(shape.n_samples * size, storage);
  const auto args = [&](std::size_t i) {
    auto out = in.args(i);
    out.storage = storage;
    out.half_tokens = stored.half.data() + i * size;
    return out;
  };
  // Against the definition with the decoded tokens, whose numbers are the same. Scores are larger here than
  // in the other benchmarks of the kernel, up to thousands: their sums are held to what random roundings
  // make.
  double worst = 0.0;
  for (std::size_t i = 0; i < std::min<std::size_t>(5, shape.n_samples); ++i) {
    auto plain = in.args(i);
    plain.tokens = stored.decoded.data() + i * size;
    std::fill_n(plain.gradient, shape.dim, std::numeric_limits<float>::quiet_NaN());
    const auto exponent = static_cast<double>(isa.f32->attention_of(args(i)).exponent);
    worst = worse(worst, worst_over_bound(plain, exponent, false,
                                          roundings_of_sum(static_cast<double>(shape.dim + 1))));
  }
  if (!verified(state, worst, 1.0)) return;
  for (auto _ : state) in.attend(args, isa.f32->attention);
  const double bytes = static_cast<double>(stored.half.size()) * sizeof(std::uint16_t);
  count(state, {4 * static_cast<double>(stored.half.size()), peak_flops<float>(isa), bytes,
                read_bandwidth(level_of(bytes))});
}

const bool registered = [] {
  for (const Shape& shape : shapes) {
    if (shape.n_samples * shape.n_tokens * shape.dim < 1000000) continue;  // where memory does not bound it
    for (const simd::Isa* isa : runnable_isas())
      for (const StoredType storage : {StoredType::f16, StoredType::bf16}) {
        const std::string label = std::string("attention_storage/") +
                                  (storage == StoredType::f16 ? "f16/" : "bf16/") + isa->name + "/" +
                                  name(shape);
        enlist(label, [=](benchmark::State& s) { measure(s, *isa, shape, storage); });
      }
  }
  return true;
}();

}  // namespace
}  // namespace softstep::bench
