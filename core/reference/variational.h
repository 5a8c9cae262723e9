#pragma once

// A linear model with drawn weights by its expected loss, from its definition, in plain numbers of any type
// with range and digits enough.

#include <cmath>
#include <cstddef>
#include <vector>

namespace softstep::reference {

template <class Number>
struct Variational {
  Number loss{0}, loss_size{0};  ///< and the sum of the sizes that it is made of
  std::vector<Number> mean_gradient{}, factor_gradient{};
  Number mean_size{0}, factor_size{0};  ///< norms of the sums of sizes that each is made of
};

/// Points [n, d], y of each, mu [d], S [d, r]; squared or exponential loss.
template <class Number>
Variational<Number> variational(const std::vector<std::vector<double>>& points, const std::vector<double>& y,
                                bool is_exponential, const std::vector<Number>& mean,
                                const std::vector<Number>& factor) {
  using std::exp;
  using std::fabs;
  using std::sqrt;
  const std::size_t n = points.size(), d = mean.size(), r = factor.size() / d;
  Variational<Number> out;
  out.mean_gradient.assign(d, Number(0));
  out.factor_gradient.assign(d * r, Number(0));
  std::vector<Number> mean_sizes(d, Number(0)), factor_sizes(d * r, Number(0));
  for (std::size_t i = 0; i < n; ++i) {
    Number output(0), output_size(0), spread(0);
    std::vector<Number> projected(r, Number(0)), projected_size(r, Number(0));
    for (std::size_t j = 0; j < d; ++j) {
      const Number x(points[i][j]);
      output += x * mean[j];
      output_size += fabs(Number(x * mean[j]));
      for (std::size_t k = 0; k < r; ++k) {
        projected[k] += x * factor[j * r + k];
        projected_size[k] += fabs(Number(x * factor[j * r + k]));
      }
    }
    for (const Number& s : projected_size) spread += s * s;
    Number exact_spread(0);
    for (const Number& s : projected) exact_spread += s * s;
    const Number target(y[i]), count(n);
    Number weight(1), slope = output - target, slope_size = output_size + fabs(target), grown(1);
    if (is_exponential) {
      weight = exp(Number(exact_spread / 2 - target * output));
      // an error of e in the exponent is a relative one of the weight
      grown = 1 + spread + output_size;
      slope = -target * weight;
      slope_size = weight * grown;
      out.loss += weight / count;
      out.loss_size += weight * grown / count;
    } else {
      out.loss += (slope * slope + exact_spread) / (2 * count);
      out.loss_size += (slope_size * slope_size + spread) / (2 * count);
    }
    for (std::size_t j = 0; j < d; ++j) {
      const Number x(points[i][j]);
      out.mean_gradient[j] += slope * x / count;
      mean_sizes[j] += slope_size * fabs(x) / count;
      for (std::size_t k = 0; k < r; ++k) {
        out.factor_gradient[j * r + k] += weight * x * projected[k] / count;
        factor_sizes[j * r + k] += weight * grown * fabs(x) * projected_size[k] / count;
      }
    }
  }
  for (const Number& s : mean_sizes) out.mean_size += s * s;
  for (const Number& s : factor_sizes) out.factor_size += s * s;
  out.mean_size = sqrt(out.mean_size);
  out.factor_size = sqrt(out.factor_size);
  return out;
}

}  // namespace softstep::reference
