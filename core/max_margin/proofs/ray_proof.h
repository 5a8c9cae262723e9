#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "core/max_margin/constraints/exact_row.h"

namespace softstep {

/// Decides whether approximate multipliers are near a true Farkas ray: mu >= 0, not all zero, with sum_k mu_k
/// A_k + sum_e nu_e E_e = 0 to the last digit of the data (docs/mathematics.md, section 6.2). A short sum
/// alone shows no more than a small margin. The proof: let the rows with mu_k > 0 (and E_e) have exact rank
/// r, least singular value sigma among r, and a sum of length rho at most. That sum is in their span, so
/// multipliers shorter than rho / sigma take it away, and where these are below all mu_k what is left is a
/// ray. r is known exactly (where it is not full by the shape of the rows, from rank_is_at_most); sigma and
/// rho are known with their rounding.
class RayProof {
 public:
  /// `free_rows` may have multipliers of any sign.
  RayProof(ExactRows rows, ExactRows free_rows = {})
      : rows_(std::move(rows)), free_rows_(std::move(free_rows)) {}

  /// `multipliers` and `free` are those of rows of norm 1. True if there is a ray beside them; they become
  /// it, to rounding, with few rows and the sum of `multipliers` as it was. Else they are left alone. go_on
  /// is asked from time to time and returns false to stop, which proves nothing.
  bool proves(std::vector<double>& multipliers, std::vector<double>& free,
              const std::function<bool()>& go_on) const;
  bool proves(std::vector<double>& multipliers, const std::function<bool()>& go_on) const {
    std::vector<double> none;
    return proves(multipliers, none, go_on);
  }

 private:
  ExactRows rows_, free_rows_;
};

}  // namespace softstep
