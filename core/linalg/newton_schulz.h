#pragma once

#include <cstddef>

namespace softstep {

/// Five steps X <- a X + (b A + c A^2) X, A = X X^T, (a, b, c) = (3.4445, -4.7750, 2.0315), from X = A /
/// ||A||_F: brings every singular value that is not tiny into about 0.7 to 1.2 and keeps the singular
/// vectors. In place; n_rows x n_cols, row-major, finite. Zero stays zero. Source: K. Jordan and others,
/// Muon, 2024.
void newton_schulz(double* a, std::size_t n_rows, std::size_t n_cols);

}  // namespace softstep
