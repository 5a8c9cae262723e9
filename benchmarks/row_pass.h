#pragma once

// row_scores and weighted_rows share their benchmark: rows of 64 and 128 numbers, from the near caches and
// from memory.

#include "core/reference/softmax_blocks.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {

template <class T>
using RowPass = void (*simd::Kernels<T>::*)(const simd::AttentionArgs<T>&);

template <class T>
void measure_row_pass(benchmark::State& state, const simd::Isa& isa, RowPass<T> pass) {
  const auto n = static_cast<std::size_t>(state.range(0)), dim = static_cast<std::size_t>(state.range(1));
  const std::vector<T> rows = uniform<T>(n * dim), query = uniform<T>(dim, -1, 1, 2),
                       weights = uniform<T>(n, 0, 1, 3);
  std::vector<T> scores(n), given = weights, sums(dim);
  simd::AttentionArgs<T> args{};
  args.tokens = rows.data();
  args.token_stride = args.dim = dim;
  args.n_tokens = n;
  args.projected_query = query.data();
  args.gradient = sums.data();
  args.scores = scores.data();
  args.weights = given.data();
  const auto run = isa.kernels<T>().*pass;
  run(args);
  const bool sums_rows = pass == &simd::Kernels<T>::weighted_rows;
  const std::size_t results = sums_rows ? dim : n, terms = sums_rows ? n : dim;
  const double roundings = roundings_of_sum(static_cast<double>(terms));
  double worst = 0.0;
  for (std::size_t k = 0; k < results; k += results / 500 + 1) {
    const auto exact = sums_rows
                           ? reference::weighted_rows<long double>(k, n, rows.data(), dim, weights.data())
                           : reference::row_scores<long double>(k, dim, rows.data(), dim, query.data());
    double sizes = 0.0;
    for (std::size_t l = 0; l < terms; ++l)
      sizes += std::fabs(
          static_cast<double>(sums_rows ? weights[l] * rows[l * dim + k] : query[l] * rows[k * dim + l]));
    worst = worse(worst, std::fabs(static_cast<double>((sums_rows ? sums : scores)[k] - exact)) /
                             (1.01 * roundings * unit_roundoff<T> * sizes));
  }
  if (!verified(state, worst, 1.0)) return;
  for (auto _ : state) {
    run(args);
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(n * dim * sizeof(T));
  count(state,
        {2.0 * static_cast<double>(n * dim), peak_flops<T>(isa), bytes, read_bandwidth(level_of(bytes))});
}

inline bool register_row_pass(const std::string& kernel, RowPass<float> f32, RowPass<double> f64) {
  for_each_kernel_variant(kernel, [&]<class T>(const simd::Isa& isa, const std::string& name) {
    RowPass<T> pass;
    if constexpr (sizeof(T) == sizeof(float))
      pass = f32;
    else
      pass = f64;
    enlist(name, [&isa, pass](benchmark::State& s) { measure_row_pass<T>(s, isa, pass); })
        ->ArgNames({"rows", "d"})
        ->Args({128, 64})
        ->Args({128, 128})
        ->Args({1 << 17, 128});
  });
  return true;
}

}  // namespace softstep::bench
