#include "heads_case.h"

#include <algorithm>

namespace softstep::bench {
namespace {

// Everything in double: its own roundings are nothing beside those of f32, and as large as those of f64,
// which have twice the bound.
struct Exact {
  const HeadsCase& shape;
  std::vector<double> q, k, v, slope;
  double scale = 1.0 / std::sqrt(static_cast<double>(shape.dim));
  std::vector<double> o = {}, log_sum_exp = {};  ///< of a run of the library in double

  static double dot(const double* a, const double* b, std::size_t n, bool absolute = false) {
    double sum = 0.0;
    for (std::size_t l = 0; l < n; ++l) sum += absolute ? std::fabs(a[l] * b[l]) : a[l] * b[l];
    return sum;
  }
  const double* row(const std::vector<double>& array, std::size_t r) const {
    return array.data() + r * shape.dim;
  }
  std::size_t key_row(std::size_t h, std::size_t j) const {
    return h / (shape.n_heads / shape.n_key_heads) * shape.n_keys + j;
  }
  std::size_t seen(std::size_t i) const { return shape.causal ? i + 1 : shape.n_keys; }
};

template <class T>
std::vector<double> wide(const StoredNumbers<T>& in, std::size_t size) {
  std::vector<double> out(size);
  for (std::size_t k = 0; k < size; ++k) out[k] = in[k];
  return out;
}

double norm(const std::vector<double>& x) { return std::sqrt(Exact::dot(x.data(), x.data(), x.size())); }

// What is rounded of D_i where it is made of an O in 16 bits.
double norm_of_products(const double* a, const double* b, std::size_t n) {
  double squares = 0.0;
  for (std::size_t l = 0; l < n; ++l) squares += a[l] * a[l] * b[l] * b[l];
  return std::sqrt(squares);
}

// The bounds of benchmarks/peers/harness/heads/truth.py, by which norms of rows are compared here: a sum of k
// products is off by 6 sqrt(k) u of the sum of the absolute ones; what is inside a product counts apart.
struct Bounds {
  double u, stored, d, keys, terms, largest_score;  ///< `stored`: of a type of 16 bits
  double root(double k) const { return 6.0 * std::sqrt(k); }
  double of_p() const { return 2 * root(d + 2) * largest_score + 2 * root(keys + 16); }
  double of_ds() const { return 2 * of_p() + root(keys); }
  double o() const { return u * (of_p() + root(keys)); }
  double dv() const { return u * (of_p() + root(terms)); }
  double dq() const { return u * (of_ds() + root(keys)); }
  double inner() const { return u * root(d); }
  double dk() const { return u * (of_ds() + root(terms)); }
};

struct Row {
  std::vector<double> right, size, inner;  ///< the row, sums of the absolute values of terms and inside them
  double squares = 0.0;                    ///< of what is rounded in each term where types have 16 bits
  explicit Row(std::size_t dim) : right(dim, 0.0), size(dim, 0.0), inner(dim, 0.0) {}
  void add(double factor, double factor_size, double factor_inner, double rounded, const double* x) {
    for (std::size_t l = 0; l < right.size(); ++l) {
      right[l] += factor * x[l];
      size[l] += factor_size * std::fabs(x[l]);
      inner[l] += factor_inner * std::fabs(x[l]);
      squares += rounded * rounded * x[l] * x[l];
    }
  }
  template <class T>
  double over(double bound, const Bounds& bounds, const StoredNumbers<T>& theirs, std::size_t row) const {
    std::vector<double> apart(right.size());
    for (std::size_t l = 0; l < right.size(); ++l) apart[l] = theirs[row * right.size() + l] - right[l];
    return norm(apart) /
           (bound * norm(size) + bounds.inner() * norm(inner) + bounds.stored * std::sqrt(squares));
  }
};

}  // namespace

template <class T>
double worst_over_bound(const HeadsArrays<T>& in) {
  const HeadsCase& shape = in.shape;
  const std::size_t d = shape.dim, rows = shape.n_heads * shape.n_queries,
                    keys = shape.n_key_heads * shape.n_keys;
  Exact exact{shape, wide(in.q, rows * d), wide(in.k, keys * d), wide(in.v, keys * d),
              wide(in.slope, rows * d)};
  // Rows of dK and dV are sums over all rows, whose O and log-sum-exp come from a run in double; what some
  // rows of these are is checked from the definition.
  HeadsInputs<double> inputs;
  inputs.shape = in.inputs.shape;
  inputs.queries.numbers = exact.q;
  inputs.keys.numbers = exact.k;
  inputs.values.numbers = exact.v;
  exact.o.resize(rows * d);
  exact.log_sum_exp.resize(rows);
  HeadsOptions options;
  options.mask.causal = shape.causal;
  HeadsSpan<double> o;
  o.numbers = exact.o;
  attention_forward<double>(inputs, {o, exact.log_sum_exp, nullptr}, options);

  const bool is_double = sizeof(T) == 8;
  const double stored = in.q.storage == StoredType::working ? 0.0
                        : in.q.storage == StoredType::f16   ? std::ldexp(8.0, -11)
                                                            : std::ldexp(8.0, -8);
  const std::size_t group = shape.n_heads / shape.n_key_heads;
  Bounds bounds{unit_roundoff<T> * (is_double ? 2 : 1),
                stored,
                static_cast<double>(d),
                static_cast<double>(shape.n_keys),
                static_cast<double>(group * shape.n_queries),
                0.0};
  Bounds of_double = bounds;
  of_double.u = unit_roundoff<double>;
  of_double.stored = 0.0;

  double worst = 0.0;
  for (const std::size_t h : {std::size_t{0}, shape.n_heads / 2, shape.n_heads - 1})
    for (const std::size_t i : {std::size_t{0}, shape.n_queries / 3, shape.n_queries - 1}) {
      const std::size_t r = h * shape.n_queries + i, n = exact.seen(shape.square() ? i : shape.n_keys - 1);
      const double* slope = exact.row(exact.slope, r);
      std::vector<double> p(n), products(n), sizes(n);
      double top = -std::numeric_limits<double>::infinity(), sum = 0.0, mean = 0.0, mean_size = 0.0,
             mean_inner = 0.0;
      bounds.largest_score = 0.0;
      for (std::size_t j = 0; j < n; ++j) {
        const std::size_t key = exact.key_row(h, j);
        p[j] = exact.scale * Exact::dot(exact.row(exact.q, r), exact.row(exact.k, key), d);
        bounds.largest_score =
            std::max(bounds.largest_score,
                     exact.scale * Exact::dot(exact.row(exact.q, r), exact.row(exact.k, key), d, true));
        products[j] = Exact::dot(slope, exact.row(exact.v, key), d);
        sizes[j] = Exact::dot(slope, exact.row(exact.v, key), d, true);
        top = std::max(top, p[j]);
      }
      for (double& x : p) sum += x = std::exp(x - top);
      for (std::size_t j = 0; j < n; ++j) {
        p[j] /= sum;
        mean += p[j] * products[j];
        mean_size += p[j] * std::fabs(products[j]);
        mean_inner += p[j] * sizes[j];
      }
      const double stored_mean = norm_of_products(slope, exact.row(exact.o, r), d);
      Row output(d), dq(d);
      for (std::size_t j = 0; j < n; ++j) {
        const std::size_t key = exact.key_row(h, j);
        output.add(p[j], p[j], 0.0, p[j], exact.row(exact.v, key));
        dq.add(exact.scale * p[j] * (products[j] - mean),
               exact.scale * p[j] * (std::fabs(products[j]) + mean_size),
               exact.scale * p[j] * (sizes[j] + mean_inner),
               exact.scale * p[j] * std::hypot(products[j] - mean, stored_mean), exact.row(exact.k, key));
      }
      of_double.largest_score = bounds.largest_score;
      StoredNumbers<double> theirs;
      theirs.numbers.assign(exact.row(exact.o, r), exact.row(exact.o, r) + d);
      worst = worse(worst, output.over(2 * of_double.o(), of_double, theirs, 0));
      worst = worse(worst, std::fabs(exact.log_sum_exp[r] - top - std::log(sum)) /
                               (2 * of_double.u * of_double.of_p()));
      worst = worse(worst, output.over(bounds.o(), bounds, in.o, r));
      // A row that sees one key has the gradient 0, which the sums here have up to rounding.
      if (n > 1) worst = worse(worst, dq.over(bounds.dq(), bounds, in.dq, r));
    }

  for (const std::size_t g : {std::size_t{0}, shape.n_key_heads - 1})
    for (const std::size_t j : {std::size_t{0}, shape.n_keys / 3, shape.n_keys - 1}) {
      Row dk(d), dv(d);
      const std::size_t key = g * shape.n_keys + j;
      std::vector<double> largest_value(d, 0.0);
      for (std::size_t k = 0; k < shape.n_keys; ++k)
        for (std::size_t l = 0; l < d; ++l)
          largest_value[l] =
              std::max(largest_value[l], std::fabs(exact.row(exact.v, g * shape.n_keys + k)[l]));
      bounds.largest_score = 0.0;
      for (std::size_t h = g * group; h < (g + 1) * group; ++h)
        for (std::size_t i = shape.causal ? j : 0; i < shape.n_queries; ++i) {
          const std::size_t r = h * shape.n_queries + i;
          const double *query = exact.row(exact.q, r), *slope = exact.row(exact.slope, r);
          const double s = exact.scale * Exact::dot(query, exact.row(exact.k, key), d);
          bounds.largest_score = std::max(bounds.largest_score,
                                          exact.scale * Exact::dot(query, exact.row(exact.k, key), d, true));
          const double p = std::exp(s - exact.log_sum_exp[r]);
          const double product = Exact::dot(slope, exact.row(exact.v, key), d),
                       size = Exact::dot(slope, exact.row(exact.v, key), d, true);
          // What D_i is made of is at most this; of a row of dK the bound is some times wider than of dQ.
          const double mean = Exact::dot(slope, exact.row(exact.o, r), d),
                       most = Exact::dot(slope, largest_value.data(), d, true);
          dk.add(
              exact.scale * p * (product - mean), exact.scale * p * (std::fabs(product) + most),
              exact.scale * p * (size + most),
              exact.scale * p * std::hypot(product - mean, norm_of_products(slope, exact.row(exact.o, r), d)),
              query);
          dv.add(p, p, 0.0, p, slope);
        }
      worst = worse(worst, dk.over(bounds.dk(), bounds, in.dk, key));
      worst = worse(worst, dv.over(bounds.dv(), bounds, in.dv, key));
    }
  return worst;
}

template double worst_over_bound<float>(const HeadsArrays<float>&);
template double worst_over_bound<double>(const HeadsArrays<double>&);

}  // namespace softstep::bench
