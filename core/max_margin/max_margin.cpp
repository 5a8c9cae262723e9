#include "softstep/max_margin.h"

#include <cmath>
#include <string>

#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "core/max_margin/chosen_tokens.h"
#include "core/max_margin/constraint_rows.h"
#include "core/max_margin/hard_margin.h"
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
  }
  return "";
}

void MaxMarginOptions::validate() const {
  if (!(tolerance > 0.0) || !std::isfinite(tolerance))
    throw InvalidArgument("tolerance", data::number_text(tolerance) + " (need a positive finite number)");
  if (max_sweeps == 0) throw InvalidArgument("max_sweeps", "0 (need at least 1)");
  check_thread_count(n_threads);
}

template <NumberType T>
MaxMarginResult solve_max_margin(const BatchView<T>& batch, const MaxMarginOptions& options) {
  options.validate();
  const TokenScores tokens = chosen_tokens(batch, options.selected);  // validates the batch
  const int n_threads = thread_count(options.n_threads);
  ConstraintRows<T> rows(batch, tokens, resolve_isa("").kernels<double>(), n_threads);
  MaxMarginResult result = solve_hard_margin(rows, tokens.gaps.size() - batch.n_samples, options, n_threads);
  result.unique_optimal_tokens = tokens.not_unique.empty();
  return result;
}

template MaxMarginResult solve_max_margin(const BatchView<float>&, const MaxMarginOptions&);
template MaxMarginResult solve_max_margin(const BatchView<double>&, const MaxMarginOptions&);

}  // namespace softstep
