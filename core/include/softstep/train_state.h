#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "softstep/export.h"
#include "softstep/model.h"
#include "softstep/step_rules.h"

namespace softstep {

struct TrainerOptions;

/// How float32 weights take steps smaller than their rounding unit.
enum class MasterWeights {
  working,  ///< in the working type. float32 keeps what is rounded off beside it: steps down to 2^-48 of W
            ///< count
  float64   ///< kept in double, rounded to the working type for the kernels
};

/// How a run keeps W. The trajectory is the same to rounding; the cost of a step is not. The span forms use
/// that every gradient is a sum of g_i z_i^T (query span) or x_it z_i^T (token span), for rules that move
/// along the gradient itself. They go with an AttentionModel of a combined W and a fixed decoder, and steps
/// that see all samples.
enum class Form {
  automatic,   ///< the cheapest for the shape, the rule and the number of steps
  dense,       ///< W, dim x dim: 4 n d^2 + 4 n T d flops a step
  query_span,  ///< V = Z W^T and the queries' Gram matrix: 2 n^2 d + 4 n T d
  token_span   ///< scores and the Gram matrix of all tokens: 2 (n T)^2
};
SOFTSTEP_EXPORT const char* to_string(Form form);
/// "auto", "dense", "query-span" or "token-span"; throws InvalidArgument otherwise.
SOFTSTEP_EXPORT Form parse_form(const std::string& name);

/// A run that can be put down and taken up: continuing gives the same bits as never having stopped.
template <NumberType T>
struct SOFTSTEP_EXPORT TrainState {
  std::vector<std::vector<T>> blocks = {};  ///< in the model's order
  std::vector<std::vector<double>> masters =
      {};  ///< the same in double, with MasterWeights::float64; else empty vectors
  std::vector<RuleState> rule_states = {};  ///< one per block
  /// With float32, where there is no master: a block is blocks[k] + remainders[k], a remainder below half a
  /// unit in the last place. Not used if the block has been set to another since, or where it is empty.
  std::vector<std::vector<T>> remainders = {};
  /// What a form goes on from, beside W: empty after most dense runs, not used if W has been set to another
  /// since. W = base + sum_k (coefficient_k + recent_k) (its token or row) z_i^T, tokens and queries over
  /// powers of two; `remainder` is that of the coefficients, `recent` what has been added since they were
  /// last made whole (float32). `projected` is V or the scores, in the form's own layout. A dense run that
  /// does not form the gradient has W as it was in `base`, with its `remainder`, its rows since in `recent`,
  /// and W as the kernels read it in `projected`.
  struct Span {
    Form form = Form::dense;           ///< the form that this belongs to
    std::vector<T> base = {};          ///< W that the rest is added to
    std::vector<T> coefficients = {};  ///< of the sum
    std::vector<T> projected = {};     ///< V, the scores, or W as the kernels read it
    std::vector<T> remainder = {};     ///< what was rounded off
    std::vector<T> recent = {};        ///< added since
  };
  Span span = {};         ///< see Span; nothing that a caller sets
  std::int64_t step = 0;  ///< steps taken since the beginning
  double seconds = 0.0;   ///< spent in them
  /// Block k in double: its master where there is one. Throws InvalidArgument where there is no block k.
  std::vector<double> values(std::size_t k) const;
  /// Whether there are masters.
  bool has_masters() const;
};

/// A state at step 0 with these blocks, each row-major in the model's order; none given: all zero. Throws
/// InvalidArgument naming a block of another size, or that is not finite in T.
template <NumberType T>
SOFTSTEP_EXPORT TrainState<T> initial_state(const Model<T>& model,
                                            const std::vector<std::vector<double>>& blocks = {},
                                            MasterWeights master = MasterWeights::working);
/// The same with blocks from N(0, std^2) in the documented random stream: block k from seed + k. Zero for std
/// = 0.
template <NumberType T>
SOFTSTEP_EXPORT TrainState<T> normal_state(const Model<T>& model, double std, std::uint64_t seed,
                                           MasterWeights master = MasterWeights::working);
/// N(0, std^2) weights, dim x dim, from that stream.
SOFTSTEP_EXPORT std::vector<double> normal_weights(std::size_t dim, double std, std::uint64_t seed);
/// The first `size` numbers of that stream.
SOFTSTEP_EXPORT std::vector<double> normal_values(std::size_t size, double std, std::uint64_t seed);

/// Observable k of a model (Model::observables) at a state.
template <NumberType T>
SOFTSTEP_EXPORT std::vector<double> observe(const Model<T>& model, const TrainState<T>& state, std::size_t k);

/// What the caller says of a run beside its state, by name.
using StateNotes = std::vector<std::pair<std::string, std::string>>;

/// Writes a state to a safetensors file, which carries a checksum and says what it belongs to, and on which
/// instruction set it was computed (`isa`). The notes are kept under `note.<name>`; load_metadata reads both
/// again. Throws IoError.
template <NumberType T>
SOFTSTEP_EXPORT void save_state(const std::string& path, const Model<T>& model, const TrainState<T>& state,
                                const TrainerOptions& options, const StateNotes& notes = {});
/// Reads such a file. Refuses a damaged file, other blocks, rules, batches, precision, and another
/// Model::identity: data, loss, options. Throws BadFile for a file that is damaged or no state,
/// InvalidArgument for one of another run, IoError.
template <NumberType T>
SOFTSTEP_EXPORT TrainState<T> load_state(const std::string& path, const Model<T>& model,
                                         const TrainerOptions& options);

extern template struct TrainState<float>;
extern template struct TrainState<double>;

}  // namespace softstep
