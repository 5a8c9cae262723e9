// Linear attention over heads on the active instruction set: plain, gated and without a mask, forward and
// backward.

#include "core/reference/linear_heads.h"
#include "limits/limits.h"
#include "softstep/isa.h"
#include "softstep/linear_attention.h"
#include "support.h"

namespace softstep::bench {
namespace {

struct Kind {
  const char* name;
  HeadGates gates;
  bool causal;
};
constexpr Kind kinds[] = {{"whole", HeadGates::none, false},
                          {"causal", HeadGates::none, true},
                          {"scalar_gates", HeadGates::scalar, true},
                          {"vector_gates", HeadGates::vector, true}};

struct LinearShape {
  std::size_t n_heads, n_tokens, dim;
};
constexpr LinearShape linear_shapes[] = {{8, 1024, 64}, {8, 1024, 128}, {1, 8192, 64}};

const simd::Isa& active() {
  for (const simd::Isa* isa : runnable_isas())
    if (active_isa() == isa->name) return *isa;
  return simd::best_isa();
}

/// Arrays [heads][tokens][dim]; the gates of a head with gate_columns.
template <class T>
struct LinearHeads {
  Kind kind;
  LinearShape shape;
  std::size_t gate_columns, size;
  std::vector<T> q, k, v, slopes, log_gates, out, dq, dk, dv, dlog_gates;

  LinearHeads(const Kind& a_kind, const LinearShape& a_shape)
      : kind(a_kind),
        shape(a_shape),
        gate_columns(kind.gates == HeadGates::none     ? 0
                     : kind.gates == HeadGates::scalar ? 1
                                                       : shape.dim),
        size(shape.n_heads * shape.n_tokens * shape.dim),
        q(uniform<T>(size, -1, 1, 1)),
        k(uniform<T>(size, -1, 1, 2)),
        v(uniform<T>(size, -1, 1, 3)),
        slopes(uniform<T>(size, -1, 1, 4)),
        log_gates(uniform<T>(shape.n_heads * shape.n_tokens * gate_columns, -0.1, 0, 5)),
        out(size),
        dq(size),
        dk(size),
        dv(size),
        dlog_gates(log_gates.size()) {}

  static HeadsView<T> view(const std::vector<T>& x) { return {x, {}, StoredType::working, {}}; }
  static HeadsSpan<T> span(std::vector<T>& x) { return {x, {}, StoredType::working, {}}; }
  LinearAttentionInputs<T> inputs() const {
    LinearAttentionInputs<T> in;
    in.shape = {1, shape.n_heads, 0, shape.n_tokens, shape.n_tokens, shape.dim, 0};
    in.queries = view(q), in.keys = view(k), in.values = view(v);
    in.gates = kind.gates;
    if (gate_columns != 0) in.log_gates = view(log_gates);
    return in;
  }
  LinearAttentionOptions options(int threads) const {
    LinearAttentionOptions out_options;
    out_options.mask.causal = kind.causal;
    out_options.threads = threads;
    return out_options;
  }
  void forward(int threads) { linear_attention_forward<T>(inputs(), span(out), options(threads)); }
  void backward(int threads) {
    LinearAttentionGradients<T> gradients{span(dq), span(dk), span(dv), {}};
    if (gate_columns != 0) gradients.log_gates = span(dlog_gates);
    linear_attention_backward<T>(inputs(), view(slopes), gradients, options(threads));
  }

  /// The last head beside the reference, some value columns at a time: outputs and dV belong to their
  /// columns, the other gradients are sums over them. Bounds: docs/mathematics.md, section 12.4.
  double worst_over_bound() const {
    using Number = long double;
    constexpr std::size_t band = 4;
    const std::size_t n = shape.n_tokens, d = shape.dim, at = (shape.n_heads - 1) * n * d,
                      gates_at = (shape.n_heads - 1) * n * gate_columns;
    reference::LinearHeadGradients<Number> sums[2];  // exact, and of the sizes
    for (auto& sum : sums) {
      sum.queries.assign(n * d, 0), sum.keys.assign(n * d, 0);
      sum.log_gates.assign(n * gate_columns, 0);
    }
    const double way =
                     (gate_columns == 0 ? 1.0 : 5.0) * static_cast<double>(n) + 76.0 + static_cast<double>(d),
                 keys_way = way + 8.0 + (kind.causal ? 0.0 : static_cast<double>(n)),
                 gates_way = way + static_cast<double>(d) + 196.0;
    double worst = 0.0;
    const auto compare = [&](const T& computed, Number exact, Number magnitude, double roundings) {
      const double bound = 1.01 * roundings * unit_roundoff<T> * static_cast<double>(magnitude);
      const double error = std::fabs(static_cast<double>(computed - exact));
      worst = worse(worst, error == 0.0 ? 0.0 : error / bound);
    };
    for (std::size_t first = 0; first < d; first += band) {
      reference::LinearHeadGradients<Number> parts[2];
      for (int sizes = 0; sizes < 2; ++sizes) {
        const auto number = [&](T x) { return static_cast<Number>(sizes ? std::fabs(x) : x); };
        reference::LinearHead<Number> head;
        head.n_queries = head.n_keys = n, head.dim = d, head.value_dim = band;
        head.gate_columns = gate_columns, head.causal = kind.causal;
        std::vector<Number> slopes_band;
        for (std::size_t e = 0; e < n * d; ++e)
          head.queries.push_back(number(q[at + e])), head.keys.push_back(number(k[at + e]));
        for (std::size_t t = 0; t < n; ++t)
          for (std::size_t c = first; c < first + band; ++c) {
            head.values.push_back(number(v[at + t * d + c]));
            slopes_band.push_back(number(slopes[at + t * d + c]));
          }
        for (std::size_t e = 0; e < n * gate_columns; ++e)
          head.log_gates.push_back(static_cast<Number>(log_gates[gates_at + e]));
        parts[sizes] = reference::linear_head_gradients(head, slopes_band);
        for (std::size_t e = 0; e < n * d; ++e) {
          sums[sizes].queries[e] += parts[sizes].queries[e];
          sums[sizes].keys[e] += parts[sizes].keys[e];
        }
        for (std::size_t e = 0; e < n * gate_columns; ++e)
          sums[sizes].log_gates[e] += parts[sizes].log_gates[e];
      }
      for (std::size_t t = 0; t < n; ++t)
        for (std::size_t c = 0; c < band; ++c) {
          const std::size_t e = t * band + c, here = at + t * d + first + c;
          compare(out[here], parts[0].outputs[e], parts[1].outputs[e], way);
          compare(dv[here], parts[0].values[e], parts[1].values[e], keys_way);
        }
    }
    for (std::size_t e = 0; e < n * d; ++e) {
      compare(dq[at + e], sums[0].queries[e], sums[1].queries[e], way);
      compare(dk[at + e], sums[0].keys[e], sums[1].keys[e], keys_way);
    }
    for (std::size_t e = 0; e < n * gate_columns; ++e)
      compare(dlog_gates[gates_at + e], sums[0].log_gates[e], sums[1].log_gates[e], gates_way);
    return worst;
  }

  /// Of a pass as a recurrence would have them, which is what any algorithm is measured by: 4 T d dv forward
  /// and 10 T d dv backward for each head.
  double flops(bool backward_pass) const {
    return (backward_pass ? 10.0 : 4.0) * static_cast<double>(size) * static_cast<double>(shape.dim);
  }
};

template <class T>
void measure(benchmark::State& state, const std::string& name, const Kind& kind, const LinearShape& shape,
             bool backward, int threads) {
  LinearHeads<T> heads(kind, shape);
  const auto check = [&] {
    heads.forward(threads);
    heads.backward(threads);
    return heads.worst_over_bound();
  };
  if (!verified_once(state, name, check)) return;
  for (auto _ : state) {
    if (backward)
      heads.backward(threads);
    else
      heads.forward(threads);
    benchmark::ClobberMemory();
  }
  count(state, {heads.flops(backward), peak_flops<T>(active(), threads)});
}

template <class T>
void enlist_type() {
  for (const Kind& kind : kinds)
    for (const LinearShape& shape : linear_shapes)
      for (const int threads : thread_counts())
        for (const bool backward : {false, true}) {
          const std::string name = std::string("linear_attention_") + (backward ? "backward/" : "forward/") +
                                   kind.name + "/" + type_name<T> + "/H:" + std::to_string(shape.n_heads) +
                                   "/T:" + std::to_string(shape.n_tokens) +
                                   "/d:" + std::to_string(shape.dim) + "/threads:" + std::to_string(threads);
          enlist(name, [=](benchmark::State& s) { measure<T>(s, name, kind, shape, backward, threads); });
        }
}

const bool registered = [] {
  enlist_type<float>();
  enlist_type<double>();
  return true;
}();

}  // namespace
}  // namespace softstep::bench
