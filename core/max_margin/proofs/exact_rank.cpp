#include "core/max_margin/proofs/exact_rank.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

namespace softstep {
namespace {

using Number = std::uint64_t;

Number power(Number base, Number exponent, Number p) {
  Number out = 1;
  for (base %= p; exponent > 0; exponent >>= 1, base = base * base % p)
    if (exponent & 1) out = out * base % p;
  return out;
}

// Miller and Rabin's test with bases that decide for all numbers below 3.2e9 (G. Jaeschke 1993).
bool is_prime(Number n) {
  Number odd = n - 1;
  int twos = 0;
  while (odd % 2 == 0) {
    odd /= 2;
    ++twos;
  }
  for (const Number base : {2, 3, 5, 7}) {
    Number x = power(base, odd, n);
    bool passes = x == 1 || x == n - 1;
    for (int k = 1; k < twos && !passes; ++k) {
      x = x * x % n;
      passes = x == n - 1;
    }
    if (!passes) return false;
  }
  return true;
}

// x = odd 2^exponent
struct Dyadic {
  std::int64_t odd = 0;
  int exponent = 0;
};

Dyadic dyadic(double x) {
  if (x == 0.0) return {};
  int exponent = 0;
  auto odd = static_cast<std::int64_t>(std::ldexp(std::frexp(x, &exponent), 53));
  exponent -= 53;
  while (odd % 2 == 0) {
    odd /= 2;
    ++exponent;
  }
  return {odd, exponent};
}

// Numbers as integers times one power of two, and how many bits these integers have.
class Integers {
 public:
  explicit Integers(const std::vector<double>& x) {
    for (const double value : x) {
      numbers_.push_back(dyadic(value));
      if (value == 0.0) continue;
      unit_ = std::min(unit_, numbers_.back().exponent);
      largest_ = std::max(largest_, std::ilogb(value) + 1);
    }
  }
  int unit() const { return unit_; }
  int largest() const { return largest_; }
  Number residue(std::size_t j, int unit, Number p) const {
    const Dyadic& x = numbers_[j];
    if (x.odd == 0) return 0;
    const auto size = static_cast<Number>(x.odd < 0 ? -x.odd : x.odd) % p;
    const Number out = size * power(2, static_cast<Number>(x.exponent - unit), p) % p;
    return x.odd < 0 && out != 0 ? p - out : out;
  }
  std::size_t size() const { return numbers_.size(); }

 private:
  std::vector<Dyadic> numbers_;
  int unit_ = std::numeric_limits<int>::max(), largest_ = std::numeric_limits<int>::min();
};

struct IntegerRow {
  Integers best, other, query;
  int unit = 0;       // of best and other
  double bits = 0.0;  // log2 ||row||, at most

  explicit IntegerRow(const ExactRow& row) : best(row.best), other(row.other), query(row.query) {
    unit = std::min(best.unit(), other.unit());
    const int largest = std::max(best.largest(), other.largest());
    if (unit > largest || query.unit() > query.largest()) return;  // a zero row
    const double entries = static_cast<double>(best.size()) * static_cast<double>(query.size());
    bits = largest + 1 - unit + query.largest() - query.unit() + 0.5 * std::log2(entries);
  }
};

Number product(const std::vector<Number>& x, const std::vector<Number>& y, Number p) {
  Number sum = 0;
  for (std::size_t j = 0; j < x.size(); ++j) sum = (sum + x[j] * y[j]) % p;
  return sum;
}

// Of the Gram matrix, which has the rank of the rows.
std::vector<Number> gram_modulo(const std::vector<IntegerRow>& rows, Number p) {
  const std::size_t m = rows.size();
  std::vector<std::vector<Number>> differences(m), queries(m);
  for (std::size_t k = 0; k < m; ++k) {
    const IntegerRow& row = rows[k];
    for (std::size_t j = 0; j < row.best.size(); ++j) {
      const Number minus = row.other.size() == 0 ? 0 : row.other.residue(j, row.unit, p);
      differences[k].push_back((row.best.residue(j, row.unit, p) + p - minus) % p);
    }
    for (std::size_t c = 0; c < row.query.size(); ++c)
      queries[k].push_back(row.query.residue(c, row.query.unit(), p));
  }
  std::vector<Number> gram(m * m);
  for (std::size_t k = 0; k < m; ++k)
    for (std::size_t l = 0; l <= k; ++l)
      gram[k * m + l] = gram[l * m + k] =
          product(differences[k], differences[l], p) * product(queries[k], queries[l], p) % p;
  return gram;
}

bool rank_modulo_is_at_most(std::vector<Number> a, std::size_t m, std::size_t rank, Number p) {
  std::size_t found = 0;
  for (std::size_t column = 0; column < m && found < m; ++column) {
    std::size_t pivot = found;
    while (pivot < m && a[pivot * m + column] == 0) ++pivot;
    if (pivot == m) continue;
    if (found == rank) return false;
    for (std::size_t c = column; c < m; ++c) std::swap(a[pivot * m + c], a[found * m + c]);
    const Number inverse = power(a[found * m + column], p - 2, p);
    for (std::size_t r = found + 1; r < m; ++r) {
      const Number factor = a[r * m + column] * inverse % p;
      if (factor == 0) continue;
      for (std::size_t c = column; c < m; ++c)
        a[r * m + c] = (a[r * m + c] + (p - factor) * a[found * m + c]) % p;
    }
    ++found;
  }
  return true;
}

}  // namespace

bool rank_is_at_most(const std::vector<ExactRow>& rows, std::size_t rank, double budget,
                     const std::function<bool()>& go_on) {
  if (rank >= rows.size()) return true;
  std::vector<IntegerRow> integers;
  std::vector<double> bits;
  double entries = 0.0;
  for (const ExactRow& row : rows) {
    integers.emplace_back(row);
    bits.push_back(integers.back().bits);
    entries = static_cast<double>(row.best.size() + row.query.size());
  }
  // A principal minor of the Gram matrix of rank + 1 rows is at most the product of their squared lengths.
  std::sort(bits.begin(), bits.end(), std::greater<>());
  double room = 0.0;
  for (std::size_t k = 0; k <= rank; ++k) room += 2.0 * bits[k];
  const double m = static_cast<double>(rows.size());
  const double cost = m * m * (static_cast<double>(rank) + 0.5 * entries);
  Number p = Number{1} << 31;
  for (double covered = 0.0; covered <= room; covered += 30.0) {  // p > 2^30
    if ((covered > 0.0 && cost * room / 30.0 > budget) || !go_on()) return false;
    do --p;
    while (!is_prime(p));
    if (!rank_modulo_is_at_most(gram_modulo(integers, p), rows.size(), rank, p)) return false;
  }
  return true;
}

}  // namespace softstep
