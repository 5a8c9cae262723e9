#include "fit.h"

#include <cmath>
#include <limits>

namespace softstep::program::reproduce {

namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

}  // namespace

Line fit_line(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() < 3 || x.size() != y.size()) return {none, none};
  const auto n = static_cast<double>(x.size());
  double mean_x = 0.0, mean_y = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    mean_x += x[k] / n;
    mean_y += y[k] / n;
  }
  double xx = 0.0, xy = 0.0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    xx += (x[k] - mean_x) * (x[k] - mean_x);
    xy += (x[k] - mean_x) * (y[k] - mean_y);
  }
  return {xy / xx, mean_y - xy / xx * mean_x};
}

double fitted_exponent(const std::vector<double>& x, const std::vector<double>& y, double lowest,
                       double highest) {
  std::vector<double> log_x, log_y;
  for (std::size_t k = 0; k < x.size(); ++k) {
    if (x[k] < lowest || x[k] > highest) continue;
    log_x.push_back(std::log(x[k]));
    log_y.push_back(y[k] > 0.0 ? std::log(y[k]) : none);
  }
  return fit_line(log_x, log_y).slope;
}

double value_at(const std::vector<double>& x, const std::vector<double>& y, double point) {
  for (std::size_t k = 0; k < x.size(); ++k) {
    if (x[k] == point) return y[k];
    if (x[k] < point) continue;
    if (k == 0) return none;
    const double share = (std::log(point) - std::log(x[k - 1])) / (std::log(x[k]) - std::log(x[k - 1]));
    return y[k - 1] + share * (y[k] - y[k - 1]);
  }
  return none;
}

}  // namespace softstep::program::reproduce
