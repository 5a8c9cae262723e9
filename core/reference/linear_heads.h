#pragma once

// Linear attention of one head from its definition, as a recurrence over keys:
//
//   S_t = diag(g_t) S_(t-1) + k_t v_t^T      o_i = scale S_p(i)^T q_i      p(i) = i + shift, causal
//                                            o_i = scale S_end^T q_i      otherwise
//
// and its gradients from the chain rule, step by step backwards through the same recurrence:
//
//   D_t = sum_{p(i) = t} scale q_i dO_i^T + diag(g_(t+1)) D_(t+1)
//   dk_t = D_t v_t    dv_t = D_t^T k_t    dg_t = rowsum(S_(t-1) * D_t)    dlog g_t = g_t dg_t
//
// Positions from `n_keys` on have queries but no keys, and nothing decays there. Arrays are packed,
// row-major.

#include <cmath>
#include <cstddef>
#include <vector>

namespace softstep::reference {

template <class Number>
struct LinearHead {
  std::size_t n_queries = 0, n_keys = 0, dim = 0, value_dim = 0;
  std::vector<Number> queries, keys, values;
  std::size_t gate_columns = 0;   ///< 0: no gates; 1; or dim
  std::vector<Number> log_gates;  ///< [n_keys, gate_columns]
  bool causal = false;
  std::ptrdiff_t shift = 0;  ///< query i stands beside key i + shift
  Number scale = Number(1);

  Number gate(std::size_t t, std::size_t l) const {
    using std::exp;
    if (gate_columns == 0) return Number(1);
    const Number& a = log_gates[t * gate_columns + (gate_columns == 1 ? 0 : l)];
    return a < Number(-1e30) ? Number(0) : Number(exp(a));
  }
  std::size_t n_positions() const {
    const std::ptrdiff_t end = static_cast<std::ptrdiff_t>(n_queries) + shift;
    return causal && end > static_cast<std::ptrdiff_t>(n_keys) ? static_cast<std::size_t>(end) : n_keys;
  }
  /// Calls body(i) for the queries at position t: those that see keys up to t and no others.
  template <class Body>
  void for_queries_at(std::size_t t, Body body) const {
    if (causal) {
      const std::ptrdiff_t i = static_cast<std::ptrdiff_t>(t) - shift;
      if (i >= 0 && i < static_cast<std::ptrdiff_t>(n_queries)) body(static_cast<std::size_t>(i));
    } else if (t + 1 == n_positions()) {
      for (std::size_t i = 0; i < n_queries; ++i) body(i);
    }
  }
};

/// O [n_queries, value_dim], and S_t for every position, [positions][dim, value_dim].
template <class Number>
struct LinearHeadOutputs {
  std::vector<Number> outputs;
  std::vector<std::vector<Number>> states;
};

template <class Number>
LinearHeadOutputs<Number> linear_head(const LinearHead<Number>& in) {
  const std::size_t d = in.dim, dv = in.value_dim;
  LinearHeadOutputs<Number> out;
  out.outputs.assign(in.n_queries * dv, Number(0));
  std::vector<Number> state(d * dv, Number(0));
  for (std::size_t t = 0; t < in.n_positions(); ++t) {
    if (t < in.n_keys)
      for (std::size_t l = 0; l < d; ++l) {
        const Number gate = in.gate(t, l);
        for (std::size_t c = 0; c < dv; ++c)
          state[l * dv + c] = gate * state[l * dv + c] + in.keys[t * d + l] * in.values[t * dv + c];
      }
    in.for_queries_at(t, [&](std::size_t i) {
      for (std::size_t c = 0; c < dv; ++c) {
        Number sum(0);
        for (std::size_t l = 0; l < d; ++l) sum += in.queries[i * d + l] * state[l * dv + c];
        out.outputs[i * dv + c] = in.scale * sum;
      }
    });
    out.states.push_back(state);
  }
  return out;
}

template <class Number>
struct LinearHeadGradients {
  std::vector<Number> outputs;  ///< O, which the gradients take anyway
  std::vector<Number> queries, keys, values, log_gates;
};

template <class Number>
LinearHeadGradients<Number> linear_head_gradients(const LinearHead<Number>& in,
                                                  const std::vector<Number>& output_gradient) {
  const std::size_t d = in.dim, dv = in.value_dim;
  const LinearHeadOutputs<Number> forward = linear_head(in);
  LinearHeadGradients<Number> out;
  out.outputs = forward.outputs;
  out.queries.assign(in.n_queries * d, Number(0));
  out.keys.assign(in.n_keys * d, Number(0));
  out.values.assign(in.n_keys * dv, Number(0));
  out.log_gates.assign(in.n_keys * in.gate_columns, Number(0));
  std::vector<Number> later(d * dv, Number(0));  // D_t
  for (std::size_t t = in.n_positions(); t-- > 0;) {
    in.for_queries_at(t, [&](std::size_t i) {
      for (std::size_t l = 0; l < d; ++l)
        for (std::size_t c = 0; c < dv; ++c) {
          out.queries[i * d + l] += in.scale * output_gradient[i * dv + c] * forward.states[t][l * dv + c];
          later[l * dv + c] += in.scale * in.queries[i * d + l] * output_gradient[i * dv + c];
        }
    });
    if (t >= in.n_keys) continue;
    for (std::size_t l = 0; l < d; ++l) {
      const Number gate = in.gate(t, l);
      Number through(0);
      for (std::size_t c = 0; c < dv; ++c) {
        out.keys[t * d + l] += later[l * dv + c] * in.values[t * dv + c];
        out.values[t * dv + c] += later[l * dv + c] * in.keys[t * d + l];
        if (t > 0) through += forward.states[t - 1][l * dv + c] * later[l * dv + c];
        later[l * dv + c] *= gate;
      }
      if (in.gate_columns != 0)
        out.log_gates[t * in.gate_columns + (in.gate_columns == 1 ? 0 : l)] += gate * through;
    }
  }
  return out;
}

}  // namespace softstep::reference
