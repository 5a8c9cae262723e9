// Rows of a head as they are stored, 64 apart among 8 heads, times a scale into a block.

#include "core/reference/softmax_blocks.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto n_rows = static_cast<std::size_t>(state.range(0));
  constexpr std::size_t dim = 64, heads = 8;
  const std::vector<T> rows = uniform<T>(n_rows * heads * dim);
  std::vector<T> out(n_rows * dim);
  const T scale = T(0.3);
  const simd::PackArgs<T> args{n_rows,  dim,   rows.data(), heads * dim, StoredType::working,
                               nullptr, scale, out.data(),  dim};
  const auto& kernels = isa.kernels<T>();
  kernels.pack_rows(args);
  double worst = 0.0;
  for (std::size_t k = 0; k < out.size(); ++k) {
    const auto exact = reference::pack_rows<long double>(scale, rows[k / dim * heads * dim + k % dim]);
    worst = worse(worst, std::fabs(static_cast<double>(out[k] - exact)));
  }
  // One rounding of values below 1.
  if (!verified(state, worst, unit_roundoff<T>)) return;
  for (auto _ : state) {
    kernels.pack_rows(args);
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(out.size() * sizeof(T));
  count(state, {static_cast<double>(out.size()), peak_flops<T>(isa), 2.0 * bytes,
                read_bandwidth(level_of(2.0 * bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("pack_rows", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("rows")->Arg(64)->Arg(1024);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
