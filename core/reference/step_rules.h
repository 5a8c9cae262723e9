#pragma once

// The step rules as their papers write them, in plain numbers of any type with range and digits enough: no
// exponents apart, no care for rounding. Each takes the true gradient and loss gap and moves W; `t` counts
// from 0.

#include <cmath>
#include <cstddef>
#include <vector>

namespace softstep::reference {

template <class Number>
Number dot(const std::vector<Number>& a, const std::vector<Number>& b) {
  Number sum(0);
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

template <class Number>
void subtract(std::vector<Number>& w, const Number& scale, const std::vector<Number>& direction) {
  for (std::size_t k = 0; k < w.size(); ++k) w[k] -= scale * direction[k];
}

template <class Number>
Number scheduled(double eta, double power, int t) {
  using std::pow;
  return Number(eta) * pow(Number(t + 1), Number(-power));
}

template <class Number>
Number sign_of(const Number& x) {
  return Number(x > 0 ? 1 : x < 0 ? -1 : 0);
}

template <class Number>
struct GradientDescent {
  double eta = 1, power = 0;
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number&, int t) {
    subtract(w, scheduled<Number>(eta, power, t), g);
  }
};

template <class Number>
struct NormalizedGradientDescent {
  double eta = 1, power = 0;
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number&, int t) {
    using std::sqrt;
    subtract(w, Number(scheduled<Number>(eta, power, t) / sqrt(dot(g, g))), g);
  }
};

/// min(gap / (c |g|^2), cap); no cap if it is 0. c = 1 with a gap cut off at 0 is SPS+.
template <class Number>
struct PolyakStep {
  double c = 2, cap = 0;
  bool plus = false;
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number& gap, int) {
    Number step = gap / (Number(c) * dot(g, g));
    if (plus && step < 0) step = 0;
    if (cap > 0 && step > cap) step = Number(cap);
    subtract(w, step, g);
  }
};

/// Algorithm 1 of Ji, Srebro, Telgarsky: g_t = beta_t (g_{t-1} + grad/risk), w -= theta (g_t + grad/risk),
/// beta_t = t/(t+1).
template <class Number>
struct DualAcceleration {
  double theta = 1;
  std::vector<Number> sum{};
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number& gap, int t) {
    sum.resize(w.size(), Number(0));
    for (std::size_t k = 0; k < w.size(); ++k) {
      const Number normalized = g[k] / gap;
      sum[k] = Number(t) / Number(t + 1) * (sum[k] + normalized);
      w[k] -= Number(theta) * (sum[k] + normalized);
    }
  }
};

template <class Number>
struct Adam {
  double eta = 0.001, power = 0, beta1 = 0.9, beta2 = 0.999, eps = 0;
  std::vector<Number> m{}, v{};
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number&, int t) {
    using std::pow;
    using std::sqrt;
    m.resize(w.size(), Number(0));
    v.resize(w.size(), Number(0));
    const Number b1(beta1), b2(beta2);
    for (std::size_t k = 0; k < w.size(); ++k) {
      m[k] = b1 * m[k] + (1 - b1) * g[k];
      v[k] = b2 * v[k] + (1 - b2) * g[k] * g[k];
      const Number mean = m[k] / (1 - pow(b1, t + 1)), square = v[k] / (1 - pow(b2, t + 1));
      const Number below = sqrt(square) + Number(eps);
      if (below > 0) w[k] -= scheduled<Number>(eta, power, t) * mean / below;
    }
  }
};

template <class Number>
struct SignDescent {
  double eta = 0.01, power = 0;
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number&, int t) {
    for (std::size_t k = 0; k < w.size(); ++k) w[k] -= scheduled<Number>(eta, power, t) * sign_of(g[k]);
  }
};

/// sum over the nonzero singular values of u v^T, by one-sided Jacobi rotations of the rows of A (n_rows <=
/// n_cols): once they are orthogonal, J A = diag(s) V^T, and U V^T = J^T (rows of J A over their lengths).
template <class Number>
std::vector<Number> polar_factor(std::vector<Number> a, std::size_t n_rows, std::size_t n_cols,
                                 int n_sweeps) {
  using std::sqrt;
  std::vector<Number> j(n_rows * n_rows, Number(0));
  for (std::size_t r = 0; r < n_rows; ++r) j[r * n_rows + r] = 1;
  const auto row_dot = [&](std::size_t p, std::size_t q) {
    Number sum(0);
    for (std::size_t c = 0; c < n_cols; ++c) sum += a[p * n_cols + c] * a[q * n_cols + c];
    return sum;
  };
  const auto rotate = [](std::vector<Number>& x, std::size_t width, std::size_t p, std::size_t q,
                         const Number& cosine, const Number& sine) {
    for (std::size_t c = 0; c < width; ++c) {
      const Number a_p = x[p * width + c], a_q = x[q * width + c];
      x[p * width + c] = cosine * a_p - sine * a_q;
      x[q * width + c] = sine * a_p + cosine * a_q;
    }
  };
  for (int sweep = 0; sweep < n_sweeps; ++sweep)
    for (std::size_t p = 0; p < n_rows; ++p)
      for (std::size_t q = p + 1; q < n_rows; ++q) {
        const Number pq = row_dot(p, q);
        if (pq == 0) continue;
        const Number zeta = (row_dot(q, q) - row_dot(p, p)) / (2 * pq);
        const Number size = zeta < 0 ? Number(-zeta) : zeta;
        const Number tangent = Number(zeta < 0 ? -1 : 1) / (size + sqrt(Number(1 + zeta * zeta)));
        const Number cosine = 1 / sqrt(Number(1 + tangent * tangent));
        rotate(a, n_cols, p, q, cosine, Number(cosine * tangent));
        rotate(j, n_rows, p, q, cosine, Number(cosine * tangent));
      }
  std::vector<Number> out(n_rows * n_cols, Number(0));
  for (std::size_t p = 0; p < n_rows; ++p) {
    const Number length = sqrt(row_dot(p, p));
    if (length == 0) continue;
    for (std::size_t r = 0; r < n_rows; ++r)
      for (std::size_t c = 0; c < n_cols; ++c)
        out[r * n_cols + c] += j[p * n_rows + r] * a[p * n_cols + c] / length;
  }
  return out;
}

template <class Number>
struct SpectralDescent {
  std::size_t n_rows, n_cols;
  double eta = 1, power = 0;
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number&, int t) {
    subtract(w, scheduled<Number>(eta, power, t), polar_factor(g, n_rows, n_cols, 16));
  }
};

template <class Number>
struct Muon {
  std::size_t n_rows, n_cols;
  double eta = 0.02, power = 0, mu = 0.95;
  std::vector<Number> buffer{};
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number&, int t) {
    using std::sqrt;
    buffer.resize(w.size(), Number(0));
    std::vector<Number> x(w.size());
    for (std::size_t k = 0; k < w.size(); ++k) {
      buffer[k] = Number(mu) * buffer[k] + g[k];
      x[k] = g[k] + Number(mu) * buffer[k];
    }
    const Number norm = sqrt(dot(x, x));
    for (Number& value : x) value /= norm;
    for (int k = 0; k < 5; ++k) {
      const std::vector<Number> a = times_transpose(x, x), once = times(a, x), twice = times(a, once);
      for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = Number(3.4445) * x[i] + Number(-4.7750) * once[i] + Number(2.0315) * twice[i];
    }
    subtract(w, scheduled<Number>(eta, power, t), x);
  }

 private:
  std::vector<Number> times_transpose(const std::vector<Number>& a, const std::vector<Number>& b) const {
    std::vector<Number> out(n_rows * n_rows, Number(0));
    for (std::size_t r = 0; r < n_rows; ++r)
      for (std::size_t s = 0; s < n_rows; ++s)
        for (std::size_t c = 0; c < n_cols; ++c) out[r * n_rows + s] += a[r * n_cols + c] * b[s * n_cols + c];
    return out;
  }
  std::vector<Number> times(const std::vector<Number>& square, const std::vector<Number>& b) const {
    std::vector<Number> out(n_rows * n_cols, Number(0));
    for (std::size_t r = 0; r < n_rows; ++r)
      for (std::size_t c = 0; c < n_cols; ++c)
        for (std::size_t s = 0; s < n_rows; ++s)
          out[r * n_cols + c] += square[r * n_rows + s] * b[s * n_cols + c];
    return out;
  }
};

/// m = beta m + (1 - beta) g; the step goes along sign(m), m / |m| or the polar factor of m.
enum class AlongMean { sign, unit, polar };
template <class Number>
struct MeanDescent {
  AlongMean along;
  std::size_t n_rows, n_cols;
  double eta = 1, power = 0, beta = 0.9;
  std::vector<Number> m{};
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number&, int t) {
    using std::sqrt;
    m.resize(w.size(), Number(0));
    for (std::size_t k = 0; k < w.size(); ++k) m[k] = Number(beta) * m[k] + (1 - Number(beta)) * g[k];
    std::vector<Number> step = m;
    if (along == AlongMean::polar) {
      step = polar_factor(m, n_rows, n_cols, 16);
    } else {
      const Number norm = sqrt(dot(m, m));
      for (Number& x : step) x = along == AlongMean::sign ? sign_of(x) : Number(x / norm);
    }
    subtract(w, scheduled<Number>(eta, power, t), step);
  }
};

/// theta = sign(w)|w|^(p-1) afresh from w at every step.
template <class Number>
struct MirrorDescent {
  double p = 3, eta = 1, power = 0;
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number&, int t) {
    using std::fabs;
    using std::pow;
    const Number one(1), exponent = Number(p) - one, q = Number(p) / exponent;
    Number sum(0);
    for (const Number& x : g) sum += x == 0 ? Number(0) : Number(pow(Number(fabs(x)), q));
    const Number norm = pow(sum, Number(one / q));
    for (std::size_t k = 0; k < w.size(); ++k) {
      const Number theta =
          (w[k] == 0 ? Number(0) : Number(sign_of(w[k]) * pow(Number(fabs(w[k])), exponent))) -
          scheduled<Number>(eta, power, t) * g[k] / norm;
      w[k] =
          theta == 0 ? Number(0) : Number(sign_of(theta) * pow(Number(fabs(theta)), Number(one / exponent)));
    }
  }
};

/// Algorithm 1 of Wang, Min, Wu with R_k growing by a factor; k counts from the first rescaling.
template <class Number>
struct ProgressiveRescaling {
  double eta = 1, growth = 1.2;
  int warm_up = 100, phase = 5;
  Number radius{0};
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number& gap, int t) {
    using std::sqrt;
    const bool warm = t < warm_up;
    if (!warm && (t - warm_up) % (phase + 1) == 0) {
      const Number norm = sqrt(dot(w, w));
      radius = Number(growth) * (radius == 0 ? norm : radius);
      for (Number& x : w) x *= radius / norm;
      return;
    }
    subtract(w, Number(Number(eta) / gap), g);
    const Number norm = sqrt(dot(w, w));
    if (!warm && norm > radius)
      for (Number& x : w) x *= radius / norm;
  }
};

/// min(gap / (|g|^2 + delta), cap); no cap if it is 0.
template <class Number>
struct AliG {
  double delta = 0, cap = 0;
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number& gap, int) {
    Number step = gap / (dot(g, g) + Number(delta));
    if (cap > 0 && step > cap) step = Number(cap);
    subtract(w, step, g);
  }
};

/// gamma_t = (1/c_t) min(gap/|g|^2, c_{t-1} gamma_{t-1}), c_t = c_0 sqrt(t+1), c_{-1} = c_0; no first bound
/// if cap is 0.
template <class Number>
struct DecreasingPolyakStep {
  double c0 = 1, cap = 0;
  Number gamma{0};
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number& gap, int t) {
    using std::sqrt;
    const Number before = t == 0 ? Number(c0) : Number(Number(c0) * sqrt(Number(t)));
    const Number now = Number(c0) * sqrt(Number(t + 1));
    const bool bounded = t > 0 || cap > 0;
    if (t == 0) gamma = Number(cap);
    Number least = gap / dot(g, g);
    if (bounded && before * gamma < least) least = before * gamma;
    gamma = least / now;
    subtract(w, gamma, g);
  }
};

/// Means of loss, <g, w> and g from the first sample on; tau = min(cap, (f + <d, w> - m)_+ / |d|^2); no cap
/// if it is 0.
template <class Number>
struct MomentumModel {
  double beta = 0.9, cap = 0;
  Number f{0}, m{0};
  std::vector<Number> d{};
  void operator()(std::vector<Number>& w, const std::vector<Number>& g, const Number& gap, int t) {
    const Number keep = t == 0 ? Number(0) : Number(beta);
    d.resize(w.size(), Number(0));
    f = keep * f + (1 - keep) * gap;
    m = keep * m + (1 - keep) * dot(g, w);
    for (std::size_t k = 0; k < w.size(); ++k) d[k] = keep * d[k] + (1 - keep) * g[k];
    Number step = (f + dot(d, w) - m) / dot(d, d);
    if (step < 0) step = 0;
    if (cap > 0 && step > cap) step = Number(cap);
    subtract(w, step, d);
  }
};

}  // namespace softstep::reference
