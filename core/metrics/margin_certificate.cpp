// Bounds on margins from the multipliers that a gradient is made of.

#include "softstep/margin_certificate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/data/checked_size.h"
#include "core/data/text.h"
#include "core/metrics/token_products.h"
#include "softstep/scaled.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// sum_r e^s_r (gamma_r - gamma_t) of the gaps opt - gamma: over the scores that differ alone, so that it
// keeps its digits where nearly all attention is at scores equal to gamma_t.
Scaled score_below_mean(const std::vector<double>& s, const double* gaps, std::size_t t) {
  Scaled out{0.0, -infinity};
  for (std::size_t r = 0; r < s.size(); ++r)
    if (gaps[r] != gaps[t]) out.exponent = std::max(out.exponent, s[r]);
  for (std::size_t r = 0; r < s.size(); ++r)
    if (gaps[r] != gaps[t]) out.mantissa += std::exp(s[r] - out.exponent) * (gaps[t] - gaps[r]);
  return out;
}

// The logarithm of every multiplier, row by row; -infinity where it is 0. `scores` are those by row.
template <class T, class W>
std::vector<double> log_multipliers(const data::BatchRows<T>& rows, const TokenScores& scores,
                                    std::span<const W> weights, const LossFunction& loss) {
  std::vector<double> out, v(rows.dim), s;
  RowsAhead<T> ahead(rows);
  std::size_t row = 0;
  for (std::size_t i = 0; i < rows.batch.n_samples; ++i) {
    const std::size_t begin = out.size(), n_queries = rows.batch.queries_of(i);
    double margin = 0.0;
    for (std::size_t q = 0; q < n_queries; ++q, ++row) {
      ahead.reading(row);
      project(rows, row, weights, v);
      score_row(rows, row, v, s);
      const double* gaps = scores.gaps.data() + scores.first[row];
      const double top = *std::max_element(s.begin(), s.end());
      double total = 0.0, mean = 0.0;  // the mean of the gaps, and so of opt - gamma, under the attention
      for (std::size_t t = 0; t < s.size(); ++t) {
        if (!std::isfinite(s[t]))
          throw InvalidArgument("weights", "a score of sample " + std::to_string(i) + " is not finite");
        total += std::exp(s[t] - top);
        mean += std::exp(s[t] - top) * gaps[t];
      }
      mean /= total;
      const int power = scores.gap_power.empty() ? 0 : scores.gap_power[row];
      const double weight = rows.batch.query_weight(i, q);
      margin += weight * (scores.optimal_score[row] - std::ldexp(mean, power));
      for (std::size_t t = 0; t < s.size(); ++t) {
        const Scaled below = score_below_mean(s, gaps, t);
        out.push_back(below.mantissa > 0.0 ? std::log(weight) + (s[t] - top) - std::log(total) +
                                                 (below.log() - top) - std::log(total) + power * std::log(2.0)
                                           : -infinity);
      }
    }
    const double slope = (-loss.derivative(margin, 1.0)).log();  // NaN: the loss does not fall here
    for (std::size_t k = begin; k < out.size(); ++k) out[k] = std::isnan(slope) ? -infinity : out[k] + slope;
  }
  return out;
}

// Scores of another batch have no entry for a sample, or one beyond its tokens.
template <class T>
void require_scores_of(const BatchView<T>& batch, const TokenScores& scores) {
  const std::size_t n = batch.n_samples;
  require_size("scores.optimal", scores.optimal.size(), n, "n_samples");
  require_size("scores.optimal_score", scores.optimal_score.size(), n, "n_samples");
  require_size("scores.first", scores.first.size(), n + 1, "n_samples + 1");
  require_size("scores.gaps", scores.gaps.size(), batch.total_tokens(), "the batch's tokens");
  if (!scores.gap_power.empty()) require_size("scores.gap_power", scores.gap_power.size(), n, "n_samples");
  std::size_t first = 0;
  for (std::size_t i = 0; i < n; first += batch.tokens_of(i++))
    if (scores.first[i] != first || scores.optimal[i] >= batch.tokens_of(i))
      throw InvalidArgument(
          "scores", "sample " + std::to_string(i) + " begins at entry " + std::to_string(scores.first[i]) +
                        ", optimal token " + std::to_string(scores.optimal[i]) + " (need " +
                        std::to_string(first) + ", and 0 to " + std::to_string(batch.tokens_of(i) - 1) + ")");
}

template <class T, class W>
bool add_gradient(MarginCertificate& certificate, const BatchView<T>& batch, const TokenScores& scores,
                  std::span<const W> weights, Loss loss) {
  require_weights(batch, weights);
  require_scores_of(batch, scores);
  const data::BatchRows<T> rows(batch);
  const TokenScores by_row = data::scores_by_row(rows, scores);
  const std::vector<double> logs = log_multipliers(rows, by_row, weights, *make_loss(loss));
  const double top = logs.empty() ? -infinity : *std::max_element(logs.begin(), logs.end());
  if (top == -infinity) return false;
  std::vector<double> combination(batch.dim * batch.dim, 0.0), tokens(batch.dim);
  double weight = 0.0;
  RowsAhead<T> ahead(rows);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    ahead.reading(row);
    const double* lambda = logs.data() + by_row.first[row];
    const T* best = rows.token(row, by_row.optimal[row]);
    std::fill(tokens.begin(), tokens.end(), 0.0);
    double sum = 0.0;
    for (std::size_t t = 0; t < rows.tokens_of(row); ++t) {
      const double factor = std::exp(lambda[t] - top);
      const T* x = rows.token(row, t);
      sum += factor;
      for (std::size_t j = 0; j < batch.dim; ++j)
        tokens[j] += factor * (static_cast<double>(best[j]) - static_cast<double>(x[j]));
    }
    weight += sum;
    if (sum == 0.0) continue;
    const T* z = rows.query(row);
    for (std::size_t r = 0; r < batch.dim; ++r)
      for (std::size_t c = 0; c < batch.dim; ++c)
        combination[r * batch.dim + c] += tokens[r] * static_cast<double>(z[c]);
  }
  certificate.add(combination, weight);
  return true;
}

template <class T, class W>
double share_of(const BatchView<T>& batch, const TokenScores& scores, std::span<const W> weights,
                MatrixNorm norm, double p) {
  MarginCertificate certificate(batch.dim, batch.dim);
  const double margin = margin_in_norm(batch, scores, weights, norm, p);
  if (!add_gradient(certificate, batch, scores, weights, Loss::logistic))
    return std::numeric_limits<double>::quiet_NaN();
  return certificate.share(margin, norm, p);
}

template <class T>
double dual_of(std::span<const T> a, std::size_t rows, std::size_t cols, MatrixNorm norm, double p) {
  switch (norm) {
    case MatrixNorm::frobenius:
      return matrix_norm(a, rows, cols, MatrixNorm::frobenius);
    case MatrixNorm::spectral:
      return matrix_norm(a, rows, cols, MatrixNorm::nuclear);
    case MatrixNorm::nuclear:
      return matrix_norm(a, rows, cols, MatrixNorm::spectral);
    case MatrixNorm::max:
      return matrix_norm(a, rows, cols, MatrixNorm::l_p, 1.0);
    case MatrixNorm::l_p:
      break;
  }
  if (!(p >= 1.0) || !std::isfinite(p))
    throw InvalidArgument("p", data::number_text(p) + " (need a finite number of at least 1)");
  if (p == 1.0) return matrix_norm(a, rows, cols, MatrixNorm::max);
  return matrix_norm(a, rows, cols, MatrixNorm::l_p, p / (p - 1.0));
}

}  // namespace

double dual_norm(std::span<const float> a, std::size_t rows, std::size_t cols, MatrixNorm norm, double p) {
  return dual_of(a, rows, cols, norm, p);
}
double dual_norm(std::span<const double> a, std::size_t rows, std::size_t cols, MatrixNorm norm, double p) {
  return dual_of(a, rows, cols, norm, p);
}

MarginCertificate::MarginCertificate(std::size_t n_rows, std::size_t n_cols)
    : n_rows_(n_rows), n_cols_(n_cols) {
  std::size_t size = 0;
  if (n_rows == 0 || n_cols == 0 || !data::multiply(n_rows, n_cols, data::max_bytes / sizeof(double), size))
    throw InvalidArgument(n_rows == 0 || n_cols != 0 ? "n_rows" : "n_cols",
                          std::to_string(n_rows) + " x " + std::to_string(n_cols) +
                              " (need at least 1, and a matrix that can be addressed)");
  sum_.assign(size, 0.0);
}

void MarginCertificate::add(std::span<const double> combination, double weight) {
  require_size("combination", combination.size(), sum_.size(), "n_rows * n_cols");
  if (!(weight > 0.0) || !std::isfinite(weight))
    throw InvalidArgument("weight", data::number_text(weight) + " (need a positive finite number)");
  if (!std::all_of(combination.begin(), combination.end(), [](double x) { return std::isfinite(x); }))
    throw InvalidArgument("combination", "an entry is not finite");
  for (std::size_t k = 0; k < sum_.size(); ++k) sum_[k] += combination[k] / weight;
  ++size_;
}

std::vector<double> MarginCertificate::average() const {
  std::vector<double> out = sum_;
  if (size_ > 0)
    for (double& x : out) x /= static_cast<double>(size_);
  return out;
}

double MarginCertificate::bound(MatrixNorm norm, double p) const {
  const double dual = dual_norm(sum_, n_rows_, n_cols_, norm, p);
  return size_ == 0 ? infinity : dual / static_cast<double>(size_);
}

double MarginCertificate::share(double margin, MatrixNorm norm, double p) const {
  return margin / bound(norm, p);
}

#define SOFTSTEP_INSTANTIATE(T, W)                                                                         \
  template bool add_attention_gradient(MarginCertificate&, const BatchView<T>&, const TokenScores&,        \
                                       std::span<const W>, Loss);                                          \
  template double certified_share(const BatchView<T>&, const TokenScores&, std::span<const W>, MatrixNorm, \
                                  double);
#define SOFTSTEP_CERTIFICATES(W)                                                                           \
  template <NumberType T>                                                                                  \
  bool add_attention_gradient(MarginCertificate& certificate, const BatchView<T>& batch,                   \
                              const TokenScores& scores, std::span<const W> weights, Loss loss) {          \
    return add_gradient(certificate, batch, scores, weights, loss);                                        \
  }                                                                                                        \
  template <NumberType T>                                                                                  \
  double certified_share(const BatchView<T>& batch, const TokenScores& scores, std::span<const W> weights, \
                         MatrixNorm norm, double p) {                                                      \
    return share_of(batch, scores, weights, norm, p);                                                      \
  }                                                                                                        \
  SOFTSTEP_INSTANTIATE(float, W)                                                                           \
  SOFTSTEP_INSTANTIATE(double, W)
SOFTSTEP_CERTIFICATES(float)
SOFTSTEP_CERTIFICATES(double)
#undef SOFTSTEP_CERTIFICATES
#undef SOFTSTEP_INSTANTIATE

}  // namespace softstep
