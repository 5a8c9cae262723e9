#include "median.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace softstep::program {

double median(std::vector<double> values) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  if (values.empty()) return none;
  for (const double value : values)
    if (std::isnan(value)) return none;
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  if (values.size() % 2 == 1 || values[half - 1] == values[half]) return values[half];
  return 0.5 * (values[half - 1] + values[half]);
}

}  // namespace softstep::program
