#pragma once

// F, the span of the matrices (e_v - e_v') h_j^T with v and v' in S_j.

#include <cstddef>
#include <vector>

#include "softstep/next_token.h"

namespace softstep {

struct SupportSpace {
  std::size_t rank = 0, size = 0;  ///< of F; of a matrix, vocabulary * dim
  std::vector<double> basis;       ///< orthonormal, rank rows of `size`
  std::vector<double>
      solution;  ///< W_F in F: its logits within each support differ by the log-odds of the labels

  /// Throws InvalidArgument where there is no such W_F. The data have been validated.
  explicit SupportSpace(const NextTokenData& data);

  /// <U_k, m> for every k.
  std::vector<double> coordinates(const double* m) const;
  /// The same into memory that is there.
  void coordinates(const double* m, std::vector<double>& out) const;
  /// m += sum_k theta_k U_k
  void add(const double* theta, double* m) const;
  /// Takes the part in F out of m, to rounding of what is left: the first pass leaves the rounding of what it
  /// takes. `work` is memory for that, of any size.
  void remove(double* m, std::vector<double>& work) const;
  void remove(double* m) const {
    std::vector<double> work;
    remove(m, work);
  }
};

}  // namespace softstep
