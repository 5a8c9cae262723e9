#include "softstep/max_margin.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "core/max_margin/constraints/chosen_tokens.h"
#include "core/max_margin/constraints/constraint_rows.h"
#include "core/max_margin/hard_margin.h"
#include "core/max_margin/proofs/ray_proof.h"
#include "core/max_margin/solver_ranks.h"
#include "core/threads/start.h"

namespace softstep {

const char* to_string(MaxMarginStatus status) {
  switch (status) {
    case MaxMarginStatus::not_run:
      return "not_run";
    case MaxMarginStatus::optimal:
      return "optimal";
    case MaxMarginStatus::not_separable:
      return "not_separable";
    case MaxMarginStatus::max_sweeps:
      return "max_sweeps";
    case MaxMarginStatus::interrupted:
      return "interrupted";
    case MaxMarginStatus::no_constraints:
      return "no_constraints";
    case MaxMarginStatus::inconsistent_equalities:
      return "inconsistent_equalities";
    case MaxMarginStatus::at_rounding:
      return "at_rounding";
    case MaxMarginStatus::undecided:
      return "undecided";
  }
  return "";
}

void MaxMarginOptions::validate() const {
  if (!(tolerance > 0.0) || !std::isfinite(tolerance))
    throw InvalidArgument("tolerance", data::number_text(tolerance) + " (need a positive finite number)");
  if (max_sweeps == 0) throw InvalidArgument("max_sweeps", "0 (need at least 1)");
  check_thread_count(n_threads);
}

namespace {

// Constraint k in batch order.
template <class T>
ExactRow token_row(const data::BatchRows<T>& rows, const TokenScores& tokens, std::size_t k) {
  const auto after = std::upper_bound(tokens.first.begin(), tokens.first.end(), k);
  const auto i = static_cast<std::size_t>(after - tokens.first.begin()) - 1;
  const auto token = [&](std::size_t t) {
    const T* x = rows.token(i, t);
    return std::vector<double>(x, x + rows.dim);
  };
  return {token(tokens.optimal[i]), token(k - tokens.first[i]),
          std::vector<double>(rows.query(i), rows.query(i) + rows.dim), i};
}

}  // namespace

template <NumberType T>
MaxMarginResult solve_max_margin(const BatchView<T>& batch, const MaxMarginOptions& options) {
  Ranks* const ranks = options.ranks.get();
  TokenScores tokens;
  int n_threads = 1;
  all_or_none(ranks, [&] {
    options.validate();
    tokens = chosen_tokens(batch, options.selected);  // validates the batch
    n_threads = thread_count(options.n_threads);
  });
  const simd::Isa& isa = resolve_isa("");
  require_alike(ranks, batch.dim, sizeof(T), isa.name, options);
  ConstraintRows<T> rows(batch, tokens, isa.kernels<double>(), n_threads, ranks);
  const data::BatchRows<T> batch_rows(batch);
  const RayProof proof(rows_of_all(rows.of_ranks(), batch.dim,
                                   [&](std::size_t k) { return token_row(batch_rows, tokens, k); }));
  const auto judge = [&](std::vector<double>& multipliers, const std::function<bool()>& go_on) {
    return proof.proves(multipliers, go_on);
  };
  const RowsOfRanks& all = rows.of_ranks();
  MaxMarginResult result =
      solve_hard_margin(rows, all.n_rows() - all.n_queries(), agreeing(options), n_threads, judge);
  for (const char unique : gathered(ranks, static_cast<char>(tokens.not_unique.empty() ? 1 : 0)))
    result.unique_optimal_tokens = result.unique_optimal_tokens && unique != 0;
  require_same(ranks, result);
  return result;
}

template MaxMarginResult solve_max_margin(const BatchView<float>&, const MaxMarginOptions&);
template MaxMarginResult solve_max_margin(const BatchView<double>&, const MaxMarginOptions&);

}  // namespace softstep
