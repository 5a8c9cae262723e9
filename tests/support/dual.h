#pragma once

// A number and its derivative along a direction: run through a reference, it differentiates what that
// computes, exactly but for the rounding of Number.

#include <cmath>

namespace softstep::test {

template <class Number>
struct Dual {
  Number value = Number(0), slope = Number(0);

  Dual() = default;
  explicit Dual(Number v, Number s = Number(0)) : value(v), slope(s) {}
  explicit Dual(int v) : value(v) {}

  Dual& operator+=(const Dual& o) { return *this = *this + o; }
  Dual& operator-=(const Dual& o) { return *this = *this - o; }
  Dual& operator*=(const Dual& o) { return *this = *this * o; }
  Dual& operator/=(const Dual& o) { return *this = *this / o; }

  friend Dual operator+(const Dual& a, const Dual& b) { return Dual(a.value + b.value, a.slope + b.slope); }
  friend Dual operator-(const Dual& a, const Dual& b) { return Dual(a.value - b.value, a.slope - b.slope); }
  friend Dual operator*(const Dual& a, const Dual& b) {
    return Dual(a.value * b.value, a.slope * b.value + a.value * b.slope);
  }
  friend Dual operator/(const Dual& a, const Dual& b) {
    const Number q = a.value / b.value;
    return Dual(q, (a.slope - q * b.slope) / b.value);
  }
  friend Dual operator+(int a, const Dual& b) { return Dual(a) + b; }
  friend Dual operator*(int a, const Dual& b) { return Dual(a) * b; }
  friend bool operator<(const Dual& a, const Dual& b) { return a.value < b.value; }
  friend bool operator>(const Dual& a, const Dual& b) { return b.value < a.value; }
  friend bool operator<(const Dual& a, int b) { return a.value < Number(b); }
  friend bool operator!=(const Dual& a, int b) { return a.value != Number(b); }
};

template <class Number>
Dual<Number> exp(const Dual<Number>& x) {
  using std::exp;
  const Number e = exp(x.value);
  return Dual<Number>(e, e * x.slope);
}
template <class Number>
Dual<Number> tanh(const Dual<Number>& x) {
  using std::cosh;
  using std::tanh;
  const Number c = cosh(x.value);
  return Dual<Number>(tanh(x.value), x.slope / (c * c));
}

}  // namespace softstep::test
