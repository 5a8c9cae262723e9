#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/model.h"

namespace softstep {

/// Sequences of numbers x_1 ... x_L, each with a number to be predicted.
struct SOFTSTEP_EXPORT InductionData {
  std::size_t length = 0;              ///< L, 3 or more
  std::vector<double> sequences = {};  ///< [n, L] row-major
  std::vector<double> targets = {};    ///< [n]
  /// Sequences.
  std::size_t n_samples() const { return targets.size(); }
  void validate() const;  ///< throws InvalidArgument naming the field
};

/// The task of M. Wang, R. Yu, W. E, L. Wu (arXiv 2410.11474): L numbers N(0, 1), and the target
///   y = (a x_{L-2} + sum_s softmax_s(w*^2 x_L x_{s-1}) x_s) / (1 + a),   s = 2 ... L-1,
/// a 4-gram and an in-context 2-gram (an induction head), mixed. From the stream of the generators: L
/// normal() for each sequence. Throws InvalidArgument for a length below 3, no sequences, an a that is
/// negative or a w* whose square is not finite.
SOFTSTEP_EXPORT InductionData induction_data(std::size_t n_samples, std::size_t length, double a,
                                             double w_star, std::uint64_t seed);

/// How the scores of the induction head are parametrised.
enum class InductionScores {
  product,  ///< w^2, as keys and queries make them
  single    ///< w, in one factor
};
SOFTSTEP_EXPORT const char* to_string(InductionScores scores);

/// How it is trained.
struct InductionOptions {
  InductionScores scores = InductionScores::product;  ///< of the second head
  std::string isa = {};                               ///< instruction set; empty means active_isa()
};

/// The second layer of a transformer with two, whose first layer stands and copies the previous token (source
/// as above): a head that sees relative positions alone, and one that compares with what came before,
///   f = v_1 sum_s softmax_s(-p (L - 1 - s)) x_{s-1} + v_2 sum_s softmax_s(w^2 x_L x_{s-1}) x_s
///   L = (1/2n) sum_i (f_i - y_i)^2
/// Blocks of one number each: "position_value" v_1, "position" p, "match_value" v_2, "match" w. L* is taken
/// for 0, which the target above has for p -> infinity. Gradients have exponents: of w they are right where w
/// is tiny, and of p and w where the softmax has saturated; residuals f - y are plain numbers, and so is the
/// loss. Works in double whatever T, on one thread. Throws InvalidArgument naming what is wrong.
template <NumberType T>
SOFTSTEP_EXPORT std::unique_ptr<Model<T>> make_induction_model(const InductionData& data,
                                                               const InductionOptions& options = {});

/// Half the mean square of what each head misses of its part of the target.
struct InductionParts {
  double four_gram = 0.0;  ///< of a x_{L-2} / (1 + a)
  double induction = 0.0;  ///< of the rest
};
/// That of v_1 and p for the 4-gram, and of v_2 and w for the induction head, on the sequences of `data`.
/// `blocks` are the model's four numbers. Throws InvalidArgument for bad data, another number of blocks, and
/// an a or a w* that induction_data() refuses.
SOFTSTEP_EXPORT InductionParts induction_parts(const InductionData& data, double a, double w_star,
                                               const std::vector<double>& blocks,
                                               InductionScores scores = InductionScores::product);

}  // namespace softstep
