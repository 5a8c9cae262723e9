#pragma once

// The random stream behind every generator: the same seed gives the same bytes on every platform. Standard
// distributions differ between standard libraries and std::log between maths libraries, so everything above
// the engine is written here with + - * / and sqrt in IEEE double, each rounded once, in the order shown.
//
//   engine     the 64-bit Mersenne Twister MT19937-64 (std::mt19937_64) seeded by init_genrand64(seed). Data
//              models use `seed` itself and so share one stream: two models with one seed are not
//              independent. normal_weights uses seed xor 0x77656967687473 ("weights"): initial weights are
//              not a copy of data made with the same seed.
//   uniform()  (x >> 11) * 2^-53 of the next x; in [0, 1)
//   index(n)   floor(uniform() * n), the product rounded; 0 .. n-1
//   sign()     -1 if uniform() < 0.5, else +1
//   normal()   Marsaglia's polar method: a = 2 uniform() - 1, then b = 2 uniform() - 1, s = a a + b b, again
//              unless 0 < s < 1; f = sqrt(-2 log(s) / s). The call gives a f and the next call to normal()
//              gives b f, whatever else is drawn in between.
//   log(s)     s = 2^k m with sqrt(1/2) <= m < sqrt(2); f = m - 1, q = f / (2 + f), w = q q, h = 0.5 f f,
//              r = w (2/3 + w (2/5 + w (... + w (2/23)))), coefficients rounded to double;
//              k ln2_hi - ((h - (q (h + r) + k ln2_lo)) - f). Error below 1 ulp for 0 < s < 1 (as in fdlibm).

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>

namespace softstep::data {

static_assert(std::numeric_limits<double>::is_iec559 && std::numeric_limits<double>::digits == 53);
static_assert(FLT_EVAL_METHOD == 0, "double arithmetic must be rounded to double");

/// Natural logarithm of a positive finite number, the same bits everywhere.
inline double portable_log(double s) {
  int k = 0;
  double m = std::frexp(s, &k);  // exact; [0.5, 1)
  if (m < 0.70710678118654752) {
    m *= 2.0;
    --k;
  }
  const double f = m - 1.0, q = f / (2.0 + f), w = q * q, h = 0.5 * f * f;
  double r = 0.0;
  for (int odd = 23; odd >= 3; odd -= 2) r = w * (2.0 / odd + r);
  const double ln2_hi = 0x1.62e42feep-1, ln2_lo = 0x1.a39ef35793c76p-33;  // k ln2_hi is exact
  return k * ln2_hi - ((h - (q * (h + r) + k * ln2_lo)) - f);
}

class RandomStream {
 public:
  explicit RandomStream(std::uint64_t seed) : engine_(seed) {}

  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  std::size_t index(std::size_t n) { return static_cast<std::size_t>(uniform() * static_cast<double>(n)); }
  double sign() { return uniform() < 0.5 ? -1.0 : 1.0; }

  double normal() {
    if (has_second_) {
      has_second_ = false;
      return second_;
    }
    double a, b, s;
    do {
      a = 2.0 * uniform() - 1.0;
      b = 2.0 * uniform() - 1.0;
      s = a * a + b * b;
    } while (!(s > 0.0 && s < 1.0));
    const double f = std::sqrt(-2.0 * portable_log(s) / s);
    second_ = b * f;
    has_second_ = true;
    return a * f;
  }

 private:
  std::mt19937_64 engine_;
  double second_ = 0.0;
  bool has_second_ = false;
};

}  // namespace softstep::data
