// Norms, singular values and rank of any matrix.

#include <algorithm>
#include <cmath>
#include <limits>

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
std::vector<double> widened(const T* a, std::size_t size) {
  return std::vector<double>(a, a + size);
}

// NaN wins over every number.
template <class T>
double largest_entry(const T* a, std::size_t size) {
  double largest = 0.0;
  for (std::size_t k = 0; k < size; ++k) {
    const double x = std::fabs(static_cast<double>(a[k]));
    if (std::isnan(x)) return x;
    largest = std::max(largest, x);
  }
  return largest;
}

template <class T>
double l_p_norm(const T* a, std::size_t size, double p) {
  if (!(p >= 1.0) || !std::isfinite(p))
    throw InvalidArgument("p", data::number_text(p) + " (need a finite number of at least 1)");
  const double largest = largest_entry(a, size);
  if (largest == 0.0 || !std::isfinite(largest)) return largest;
  return largest * std::pow(sum_over(size,
                                     [&](std::size_t k) {
                                       return std::pow(std::fabs(static_cast<double>(a[k])) / largest, p);
                                     }),
                            1.0 / p);
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
  throw InvalidArgument("norm", "\"" + name + "\" is not known (known: " + known + ")");
}

template <NumberType T>
double matrix_norm(const T* a, std::size_t rows, std::size_t cols, MatrixNorm norm, double p) {
  const std::size_t size = rows * cols;
  switch (norm) {
    case MatrixNorm::frobenius:
      return frobenius_norm(a, size);
    case MatrixNorm::max:
      return largest_entry(a, size);
    case MatrixNorm::l_p:
      return l_p_norm(a, size, p);
    case MatrixNorm::spectral:
    case MatrixNorm::nuclear:
      break;
  }
  // Infinite entries have no singular values, but a norm all the same.
  const double largest = largest_entry(a, size);
  if (!std::isfinite(largest)) return largest;
  double sum = 0.0;
  for (const double value : singular_values(a, rows, cols))
    sum = norm == MatrixNorm::spectral ? std::max(sum, value) : sum + value;
  return sum;
}

template <NumberType T>
std::vector<double> singular_values(const T* a, std::size_t rows, std::size_t cols) {
  const std::vector<double> matrix = widened(a, rows * cols);
  if (!std::all_of(matrix.begin(), matrix.end(), [](double x) { return std::isfinite(x); }))
    return std::vector<double>(std::min(rows, cols), std::numeric_limits<double>::quiet_NaN());
  return singular_values_of(matrix.data(), rows, cols);
}

std::size_t numerical_rank(const std::vector<double>& values, double relative_tolerance) {
  if (!(relative_tolerance >= 0.0) || !(relative_tolerance < 1.0))
    throw InvalidArgument("relative_tolerance",
                          data::number_text(relative_tolerance) + " (need a number from 0 to below 1)");
  const double largest = values.empty() ? 0.0 : values.front();
  return static_cast<std::size_t>(std::count_if(
      values.begin(), values.end(), [&](double value) { return value > relative_tolerance * largest; }));
}

template double matrix_norm(const float*, std::size_t, std::size_t, MatrixNorm, double);
template double matrix_norm(const double*, std::size_t, std::size_t, MatrixNorm, double);
template std::vector<double> singular_values(const float*, std::size_t, std::size_t);
template std::vector<double> singular_values(const double*, std::size_t, std::size_t);

}  // namespace softstep
