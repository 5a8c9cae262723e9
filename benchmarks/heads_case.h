#pragma once

// One shape of attention over heads: its arrays, its answer beside the definition, its peak memory.

#include <malloc.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "softstep/attention.h"
#include "support.h"

namespace softstep::bench {

struct HeadsCase {
  std::size_t n_heads, n_key_heads, n_queries, n_keys, dim;
  bool causal = false;

  bool square() const { return n_queries == n_keys; }
  /// Pairs of query and key of all heads, as flops are counted: half of them with a causal mask.
  double pairs() const {
    return static_cast<double>(n_heads * n_queries) * static_cast<double>(n_keys) * (causal ? 0.5 : 1.0);
  }
  std::string name() const {
    const std::string grouped = n_key_heads == n_heads ? "" : "of" + std::to_string(n_key_heads);
    const std::string queries = square() ? "" : "/Tq:" + std::to_string(n_queries);
    return "H:" + std::to_string(n_heads) + grouped + queries + "/T:" + std::to_string(n_keys) +
           "/d:" + std::to_string(dim) + (square() ? causal ? "/causal" : "/full" : "");
  }
};

/// Numbers in the type that is measured: T, or the bits of f16 or bf16.
template <class T>
struct StoredNumbers {
  std::vector<T> numbers;
  std::vector<std::uint16_t> halves;
  StoredType storage = StoredType::working;

  StoredNumbers() = default;
  StoredNumbers(const std::vector<float>& values, StoredType type) : storage(type) {
    if (type == StoredType::working)
      numbers.reserve(values.size());
    else
      halves.reserve(values.size());
    for (const float x : values) {
      if (type == StoredType::working)
        numbers.push_back(static_cast<T>(x));
      else
        halves.push_back(half_of(x, type));
    }
  }
  double bytes() const { return static_cast<double>(numbers.size() * sizeof(T) + halves.size() * 2); }
  HeadsView<T> view() const { return {numbers, halves, storage, {}}; }
  HeadsSpan<T> span() { return {numbers, halves, storage, {}}; }
  double operator[](std::size_t k) const {
    if (storage == StoredType::working) return static_cast<double>(numbers[k]);
    const std::uint32_t h = halves[k];
    if (storage == StoredType::bf16) return static_cast<double>(std::bit_cast<float>(h << 16));
    const int exponent = static_cast<int>(h >> 10 & 31), mantissa = static_cast<int>(h & 1023);
    if (exponent == 31) return std::numeric_limits<double>::quiet_NaN();
    const double size =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    return h & 0x8000u ? -size : size;
  }
  /// Of a number that the type holds, normal or zero there.
  static std::uint16_t half_of(float x, StoredType type) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if (type == StoredType::bf16 || x == 0.0f) return static_cast<std::uint16_t>(bits >> 16);
    const std::uint32_t exponent = (bits >> 23 & 255) - 127 + 15;
    return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 1023));
  }
};

/// Multiples of 1/64 in [-2, 2): every type holds them, and scores are of a few units. A cheap generator,
/// since arrays are made again whenever another shape was measured in between: G. Marsaglia, "Xorshift RNGs",
/// 2003.
inline std::vector<float> few_bits(std::size_t size, std::uint32_t seed) {
  std::uint32_t random = 2463534242u + seed;
  std::vector<float> out(size);
  for (float& x : out) {
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    x = static_cast<float>(static_cast<int>(random >> 24) - 128) / 64.0f;
  }
  return out;
}

template <class T>
struct HeadsArrays {
  HeadsCase shape;
  StoredNumbers<T> q, k, v, slope, o, dq, dk, dv;
  std::vector<T> log_sum_exp;
  HeadsInputs<T> inputs;
  HeadsState<T> state;

  HeadsArrays(const HeadsCase& of, StoredType type) : shape(of) {
    const std::size_t rows = of.n_heads * of.n_queries, keys = of.n_key_heads * of.n_keys;
    q = {few_bits(rows * of.dim, 1), type};
    k = {few_bits(keys * of.dim, 2), type};
    v = {few_bits(keys * of.dim, 3), type};
    slope = {few_bits(rows * of.dim, 4), type};
    o = q;
    dq = q;
    dk = k;
    dv = v;
    log_sum_exp.resize(rows);
    inputs.shape = {1, of.n_heads, of.n_key_heads, of.n_queries, of.n_keys, of.dim, 0};
    inputs.queries = q.view();
    inputs.keys = k.view();
    inputs.values = v.view();
  }
  HeadsOptions options(int threads) const {
    HeadsOptions out;
    out.mask.causal = shape.causal;
    out.threads = threads;
    return out;
  }
  void forward(int threads, bool for_backward) {
    attention_forward(inputs, {o.span(), {}, for_backward ? &state : nullptr}, options(threads));
  }
  void backward(int threads) {
    attention_backward(inputs, state, slope.view(), {dq.span(), dk.span(), dv.span(), {}, {}, {}},
                       options(threads));
  }
};

/// Worst error over its bound of some rows of O, dQ, dK and dV after both passes; NaN is worst.
template <class T>
double worst_over_bound(const HeadsArrays<T>& in);

/// Bytes that run() takes at its peak beyond what the process has before it.
template <class Run>
double peak_bytes(Run run) {
  const auto status = [](const std::string& key) {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);)
      if (line.rfind(key + ":", 0) == 0) return 1024.0 * std::stod(line.substr(key.size() + 1));
    return 0.0;
  };
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
  const double before = status("VmRSS");
  run();
  return status("VmHWM") - before;
}

}  // namespace softstep::bench
