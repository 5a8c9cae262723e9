// Token scores gamma_it = y_i u^T x_it as unevaluated sums hi + lo of two doubles: the compensated dot
// product Dot2 of Ogita, Rump and Oishi, "Accurate sum and dot product", SIAM J. Sci. Comput. 26 (2005),
// without its last rounding. The rounding errors of products and sums are exact numbers; only adding them up
// in `lo` rounds, each time by at most 2^-53 |lo|, and those bounds are summed along. (At most gamma_d^2
// sum_j |u_j x_j| comes together, gamma_d = d u / (1 - d u), u = 2^-53: as if computed in twice the working
// precision.) Scores no further apart than their bounds cannot be told apart and count as equal: gap 0,
// sample listed in `not_unique`. Equal tokens have equal pairs, hence a gap of exactly 0. (The rounding
// errors of products below 2^-969 cannot be represented: where the largest product of a sample comes near
// that, its numbers are multiplied as mantissas, with their exponents apart.)

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "core/data/token_rows.h"
#include "softstep/batch.h"

namespace softstep {
namespace {

struct Score {
  double hi = 0.0, lo = 0.0;
  double error = 0.0;  // bound of what is missing in lo
};

// a + b = sum + error exactly (Knuth).
inline void two_sum(double a, double b, double& sum, double& error) {
  sum = a + b;
  const double b_part = sum - a;
  error = (a - (sum - b_part)) + (b - b_part);
}

template <class T>
Score score(const T* u, const T* x, std::size_t dim, double label) {
  Score s;
  for (std::size_t j = 0; j < dim; ++j) {
    const double a = static_cast<double>(u[j]), b = static_cast<double>(x[j]);
    const double product = a * b;
    // The product of two floats is exact in double.
    if constexpr (std::is_same_v<T, double>) {
      s.lo += std::fma(a, b, -product);
      s.error += std::fabs(s.lo);
    }
    double error;
    two_sum(s.hi, product, s.hi, error);
    s.lo += error;
    s.error += std::fabs(s.lo);
  }
  s.error *= 0x1p-52;  // twice 2^-53, for the rounding of the bound itself
  const double hi = s.hi, lo = s.lo;
  two_sum(label * hi, label * lo, s.hi, s.lo);
  return s;
}

// Numbers m_j and k_j with m_j k_j = u_j x_j 2^-power, none of their products above 1 in size.
template <class T>
void products_in_units(const T* u, const T* x, std::size_t dim, int power, std::vector<double>& m,
                       std::vector<double>& k) {
  m.resize(dim);
  k.resize(dim);
  for (std::size_t j = 0; j < dim; ++j) {
    int of_u = 0, of_x = 0;
    m[j] = std::frexp(static_cast<double>(u[j]), &of_u);
    k[j] = std::frexp(static_cast<double>(x[j]), &of_x);
    k[j] = std::ldexp(k[j], of_u + of_x - power);
  }
}

// The binary exponent of the largest |u_j x_tj| of a sample where double arithmetic would lose digits of its
// scores, else 0.
template <class T>
int power_of_products(const BatchView<T>& batch, std::size_t i, data::TokenRows<T>& rows) {
  if constexpr (std::is_same_v<T, float>) return 0;
  double largest = 0.0;
  const auto each = [&](auto body) {
    for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
      const T* x = rows.token(i, t);
      for (std::size_t j = 0; j < batch.dim; ++j) body(batch.decoder[j], x[j]);
    }
  };
  each([&](T u, T x) {
    largest = std::max(largest, std::fabs(static_cast<double>(u) * static_cast<double>(x)));
  });
  if (largest >= 0x1p-800 && largest <= 0x1p1000) return 0;
  bool is_zero = true;
  int power = std::numeric_limits<int>::min();
  each([&](T u, T x) {
    if (u == T(0) || x == T(0)) return;
    is_zero = false;
    int of_u = 0, of_x = 0;
    std::frexp(static_cast<double>(u), &of_u);
    std::frexp(static_cast<double>(x), &of_x);
    power = std::max(power, of_u + of_x);
  });
  return is_zero ? 0 : power;
}

// (a - b), to the last rounding.
inline double difference(const Score& a, const Score& b) {
  double sum, error;
  two_sum(a.hi, -b.hi, sum, error);
  return sum + (error + (a.lo - b.lo));
}

template <class T>
TokenScores score_each(const BatchView<T>& batch, data::TokenRows<T> rows) {
  if (batch.decoder == nullptr) throw InvalidArgument("decoder", "missing (token scores need one)");
  const auto resolution = [](const Score& a, const Score& b) { return a.error + b.error; };

  TokenScores out;
  out.first.reserve(batch.n_samples + 1);
  out.gaps.reserve(batch.total_tokens());
  out.optimal_score.reserve(batch.n_samples);
  out.optimal.reserve(batch.n_samples);
  out.first.push_back(0);
  std::vector<Score> scores;
  std::vector<double> m, k;
  for (std::size_t i = 0; i < batch.n_samples; ++i) {
    const std::size_t n_tokens = batch.tokens_of(i);
    scores.resize(n_tokens);
    const int power = power_of_products(batch, i, rows);
    std::size_t best = 0;
    for (std::size_t t = 0; t < n_tokens; ++t) {
      const T* x = rows.token(i, t);
      if (power == 0) {
        scores[t] = score(batch.decoder, x, batch.dim, batch.sign(i));
      } else {
        products_in_units(batch.decoder, x, batch.dim, power, m, k);
        scores[t] = score(m.data(), k.data(), batch.dim, batch.sign(i));
      }
      if (!std::isfinite(std::ldexp(scores[t].hi, power)))
        throw InvalidArgument("tokens", "sample " + std::to_string(i) + ", token " + std::to_string(t) +
                                            ": its score, the product with the decoder, overflows");
      if (difference(scores[t], scores[best]) > 0.0) best = t;
    }
    std::size_t optimal = 0;
    while (difference(scores[best], scores[optimal]) > resolution(scores[best], scores[optimal])) ++optimal;
    bool unique = true;
    for (std::size_t t = 0; t < n_tokens; ++t) {
      const double gap = difference(scores[optimal], scores[t]);
      const bool equal = t == optimal || gap <= resolution(scores[optimal], scores[t]);
      if (equal && t != optimal) unique = false;
      if (!std::isfinite(std::ldexp(gap, power)))
        throw InvalidArgument("tokens", "sample " + std::to_string(i) + ", token " + std::to_string(t) +
                                            ": the gap of its score to the best one overflows");
      out.gaps.push_back(equal ? 0.0 : gap);
    }
    if (!unique) out.not_unique.push_back(i);
    out.optimal.push_back(optimal);
    out.optimal_score.push_back(std::ldexp(scores[optimal].hi, power));
    if (power != 0) {
      out.gap_power.resize(batch.n_samples, 0);
      out.gap_power[i] = power;
    }
    out.first.push_back(out.gaps.size());
  }
  return out;
}

}  // namespace

template <NumberType T>
TokenScores score_tokens(const BatchView<T>& batch) {
  batch.validate();
  return score_each(batch, data::TokenRows<T>(batch));
}

TokenScores score_tokens(const HalfBatchView& batch) {
  batch.validate();
  return score_each(batch.rest, data::TokenRows<float>(batch.rest, batch));
}

template TokenScores score_tokens(const BatchView<float>&);
template TokenScores score_tokens(const BatchView<double>&);

}  // namespace softstep
