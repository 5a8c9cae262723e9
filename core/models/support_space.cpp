#include "core/models/support_space.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <string>

#include "core/data/checked_size.h"
#include "core/data/extremes.h"
#include "core/data/text.h"
#include "core/linalg/svd.h"

namespace softstep {

SupportSpace::SupportSpace(const NextTokenData& data) : size(data.vocabulary * data.dim) {
  constexpr double epsilon = std::numeric_limits<double>::epsilon();
  solution.assign(size, 0.0);
  const std::size_t n = data.tokens.size() - data.n_contexts();  // equations
  if (n == 0) return;
  std::size_t entries = 0;
  if (!data::multiply(n, size, data::max_bytes / sizeof(double), entries))
    throw InvalidArgument("tokens", "supports of " + std::to_string(n) + " equations do not fit in memory");
  // (e_v - e_v0)^T W h_j = log p_jv / p_jv0, v0 the first of the support.
  std::vector<double> equations, odds;
  try {
    equations.assign(entries, 0.0);
  } catch (const std::bad_alloc&) {
    throw InvalidArgument("tokens", "supports of " + std::to_string(n) + " equations do not fit in memory");
  }
  for (std::size_t j = 0; j < data.n_contexts(); ++j)
    for (std::size_t k = data.first[j] + 1; k < data.first[j + 1]; ++k) {
      double* row = equations.data() + odds.size() * size;
      for (std::size_t c = 0; c < data.dim; ++c) {
        row[data.tokens[k] * data.dim + c] = data.contexts[j * data.dim + c];
        row[data.tokens[data.first[j]] * data.dim + c] = -data.contexts[j * data.dim + c];
      }
      odds.push_back(std::log(data.labels[k] / data.labels[data.first[j]]));
    }
  const Svd svd = singular_values_and_vectors(equations.data(), n, size);
  const std::size_t k_all = svd.s.size();
  // Singular values below the error of the largest are zero as far as can be told.
  const double rounding = static_cast<double>(n + size) * epsilon;
  while (rank < k_all && svd.s[rank] > rounding * svd.s[0]) ++rank;
  basis.resize(rank * size);
  for (std::size_t k = 0; k < rank; ++k) {
    double coordinate = 0.0;
    for (std::size_t e = 0; e < n; ++e) coordinate += svd.u[e * k_all + k] * odds[e];
    coordinate /= svd.s[k];
    for (std::size_t i = 0; i < size; ++i) {
      basis[k * size + i] = svd.v[i * k_all + k];
      solution[i] += coordinate * basis[k * size + i];
    }
  }
  if (!std::all_of(solution.begin(), solution.end(), [](double w) { return std::isfinite(w); }))
    throw InvalidArgument("contexts",
                          "so small beside the log-odds of the labels that the weights overflow (largest "
                          "singular value of the supports " +
                              data::number_text(svd.s[0]) + ")");
  // A backward stable solution of equations that have one leaves a residual of some roundings of its terms.
  double largest = 0.0, norm = 0.0, scale = 0.0;
  for (const double w : solution) norm = std::hypot(norm, w);
  for (std::size_t e = 0; e < n; ++e) {
    double left = -odds[e];
    for (std::size_t i = 0; i < size; ++i) left += equations[e * size + i] * solution[i];
    largest = data::larger(largest, std::fabs(left));
    scale = std::max(scale, std::fabs(odds[e]));
  }
  if (!(largest <= 8.0 * rounding * (svd.s[0] * norm + scale)))
    throw InvalidArgument("labels",
                          "no weights have these log-odds on every support (contexts that depend on each "
                          "other say different things)");
}

std::vector<double> SupportSpace::coordinates(const double* m) const {
  std::vector<double> out;
  coordinates(m, out);
  return out;
}

void SupportSpace::coordinates(const double* m, std::vector<double>& out) const {
  out.assign(rank, 0.0);
  for (std::size_t k = 0; k < rank; ++k)
    for (std::size_t i = 0; i < size; ++i) out[k] += basis[k * size + i] * m[i];
}

void SupportSpace::add(const double* theta, double* m) const {
  for (std::size_t k = 0; k < rank; ++k)
    for (std::size_t i = 0; i < size; ++i) m[i] += theta[k] * basis[k * size + i];
}

void SupportSpace::remove(double* m, std::vector<double>& work) const {
  for (int pass = 0; pass < 2; ++pass) {
    coordinates(m, work);
    for (double& x : work) x = -x;
    add(work.data(), m);
  }
}

}  // namespace softstep
