#pragma once

// e^x - 1 and log(1 + x) right for small x in any number type: by their series there, from exp and log
// elsewhere.

#include <cmath>

namespace softstep::reference {

template <class Number>
Number exp_minus_one(const Number& x) {
  using std::exp;
  if (!(x <= Number(1) / 4 && x >= Number(-1) / 4)) return exp(x) - 1;  // NaN too
  // x + x^2/2! + x^3/3! + ...
  Number term = x, sum = x;
  for (int k = 2;; ++k) {
    term *= x / k;
    const Number next = sum + term;
    if (next == sum) return sum;
    sum = next;
  }
}

template <class Number>
Number log_one_plus(const Number& x) {
  using std::log;
  if (!(x <= Number(1) / 4 && x >= Number(-1) / 4)) return log(Number(1 + x));
  // 2 artanh(y) = 2 (y + y^3/3 + y^5/5 + ...), y = x / (2 + x)
  const Number y = x / (2 + x), square = y * y;
  Number power = y, sum = y;
  for (int k = 3;; k += 2) {
    power *= square;
    const Number next = sum + power / k;
    if (next == sum) return 2 * sum;
    sum = next;
  }
}

}  // namespace softstep::reference
