#include "core/heads/linear/problem.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/data/checked_size.h"
#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "softstep/error.h"

namespace softstep::linear_heads {
namespace {

HeadsOptions options_of_heads(const LinearAttentionOptions& options) {
  if (options.mask.before)
    throw InvalidArgument("before", std::to_string(*options.mask.before) +
                                        " (linear attention has no window but the causal one)");
  if (options.mask.after && *options.mask.after != 0)
    throw InvalidArgument("after", std::to_string(*options.mask.after) +
                                       " (linear attention has no window but the causal one: need 0)");
  HeadsOptions out;
  out.scale = options.scale;
  out.mask = options.mask;
  out.threads = options.threads;
  out.isa = options.isa;
  return out;
}

template <class T>
std::size_t columns_of_gates(const LinearAttentionInputs<T>& inputs, bool causal) {
  const bool given = !inputs.log_gates.numbers.empty() || !inputs.log_gates.halves.empty();
  switch (inputs.gates) {
    case HeadGates::none:
      if (given) throw InvalidArgument("log_gates", "given without a kind of gates (gates = none)");
      return 0;
    case HeadGates::scalar:
    case HeadGates::vector:
      if (!causal) throw InvalidArgument("gates", "given without a causal mask (what decays has an order)");
      return inputs.gates == HeadGates::scalar ? 1 : inputs.shape.dim;
  }
  throw InvalidArgument("gates", std::to_string(static_cast<int>(inputs.gates)) + " (not a HeadGates)");
}

// All gates that are read are in [0, 1].
template <class T>
void check_log_gates(const Problem<T>& p) {
  std::vector<T> buffer(p.gate_columns);
  for (std::size_t index = 0; index < p.n_tasks(); ++index) {
    const Task<T> task(p, index);
    for (std::size_t t = 0; t < task.n_keys; ++t) {
      const T* row =
          read_rows(*p.kernels, p.log_gates, p.gate_columns, task.keys(p, t, 1), buffer.data()).data;
      bool right = true;
      for (std::size_t l = 0; l < p.gate_columns; ++l) right &= row[l] <= T(0);
      for (std::size_t l = 0; l < p.gate_columns && !right; ++l)
        if (!(row[l] <= T(0)))
          throw InvalidArgument("log_gates", data::number_text(static_cast<double>(row[l])) + " for key " +
                                                 std::to_string(t) + " of batch entry " +
                                                 std::to_string(task.batch) + ", key head " +
                                                 std::to_string(task.key_head) + ", dimension " +
                                                 std::to_string(l) + " (need at most 0)");
    }
  }
}

}  // namespace

template <class T>
Problem<T>::Problem(const LinearAttentionInputs<T>& inputs, const LinearAttentionOptions& options)
    : geometry(inputs.shape, options_of_heads(options)),
      kernels(&resolve_isa(options.isa).kernels<T>()),
      causal(options.mask.causal || options.mask.after),
      gates(inputs.gates),
      gate_columns(columns_of_gates(inputs, causal)),
      scale(heads::normal_or_zero<T>(options.scale, "scale")),
      queries(geometry.input(inputs.queries, heads::Axis::queries, geometry.dim, "queries")),
      keys(geometry.input(inputs.keys, heads::Axis::keys, geometry.dim, "keys")),
      values(geometry.input(inputs.values, heads::Axis::keys, geometry.value_dim, "values")) {
  std::size_t states = 0;
  if (!data::multiply(geometry.dim, geometry.value_dim, data::max_bytes / sizeof(T), states) ||
      (causal && !data::multiply(states, most_chunks() + 1, data::max_bytes / sizeof(T), states)))
    throw InvalidArgument("shape", "the states of " + std::to_string(most_chunks()) + " chunks, " +
                                       std::to_string(geometry.dim) + " by " +
                                       std::to_string(geometry.value_dim) + ", would not fit into memory");
  if (gate_columns == 0) return;
  log_gates = geometry.input(inputs.log_gates, heads::Axis::keys, gate_columns, "log_gates");
  check_log_gates(*this);
}

template <class T>
std::size_t Problem<T>::most_chunks() const {
  std::size_t longest = 1;
  for (std::size_t b = 0; b < geometry.batch; ++b) longest = std::max(longest, geometry.keys_of(b));
  return (longest - 1) / chunk_size + 1;
}

template <class T>
void Problem<T>::require_apart_from_inputs(const heads::Extent& output) const {
  using heads::Axis;
  heads::require_apart(output, extent_of(geometry, queries, Axis::queries, geometry.dim, "queries"));
  heads::require_apart(output, extent_of(geometry, keys, Axis::keys, geometry.dim, "keys"));
  heads::require_apart(output, extent_of(geometry, values, Axis::keys, geometry.value_dim, "values"));
  if (gate_columns != 0)
    heads::require_apart(output, extent_of(geometry, log_gates, Axis::keys, gate_columns, "log_gates"));
}

template struct Problem<float>;
template struct Problem<double>;

}  // namespace softstep::linear_heads
