// Attention over heads on the active instruction set: O = softmax(scale Q K^T) V of all tokens, forward and
// backward, and of one query beside many keys (decoding).

#include <map>
#include <memory>

#include "heads_case.h"
#include "limits/limits.h"
#include "softstep/isa.h"

namespace softstep::bench {
namespace {

enum class Pass { forward, backward };

const simd::Isa& active() {
  for (const simd::Isa* isa : runnable_isas())
    if (active_isa() == std::string(isa->name)) return *isa;
  return simd::best_isa();
}

// The arrays of the last shape asked for: repetitions share them.
template <class T>
HeadsArrays<T>& arrays(const HeadsCase& shape, StoredType type) {
  static std::unique_ptr<HeadsArrays<T>> last;
  static std::string what;
  const std::string wanted = shape.name() + to_string(type);
  if (what != wanted) {
    last.reset();
    last = std::make_unique<HeadsArrays<T>>(shape, type);
    what = wanted;
  }
  return *last;
}

double& known_peak(const std::string& name) {
  static std::map<std::string, double> peaks;
  return peaks[name];
}

template <class T>
void measure(benchmark::State& state, const std::string& name, const HeadsCase& shape, StoredType type,
             Pass pass, int threads) {
  HeadsArrays<T>& in = arrays<T>(shape, type);
  const auto check = [&] {
    in.forward(threads, true);
    in.backward(threads);
    return worst_over_bound(in);
  };
  if (!verified_once(state, name, check)) return;
  double& peak = known_peak(name);
  if (peak == 0.0) {
    in.state = {};
    peak = peak_bytes([&] {
      in.forward(threads, pass == Pass::backward);
      if (pass == Pass::backward) in.backward(threads);
    });
  }
  if (pass == Pass::backward) in.forward(threads, true);
  for (auto _ : state) {
    if (pass == Pass::forward)
      in.forward(threads, false);
    else
      in.backward(threads);
    benchmark::ClobberMemory();
  }
  Work work{(pass == Pass::forward ? 4 : 10) * shape.pairs() * static_cast<double>(shape.dim),
            peak_flops<T>(active(), threads)};
  if (!shape.square()) {
    // What is read of memory counts: K and V; backward they are read, dK and dV written.
    work = {0, 0, (in.k.bytes() + in.v.bytes()) * (pass == Pass::forward ? 1 : 2)};
    work.bandwidth = read_bandwidth(level_of(work.bytes, threads), threads);
  }
  count(state, work);
  state.counters["peak_MB"] = peak / 1e6;
}

template <class T>
void enlist_passes(const HeadsCase& shape, StoredType type, const char* type_text) {
  for (const int threads : thread_counts())
    for (const Pass pass : {Pass::forward, Pass::backward}) {
      const std::string name = std::string("heads") + (pass == Pass::forward ? "_forward/" : "_backward/") +
                               type_text + "/" + shape.name() + "/threads:" + std::to_string(threads);
      enlist(name, [=](benchmark::State& s) { measure<T>(s, name, shape, type, pass, threads); });
    }
}

const bool registered = [] {
  constexpr double most_flops = 18e9;  // of a forward pass: a call takes some tenths of a second
  for (const auto& [n_heads, n_key_heads] :
       {std::pair<std::size_t, std::size_t>{1, 1}, {8, 8}, {16, 16}, {16, 4}})
    for (const std::size_t tokens : {128, 512, 1024, 2048, 4096, 8192})
      for (const std::size_t dim : {64, 128, 256})
        for (const bool causal : {false, true}) {
          const HeadsCase shape{n_heads, n_key_heads, tokens, tokens, dim, causal};
          const double flops = 4 * shape.pairs() * static_cast<double>(dim) * (causal ? 2 : 1);
          // Of eight heads, and of sixteen on four, what issue and report name: 1024 tokens, 64 wide.
          const bool named = tokens == 1024 && dim == 64;
          if (flops > most_flops || ((n_heads == 8 || n_key_heads == 4) && !named)) continue;
          if ((tokens == 1024 || tokens == 4096) && !named && n_heads != 1) continue;
          enlist_passes<float>(shape, StoredType::working, "f32");
          if (flops <= most_flops / 4) enlist_passes<double>(shape, StoredType::working, "f64");
        }
  for (const std::size_t n_key_heads : {32, 8}) {
    const HeadsCase decoding{32, n_key_heads, 1, 8192, 128};
    enlist_passes<float>(decoding, StoredType::working, "f32");
    enlist_passes<float>(decoding, StoredType::f16, "f16");
    enlist_passes<float>(decoding, StoredType::bf16, "bf16");
  }
  return true;
}();

}  // namespace
}  // namespace softstep::bench
