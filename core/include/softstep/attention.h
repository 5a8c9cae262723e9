#pragma once

// Softmax attention of any number of queries, keys and heads, forward and backward:
//
//   s_ij = c tanh(scale q_i . k_j / c) + bias_ij      (without a soft cap c: scale q_i . k_j + bias_ij)
//   p_i  = softmax(s_i) over the keys that query i may see      o_i = sum_j p_ij v_j
//
// Source: A. Vaswani et al., "Attention is all you need", 2017, equation 1; computed block by block as in T.
// Dao et al., "FlashAttention", 2022, but in the pivot form of docs/mathematics.md, section 11, so that
// gradients keep their direction where rows are saturated.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "softstep/error.h"
#include "softstep/export.h"
#include "softstep/number_type.h"
#include "softstep/stored_type.h"

namespace softstep {

/// Where the elements of an array [batch][heads][rows][columns] lie, in elements of its storage. The columns
/// of a row are contiguous. A stride that is not given is that of a packed array:
/// [batch][heads][rows][columns], or [rows][heads][columns] for ragged batches. A stride of 0 repeats what is
/// read; strides may be negative. The stride of a size of 1 is not used. Outputs must not overlap themselves.
struct HeadsStrides {
  std::size_t origin = 0;                    ///< place of element [0][0][0][0] in the span
  std::optional<std::ptrdiff_t> batch = {};  ///< from an entry of the batch to the next
  std::optional<std::ptrdiff_t> head = {};   ///< from a head to the next
  std::optional<std::ptrdiff_t> row = {};    ///< from a row to the next
};

/// An array that is read: numbers of T, or the bits of f16 or bf16 with T = float. Arithmetic is in T.
template <NumberType T>
struct HeadsView {
  std::span<const T> numbers = {};             ///< the elements, if storage is `working`
  std::span<const std::uint16_t> halves = {};  ///< in place of `numbers` if storage is f16 or bf16
  StoredType storage = StoredType::working;    ///< working, f16 or bf16
  HeadsStrides strides = {};                   ///< where the elements lie

  /// Whether there is an array.
  bool given() const { return numbers.data() != nullptr || halves.data() != nullptr; }
};

/// An array that is written.
template <NumberType T>
struct HeadsSpan {
  std::span<T> numbers = {};  ///< the elements, if storage is `working`
  std::span<std::uint16_t> halves =
      {};  ///< in place of `numbers` if storage is f16 or bf16; rounded to nearest even
  StoredType storage = StoredType::working;  ///< working, f16 or bf16
  HeadsStrides strides = {};                 ///< where the elements lie

  /// Whether there is an array to write to.
  bool wanted() const { return numbers.data() != nullptr || halves.data() != nullptr; }
};

/// Sizes. Query head h reads key head h / (n_heads / n_key_heads).
struct HeadsShape {
  std::size_t batch = 1;        ///< B
  std::size_t n_heads = 1;      ///< H
  std::size_t n_key_heads = 0;  ///< Hkv, a divisor of H; 0 means H
  std::size_t n_queries = 0;    ///< Tq; not used with `query_offsets`
  std::size_t n_keys = 0;       ///< Tk; not used with `key_offsets`
  std::size_t dim = 0;          ///< d of queries and keys
  std::size_t value_dim = 0;    ///< dv; 0 means d
};

/// Which keys a query may see. A query that sees none has output 0, log-sum-exp -infinity and gradient 0.
struct HeadsMask {
  /// Query i of m stands beside key i + n - m of n: both end together. It sees the keys from `before` places
  /// ahead of that one to `after` places behind it.
  bool causal = false;                             ///< the same as after = 0
  std::optional<std::size_t> before = {};          ///< places that are seen ahead; all if not given
  std::optional<std::size_t> after = {};           ///< places that are seen behind; all if not given
  std::span<const std::int64_t> key_lengths = {};  ///< [batch], each 0..Tk: keys from there on are padding
  /// Ragged batches: entry b of the batch has the rows offsets[b] .. offsets[b+1]-1 of an array without a
  /// batch dimension. Both or none; [batch + 1], from 0 on, never falling.
  std::span<const std::int64_t> query_offsets = {};
  std::span<const std::int64_t> key_offsets = {};  ///< the same for keys and values
};

/// bias[batch or 1][heads or 1][Tq][Tk], packed. -infinity hides a key. Not with ragged batches.
template <NumberType T>
struct HeadsBias {
  std::span<const T> numbers = {};  ///< packed; empty: no bias
  bool per_batch = false;           ///< else the same for every entry of the batch
  bool per_head = false;            ///< else the same for every head
};

/// How attention over heads is computed.
struct HeadsOptions {
  std::optional<double> scale = {};  ///< 1 / sqrt(d) if not given; 0 or a normal number of T
  double soft_cap = 0.0;             ///< c, a normal number of T; 0 means none
  HeadsMask mask = {};               ///< which keys a query may see
  int threads = 0;                   ///< results have the same bits for any number; 0: available_threads()
  std::string isa = {};              ///< "": the one in force
};

/// What attention over heads is computed of.
template <NumberType T>
struct HeadsInputs {
  HeadsShape shape = {};      ///< sizes
  HeadsView<T> queries = {};  ///< Q [B, H, Tq, d]
  HeadsView<T> keys = {};     ///< K [B, Hkv, Tk, d]
  HeadsView<T> values = {};   ///< V [B, Hkv, Tk, dv]
  HeadsBias<T> bias = {};     ///< added to the scores; may be absent
};

/// What the forward pass leaves for the others: O(B H Tq dv) numbers, kept for as long as these are wanted.
/// One state serves any number of calls, one after the other; memory is taken when it must grow.
template <NumberType T>
class SOFTSTEP_EXPORT HeadsState {
 public:
  HeadsState();  ///< An empty state, for attention_forward to fill.
  ~HeadsState();
  /// A state can be moved; what is left may be destroyed or assigned to.
  HeadsState(HeadsState&&) noexcept;
  /// As the constructor above.
  HeadsState& operator=(HeadsState&&) noexcept;

  struct SOFTSTEP_HIDDEN Impl;  ///< internal
  SOFTSTEP_HIDDEN Impl& impl();
  SOFTSTEP_HIDDEN const Impl& impl() const;  ///< throws InvalidArgument where it has been moved from

 private:
  std::unique_ptr<Impl> impl_;
};

/// Where attention_forward writes.
template <NumberType T>
struct HeadsOutputs {
  HeadsSpan<T> outputs = {};  ///< O [B, H, Tq, dv]
  std::span<T> log_sum_exp =
      {};  ///< log sum_j e^(s_ij), [B, H, Tq] packed, [H, rows] if ragged; may be empty
  HeadsState<T>* state = nullptr;  ///< needed by attention_backward
};

/// O = softmax(scale Q K^T + bias) V. Memory beside inputs and outputs: some blocks a thread, and the state.
/// Error: |o - exact| <= (4 n + 40 + 2 log n + 2 (d + 6) max_j (scale sum_l |q_l k_jl| + |bias_j|)) u max_j
/// |v_j| for a row that sees n keys, while the third term times u is small (docs/mathematics.md,
/// section 11.3; the gradients' bounds are there too). Throws InvalidArgument; nothing has been written then.
/// NaN or infinity in Q, K or V give such in the rows that see them, and may spoil other rows of the head.
/// Keys that no row of a batch entry sees, as padding, are never looked at.
template <NumberType T>
SOFTSTEP_EXPORT void attention_forward(const HeadsInputs<T>& inputs, const HeadsOutputs<T>& outputs,
                                       const HeadsOptions& options = {});

/// Gradients of sum_ij dO_ij O_ij. What is not wanted is left out. With `query_exponents` row i of dQ is to
/// be multiplied by e^query_exponents[i]; with `key_exponents` dK of a key head by e^key_exponents[b Hkv +
/// h]: they stay true where the plain numbers underflow. dV needs no exponent: a row gives its pivot an
/// attention of 1 / Tk or more.
template <NumberType T>
struct HeadsGradients {
  HeadsSpan<T> queries = {};               ///< dQ
  HeadsSpan<T> keys = {};                  ///< dK
  HeadsSpan<T> values = {};                ///< dV
  std::span<T> bias = {};                  ///< of the shape of the bias, which must be given
  std::span<double> query_exponents = {};  ///< [B, H, Tq], or [H, rows] if ragged
  std::span<double> key_exponents = {};    ///< [B, Hkv]
};

/// The gradients for the output's gradient dO, after attention_forward on the same inputs with the same
/// options and `state`.
template <NumberType T>
SOFTSTEP_EXPORT void attention_backward(const HeadsInputs<T>& inputs, const HeadsState<T>& state,
                                        const HeadsView<T>& output_gradient,
                                        const HeadsGradients<T>& gradients, const HeadsOptions& options = {});

/// A direction in which inputs move; what is not given stands still.
template <NumberType T>
struct HeadsDirection {
  HeadsView<T> queries = {};          ///< Q', as Q
  HeadsView<T> keys = {};             ///< K'
  HeadsView<T> values = {};           ///< V'
  HeadsView<T> output_gradient = {};  ///< dO'; attention_hessian_product only
};

/// The derivative of the output along a direction (Jacobian-vector product), after attention_forward as
/// above.
template <NumberType T>
SOFTSTEP_EXPORT void attention_tangent(const HeadsInputs<T>& inputs, const HeadsState<T>& state,
                                       const HeadsDirection<T>& direction, const HeadsSpan<T>& output_tangent,
                                       const HeadsOptions& options = {});

/// The derivatives of dQ, dK and dV along a direction. With dO fixed they are the product of the direction
/// with the Hessian of sum_ij dO_ij O_ij by Q, K and V; where dO is the gradient of a loss by O and dO' what
/// that moves by (the loss's Hessian times attention_tangent), that of the loss. Exponents as in
/// attention_backward; no gradient of the bias.
template <NumberType T>
SOFTSTEP_EXPORT void attention_hessian_product(const HeadsInputs<T>& inputs, const HeadsState<T>& state,
                                               const HeadsView<T>& output_gradient,
                                               const HeadsDirection<T>& direction,
                                               const HeadsGradients<T>& products,
                                               const HeadsOptions& options = {});

}  // namespace softstep
