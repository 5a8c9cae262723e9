#pragma once

// The kernels of simd/kernels.def as plain loops in a number type of the caller's choice: `Number` is float,
// double, long double or a multi-precision type; mathematical functions are found by argument. Inputs are of
// any type T that Number can be made from without rounding. Written for the reader and the tests, never
// tuned; shares no code with what it checks. The attention kernels, attention
// and attention_lanes, are in attention.h.

#include <cmath>
#include <cstddef>
#include <limits>

namespace softstep::reference {

/// exp(x) for x <= 0.
template <class Number, class T>
Number exp_nonpositive(T x) {
  using std::exp;
  if (x == -std::numeric_limits<T>::infinity()) return Number(0);
  return exp(Number(x));
}

/// y + a x, one element.
template <class Number, class T>
Number axpy(T a, T x, T y) {
  return Number(a) * Number(x) + Number(y);
}

/// y + low + a x, one element of axpy_compensated: what its y and low add up to.
template <class Number, class T>
Number axpy_compensated(T a, T x, T y, T low) {
  return Number(a) * Number(x) + Number(low) + Number(y);
}

/// (x a) b, one element of scale_row.
template <class Number, class T>
Number scale_row(T a, T b, T x) {
  return Number(x) * Number(a) * Number(b);
}

/// The same, of a lane with its own factors, in double, that are rounded to T.
template <class Number, class T>
Number scale_lanes(double a, double b, T x) {
  return scale_row<Number>(static_cast<T>(a), static_cast<T>(b), x);
}

/// sum_i x_i y_i.
template <class Number, class T>
Number dot(std::size_t n, const T* x, const T* y) {
  Number sum(0);
  for (std::size_t i = 0; i < n; ++i) sum += Number(x[i]) * Number(y[i]);
  return sum;
}

/// Entry (row, col) of C = A B^T, A of k columns and leading dimension lda, B likewise.
template <class Number, class T>
Number product_nt(std::size_t row, std::size_t col, std::size_t k, const T* a, std::size_t lda, const T* b,
                  std::size_t ldb) {
  Number sum(0);
  for (std::size_t i = 0; i < k; ++i) sum += Number(a[row * lda + i]) * Number(b[col * ldb + i]);
  return sum;
}

/// Entry (row, col) of C = A B, A of k columns, B of k rows.
template <class Number, class T>
Number product_nn(std::size_t row, std::size_t col, std::size_t k, const T* a, std::size_t lda, const T* b,
                  std::size_t ldb) {
  Number sum(0);
  for (std::size_t i = 0; i < k; ++i) sum += Number(a[row * lda + i]) * Number(b[i * ldb + col]);
  return sum;
}

/// Entry (row, col) of C = A^T B, A and B of k rows.
template <class Number, class T>
Number product_tn(std::size_t row, std::size_t col, std::size_t k, const T* a, std::size_t lda, const T* b,
                  std::size_t ldb) {
  Number sum(0);
  for (std::size_t i = 0; i < k; ++i) sum += Number(a[i * lda + row]) * Number(b[i * ldb + col]);
  return sum;
}

/// The slope that row_factors multiplies a row by, from m = gamma_opt - pivot_gap + e^c mu; its last term as
/// one number.
template <class Number>
struct RowFactor {
  Number margin, log_slope;  ///< m; log of -l'(m)
};
template <class Number>
RowFactor<Number> row_factors(bool logistic, Number optimal_score, Number pivot_gap, Number shifted_gap) {
  using std::exp;
  using std::log;
  const Number m = optimal_score - pivot_gap + shifted_gap;
  return {m, logistic ? Number(-log(Number(1) + exp(m))) : Number(-m)};
}

/// The same for a sample of one of the runs that run_factors takes side by side.
template <class Number>
RowFactor<Number> run_factors(bool logistic, Number optimal_score, Number pivot_gap, Number shifted_gap) {
  return row_factors(logistic, optimal_score, pivot_gap, shifted_gap);
}

/// l(gamma - delta) - l(gamma) of a sample, of whose mean run_gaps is made.
template <class Number>
Number run_gaps(bool logistic, Number gamma, Number delta) {
  using std::exp;
  using std::expm1;
  using std::log1p;
  return logistic ? log1p(expm1(delta) / (Number(1) + exp(gamma))) : exp(-gamma) * expm1(delta);
}

/// u_ij of run r of `width`, of n samples: sum_k <z_i, z_k> g_kj, as in run_gram.
template <class Number, class T>
Number run_gram(std::size_t i, std::size_t j, std::size_t r, std::size_t width, std::size_t n,
                std::size_t stride, const T* gram, const T* rows) {
  Number sum(0);
  for (std::size_t k = 0; k < n; ++k)
    sum += Number(gram[(i * n + k) * width + r]) * Number(rows[j * stride + k * width + r]);
  return sum;
}

/// y + a x, one element of either sum of run_move.
template <class Number, class T>
Number run_move(T a, T x, T y) {
  return axpy<Number>(a, x, y);
}

/// Entry (i, j) of run r in run_product: sum_k a_ik b_kj, of elements that are `a_row` and `a_col`, `b_row`
/// and `b_col` apart.
template <class Number, class T>
Number run_product(std::size_t i, std::size_t j, std::size_t r, std::size_t n_inner, const T* a,
                   std::size_t a_row, std::size_t a_col, const T* b, std::size_t b_row, std::size_t b_col) {
  Number sum(0);
  for (std::size_t k = 0; k < n_inner; ++k)
    sum += Number(a[i * a_row + k * a_col + r]) * Number(b[k * b_row + j * b_col + r]);
  return sum;
}

/// What becomes of an entry of W: what is remembered of it, and the direction it goes against.
template <class Number>
struct RunEntry {
  Number mean, root, direction;
};

/// g
template <class Number>
RunEntry<Number> run_descent(Number g) {
  return {Number(0), Number(0), g};
}

/// sign(g)
template <class Number>
RunEntry<Number> run_sign(Number g) {
  return {Number(0), Number(0), Number(g > 0 ? 1 : g < 0 ? -1 : 0)};
}

/// v' = keep (v + q); v' + q.
template <class Number>
RunEntry<Number> run_momentum(Number q, Number v, Number keep) {
  const Number next = keep * (v + q);
  return {next, Number(0), next + q};
}

/// The two means of Adam, of what is left of them, and m / (sqrt(v) + eps) after their corrections.
template <class Number>
RunEntry<Number> run_adam(Number g, Number mean_left, Number root_left, Number take_mean, Number take_root,
                          Number mean_share, Number root_share, Number eps) {
  using std::sqrt;
  const Number taken = take_root * g;
  const Number mean = mean_left + take_mean * g, root = sqrt(root_left * root_left + taken * taken);
  const Number below = root * root_share + eps;
  return {mean, root, below > 0 ? Number(mean * mean_share / below) : Number(0)};
}

}  // namespace softstep::reference
