#pragma once

#include <cstddef>
#include <vector>

namespace softstep {

/// Solves H x = b in place of b, for a symmetric positive definite H (n x n, only as good as rounding leaves
/// it: scaled to a unit diagonal, and lifted by a few rounding units where that is not enough). False if H is
/// not even that.
bool solve_positive_definite(const std::vector<double>& h, std::vector<double>& b);

/// Solves J^T J x = b in place of b by an orthogonal factorisation of J (`rows` x n, column-major), so that
/// errors grow with the condition of J and not with its square. False if J has dependent columns.
bool solve_normal_equations(const std::vector<double>& j, std::size_t rows, std::vector<double>& b);

}  // namespace softstep
