#pragma once

// Kernels of random features on the Boolean cube, and what gradient descent on their readout learns first.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace softstep::program::reproduce {

/// Which features of x in {-1, 1}^n.
enum class CubeFeatures {
  attention,  ///< linear attention over the tokens (x_t, 1, e_t), then relu, its mean over the places
  relu,       ///< relu of x
  twisted     ///< those of attention times the product of all x_t: degree k becomes degree n - k
};

struct CubeKernel {
  std::size_t n = 0, n_draws = 0, n_features = 0;  ///< features in all
  std::vector<double> values = {};  ///< [2^n, n_features] row-major, each over sqrt(n_features)
  std::size_t n_points() const { return std::size_t{1} << n; }
};

/// x_t of point `point`, and the product of x_t over the bits of `set`.
inline double cube_sign(std::size_t point, std::size_t t) { return (point >> t & 1U) != 0 ? -1.0 : 1.0; }
double parity(std::size_t point, std::size_t set);

/// `n_draws` attention matrices with `per_draw` features each.
CubeKernel cube_kernel(std::size_t n, std::size_t n_draws, std::size_t per_draw, CubeFeatures features,
                       std::uint64_t seed);

/// By degree k: the mean over sets S of k places of (1/N^2) sum_xx' chi_S(x) K(x, x') chi_S(x'), and its
/// standard error over the draws.
struct CubeSpectrum {
  std::vector<double> by_degree, error;
};
CubeSpectrum spectrum_of(const CubeKernel& kernel);

/// Gradient descent on the readout for the sum of chi_1, chi_12, ...; what is left of each coefficient.
struct CubeLearning {
  std::vector<double> steps;
  std::vector<std::vector<double>> left;  ///< [degree - 1][row]
};
CubeLearning learn_parities(const CubeKernel& kernel, std::size_t n_degrees, std::int64_t n_steps);

}  // namespace softstep::program::reproduce
