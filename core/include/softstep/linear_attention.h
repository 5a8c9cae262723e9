#pragma once

// Linear attention over heads, forward and backward: attention without the softmax, in O(T d dv) instead of
// O(T^2 d).
//
//   o_i = scale sum_{j seen by i} (q_i . k_j) v_j
//   with gates (causal):  S_t = diag(g_t) S_(t-1) + k_t v_t^T,    o_i = scale S_p(i)^T q_i
//
// where p(i) is the key that query i stands beside. Queries, keys, values, shapes, strides, storage and masks
// are those of softmax attention (softstep/attention.h).
//
// Sources: A. Katharopoulos et al., "Transformers are RNNs", 2020 (plain); Y. Sun et al., "Retentive
// Network", 2023, and T. Dao, A. Gu, "Transformers are SSMs" (Mamba-2), 2024 (a scalar gate); S. Yang et al.,
// "Gated Linear Attention Transformers with Hardware-Efficient Training", 2024 (a gate for each key
// dimension). How it is computed: docs/mathematics.md, section 12.

#include <cstddef>
#include <string>

#include "softstep/attention.h"

namespace softstep {

/// What decays between two keys. Gates belong to key heads and stand beside keys: g_t multiplies what is
/// remembered of the keys before t, not key t itself.
enum class HeadGates {
  none,    ///< plain linear attention
  scalar,  ///< one for each key: log_gates [B, Hkv, Tk, 1]
  vector,  ///< one for each key and dimension of the keys: log_gates [B, Hkv, Tk, d]
};

/// What linear attention is computed of.
template <NumberType T>
struct LinearAttentionInputs {
  HeadsShape shape = {};              ///< sizes
  HeadsView<T> queries = {};          ///< Q [B, H, Tq, d]
  HeadsView<T> keys = {};             ///< K [B, Hkv, Tk, d]
  HeadsView<T> values = {};           ///< V [B, Hkv, Tk, dv]
  HeadGates gates = HeadGates::none;  ///< what decays
  /// a_t = log g_t, as Mamba-2 and GLA have them: at most 0, and -infinity for a gate of 0, which forgets all
  /// keys before t. A gate near 1 keeps its digits in this form. Gates below the smallest normal number of T
  /// count as 0. Only with a causal mask.
  HeadsView<T> log_gates = {};
};

/// How linear attention is computed.
struct LinearAttentionOptions {
  double scale = 1.0;  ///< the factor of the output: 0 or a normal number of T
  /// Of windows only the causal one (`causal`, or after = 0): others are refused. Padding (key_lengths) adds
  /// nothing, and its gates are not read: nothing decays there.
  HeadsMask mask = {};
  int threads = 0;       ///< results have the same bits for any number; 0: available_threads()
  std::string isa = {};  ///< "": the one in force
};

/// O, [B, H, Tq, dv]; a query that sees no key has 0. Memory beside inputs and outputs: some blocks and some
/// states (d dv numbers) a thread, whatever the lengths. Error: with w_ij the product of the gates between
/// key and query, taken by dimension l,
///   |o_i - exact| <= u (n + d + 68) |scale| sum_j sum_l |q_il k_jl| |v_j|             plain, n = Tk
///   |o_i - exact| <= u (5 n + d + 76) |scale| sum_j sum_l w_ijl |q_il k_jl| |v_j|     with gates
/// element by element, and where factors underflow what underflow costs (docs/mathematics.md, section 12.4).
/// Throws InvalidArgument; nothing has been written then. NaN or infinity in Q, K or V give NaN in the rows
/// that see them, and in no others.
template <NumberType T>
SOFTSTEP_EXPORT void linear_attention_forward(const LinearAttentionInputs<T>& inputs,
                                              const HeadsSpan<T>& outputs,
                                              const LinearAttentionOptions& options = {});

/// Gradients of sum_i dO_i . O_i. What is not wanted is left out.
template <NumberType T>
struct LinearAttentionGradients {
  HeadsSpan<T> queries = {};    ///< dQ
  HeadsSpan<T> keys = {};       ///< dK
  HeadsSpan<T> values = {};     ///< dV
  HeadsSpan<T> log_gates = {};  ///< with respect to a_t = log g_t, of the shape of log_gates
};

/// The gradients for the output's gradient dO [B, H, Tq, dv]. Needs no state of the forward pass. Memory
/// beside inputs and outputs: the state before every 64th key, Tk d dv / 64 numbers, for as many key heads at
/// a time as there are threads. The gradient of a log gate is the sum over the pairs of query and key that
/// the gate stands between, each with its decay, and never a difference of sums over others: it keeps its
/// digits where a gate is near 0, and is 0 for a gate of 0.
template <NumberType T>
SOFTSTEP_EXPORT void linear_attention_backward(const LinearAttentionInputs<T>& inputs,
                                               const HeadsView<T>& output_gradient,
                                               const LinearAttentionGradients<T>& gradients,
                                               const LinearAttentionOptions& options = {});

}  // namespace softstep
