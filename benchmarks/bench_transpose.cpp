// A block of keys with the key last, as the products with queries read them.

#include "core/reference/softmax_blocks.h"
#include "limits/limits.h"
#include "support.h"

namespace softstep::bench {
namespace {

template <class T>
void measure(benchmark::State& state, const simd::Isa& isa) {
  const auto n_rows = static_cast<std::size_t>(state.range(0));
  constexpr std::size_t dim = 64;
  const std::vector<T> in = uniform<T>(n_rows * dim);
  std::vector<T> out(in.size());
  const simd::TransposeArgs<T> args{n_rows, dim, in.data(), dim, out.data(), n_rows};
  const auto& kernels = isa.kernels<T>();
  kernels.transpose(args);
  double wrong = 0.0;
  for (std::size_t k = 0; k < out.size(); ++k)
    wrong += out[k] == reference::transpose(k / n_rows, k % n_rows, in.data(), dim) ? 0.0 : 1.0;
  if (!verified(state, wrong, 0.0)) return;
  for (auto _ : state) {
    kernels.transpose(args);
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(out.size() * sizeof(T));
  count(state, {0, 0, 2.0 * bytes, read_bandwidth(level_of(2.0 * bytes))});
}

const bool registered = [] {
  for_each_kernel_variant("transpose", []<class T>(const simd::Isa& isa, const std::string& name) {
    enlist(name, [&isa](benchmark::State& s) { measure<T>(s, isa); })->ArgName("rows")->Arg(24)->Arg(384);
  });
  return true;
}();

}  // namespace
}  // namespace softstep::bench
