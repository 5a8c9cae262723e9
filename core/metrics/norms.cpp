// Norms, singular values and rank of any matrix.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/data/checked_size.h"
#include "core/data/quoted.h"
#include "core/data/text.h"
#include "core/linalg/svd.h"
#include "core/metrics/token_products.h"
#include "softstep/metrics.h"

namespace softstep {
namespace {

constexpr MatrixNorm all_norms[] = {MatrixNorm::frobenius, MatrixNorm::spectral, MatrixNorm::max,
                                    MatrixNorm::nuclear, MatrixNorm::l_p};

// Of doubles or floats as they are, in double.
template <class T>
std::vector<double> widened(std::span<const T> a) {
  return std::vector<double>(a.begin(), a.end());
}

// NaN wins over every number.
template <class T>
double largest_entry(std::span<const T> a) {
  double largest = 0.0;
  for (const T entry : a) {
    const double x = std::fabs(static_cast<double>(entry));
    if (std::isnan(x)) return x;
    largest = std::max(largest, x);
  }
  return largest;
}

template <class T>
double l_p_norm(std::span<const T> a, double p) {
  if (!(p >= 1.0) || !std::isfinite(p))
    throw InvalidArgument("p", data::number_text(p) + " (need a finite number of at least 1)");
  const double largest = largest_entry(a);
  if (largest == 0.0 || !std::isfinite(largest)) return largest;
  return largest * std::pow(sum_over(a.size(),
                                     [&](std::size_t k) {
                                       return std::pow(std::fabs(static_cast<double>(a[k])) / largest, p);
                                     }),
                            1.0 / p);
}

template <class T>
void require_matrix(std::span<const T> a, std::size_t rows, std::size_t cols) {
  std::size_t size = 0;
  if (!data::multiply(rows, cols, data::max_bytes, size))
    throw InvalidArgument("rows",
                          std::to_string(rows) + " x " + std::to_string(cols) + " cannot be addressed");
  require_size("a", a.size(), size, "rows * cols");
}

template <class T>
std::vector<double> values_of(std::span<const T> a, std::size_t rows, std::size_t cols) {
  require_matrix(a, rows, cols);
  const std::vector<double> matrix = widened(a);
  if (!std::all_of(matrix.begin(), matrix.end(), [](double x) { return std::isfinite(x); }))
    return std::vector<double>(std::min(rows, cols), std::numeric_limits<double>::quiet_NaN());
  return singular_values_of(matrix.data(), rows, cols);
}

template <class T>
double norm_of(std::span<const T> a, std::size_t rows, std::size_t cols, MatrixNorm norm, double p) {
  require_matrix(a, rows, cols);
  switch (norm) {
    case MatrixNorm::frobenius:
      return frobenius_norm(a);
    case MatrixNorm::max:
      return largest_entry(a);
    case MatrixNorm::l_p:
      return l_p_norm(a, p);
    case MatrixNorm::spectral:
    case MatrixNorm::nuclear:
      break;
  }
  // Infinite entries have no singular values, but a norm all the same.
  const double largest = largest_entry(a);
  if (!std::isfinite(largest)) return largest;
  double sum = 0.0;
  for (const double value : values_of(a, rows, cols))
    sum = norm == MatrixNorm::spectral ? std::max(sum, value) : sum + value;
  return sum;
}

}  // namespace

const char* to_string(MatrixNorm norm) {
  switch (norm) {
    case MatrixNorm::frobenius:
      return "frobenius";
    case MatrixNorm::spectral:
      return "spectral";
    case MatrixNorm::max:
      return "max";
    case MatrixNorm::nuclear:
      return "nuclear";
    case MatrixNorm::l_p:
      return "lp";
  }
  return "";
}

MatrixNorm parse_matrix_norm(const std::string& name) {
  std::string known;
  for (const MatrixNorm norm : all_norms) {
    if (name == to_string(norm)) return norm;
    known += (known.empty() ? "" : ", ") + std::string(to_string(norm));
  }
  throw InvalidArgument("norm", data::quoted(name) + " is not known (known: " + known + ")");
}

double matrix_norm(std::span<const float> a, std::size_t rows, std::size_t cols, MatrixNorm norm, double p) {
  return norm_of(a, rows, cols, norm, p);
}
double matrix_norm(std::span<const double> a, std::size_t rows, std::size_t cols, MatrixNorm norm, double p) {
  return norm_of(a, rows, cols, norm, p);
}

std::vector<double> singular_values(std::span<const float> a, std::size_t rows, std::size_t cols) {
  return values_of(a, rows, cols);
}
std::vector<double> singular_values(std::span<const double> a, std::size_t rows, std::size_t cols) {
  return values_of(a, rows, cols);
}

std::size_t numerical_rank(const std::vector<double>& values, double relative_tolerance) {
  if (!(relative_tolerance >= 0.0) || !(relative_tolerance < 1.0))
    throw InvalidArgument("relative_tolerance",
                          data::number_text(relative_tolerance) + " (need a number from 0 to below 1)");
  const double largest = values.empty() ? 0.0 : values.front();
  return static_cast<std::size_t>(std::count_if(
      values.begin(), values.end(), [&](double value) { return value > relative_tolerance * largest; }));
}

}  // namespace softstep
