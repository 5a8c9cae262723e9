#include "softstep/objective.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/objective/active_isa.h"
#include "core/objective/blocked.h"
#include "core/objective/loss.h"
#include "core/objective/sample_terms.h"

namespace softstep {

const char* to_string(Loss loss) { return loss == Loss::logistic ? "logistic" : "exponential"; }

const char* to_string(OptimalLoss mode) {
  switch (mode) {
    case OptimalLoss::optimal:
      return "optimal";
    case OptimalLoss::selected:
      return "selected";
    case OptimalLoss::value:
      return "value";
    case OptimalLoss::zero:
      return "zero";
  }
  return "";
}

Loss parse_loss(const std::string& name) {
  for (const Loss loss : {Loss::logistic, Loss::exponential})
    if (name == to_string(loss)) return loss;
  throw InvalidArgument("loss", "\"" + name + "\" is not known (known: logistic, exponential)");
}

OptimalLoss parse_optimal_loss(const std::string& name) {
  for (const OptimalLoss mode :
       {OptimalLoss::optimal, OptimalLoss::selected, OptimalLoss::value, OptimalLoss::zero})
    if (name == to_string(mode)) return mode;
  throw InvalidArgument("lstar", "\"" + name + "\" is not known (known: optimal, selected, value, zero)");
}

void ObjectiveOptions::validate() const {
  if (!std::isfinite(optimal_loss_value))
    throw InvalidArgument("optimal_loss_value",
                          std::to_string(optimal_loss_value) + " (need a finite number)");
  if (n_threads < 0)
    throw InvalidArgument("n_threads",
                          std::to_string(n_threads) + " (need 0 for all available, or a positive number)");
}

template <class T>
struct Objective<T>::Impl {
  BatchView<T> batch;
  ObjectiveOptions options;
  const simd::Isa* isa_row;
  const simd::Kernels<T>* kernels;
  std::string isa;
  int n_threads;
  TokenScores scores;
  std::vector<T> gaps;            // scores.gaps in T, in the unit of their sample
  std::vector<double> gap_units;  // powers of two: the largest gap of a sample is in [1, 2) units
  std::vector<double> log_gap_units, log_query_sizes;  // natural logarithms
  std::vector<double> row_sizes;                       // of g
  std::size_t stride;                                  // of the n x d work arrays, in elements
  std::vector<T> queries;                              // Z
  std::vector<T> projected;                            // V = Z W^T
  std::vector<T> rows;                                 // g, then scaled by e^(c_i - C) l'_i / n
  std::size_t longest = 0;                             // most tokens in one sample
  std::vector<T> work;                                 // scores and weights of one sample per thread
  std::vector<simd::AttentionStats<T>> stats;
  std::vector<Scaled> slopes, terms;
  double optimal_loss = 0.0;

  Impl(const BatchView<T>& b, const ObjectiveOptions& o) : batch(b), options(o) {
    batch.validate();
    options.validate();
    isa_row = &resolve_isa(options.isa);
    kernels = &isa_row->template kernels<T>();
    isa = isa_row->name;
    n_threads = options.n_threads > 0 ? options.n_threads : omp_get_max_threads();
    scores = score_tokens(batch);
    scale_gaps();
    // Whole cache lines, and never a multiple of 4 KiB: rows that far apart share one set of the cache.
    constexpr std::size_t line = 64 / sizeof(T), page = 4096 / sizeof(T);
    stride = (batch.dim + line - 1) / line * line;
    if (stride % page == 0) stride += line;
    const std::size_t n = batch.n_samples;
    queries.assign(n * stride, T(0));
    projected.assign(n * stride, T(0));
    rows.assign(n * stride, T(0));
    for (std::size_t i = 0; i < n; ++i) {
      std::copy_n(batch.query(i), batch.dim, queries.begin() + static_cast<std::ptrdiff_t>(i * stride));
      longest = std::max(longest, batch.tokens_of(i));
    }
    work.assign(2 * longest * static_cast<std::size_t>(n_threads), T(0));
    stats.resize(n);
    slopes.resize(n);
    terms.resize(n);
    row_sizes.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      // A subnormal query counts as the smallest normal number, so that its reciprocal is a number.
      const double size = size_of(queries.data() + i * stride);
      log_query_sizes.push_back(
          std::log(size == 0.0 ? 0.0 : std::max(size, static_cast<double>(std::numeric_limits<T>::min()))));
      log_gap_units.push_back(std::log(gap_units[i]));
    }
    for (std::size_t i = 0; i < n; ++i)
      terms[i] = {loss_value(options.loss, scores.optimal_score[i]) / static_cast<double>(n), 0.0};
    switch (options.optimal_loss) {
      case OptimalLoss::optimal:
        optimal_loss = sum_scaled(terms.data(), n).value();
        break;
      case OptimalLoss::value:
        optimal_loss = options.optimal_loss_value;
        break;
      case OptimalLoss::selected:
      case OptimalLoss::zero:
        optimal_loss = 0.0;
    }
  }

  // Gaps may be far outside the range of T (tokens times decoder); only their ratios matter to the kernel.
  void scale_gaps() {
    gaps.resize(scores.gaps.size());
    gap_units.assign(batch.n_samples, 1.0);
    for (std::size_t i = 0; i < batch.n_samples; ++i) {
      double largest = 0.0;
      for (std::size_t k = scores.first[i]; k < scores.first[i + 1]; ++k)
        largest = std::max(largest, scores.gaps[k]);
      const int power = largest > 0.0 ? std::ilogb(largest) : 0;
      gap_units[i] = std::ldexp(1.0, power);
      for (std::size_t k = scores.first[i]; k < scores.first[i + 1]; ++k)
        gaps[k] = static_cast<T>(std::ldexp(scores.gaps[k], -power));
    }
  }

  // The size of a row of Z or g within a factor of sqrt(d): 0 only for a zero row, NaN if there is a NaN.
  double size_of(const T* row) const {
    const double squared = kernels->dot(batch.dim, row, row);
    if (is_safe(squared) || std::isnan(squared)) return std::sqrt(squared);
    T largest = T(0);
    for (std::size_t j = 0; j < batch.dim; ++j) largest = std::max(largest, std::fabs(row[j]));
    return static_cast<double>(largest);
  }

  // Squares of numbers this large neither overflow nor lose digits to underflow.
  static bool is_safe(double squared) {
    const double safe = sizeof(T) == 4 ? 1e24 : 1e280;
    return squared < safe && squared > 1.0 / safe;
  }

  // Threads worth starting for this many multiply-adds: a parallel region costs microseconds.
  int threads_for(double work_items) const { return work_items < 2e5 ? 1 : n_threads; }

  void project(const T* weights) {
    const std::size_t n = batch.n_samples, d = batch.dim;
    const double flops = static_cast<double>(n) * static_cast<double>(d) * static_cast<double>(d);
    for_each_block(n, d, threads_for(flops), [&](Block block) {
      kernels->product_nt({block.n_rows, block.n_cols, d, queries.data() + block.row * stride, stride,
                           weights + block.col * d, d, projected.data() + block.row * stride + block.col,
                           stride});
    });
  }

  void attend(bool want_rows) {
    const std::size_t d = batch.dim;
    const auto n = static_cast<std::ptrdiff_t>(batch.n_samples);
    const double flops = static_cast<double>(batch.total_tokens()) * static_cast<double>(d);
#pragma omp parallel for schedule(static) num_threads(threads_for(flops)) if (threads_for(flops) > 1)
    for (std::ptrdiff_t s = 0; s < n; ++s) {
      const auto i = static_cast<std::size_t>(s);
      stats[i] = attend_one(i, want_rows,
                            work.data() + 2 * longest * static_cast<std::size_t>(omp_get_thread_num()));
      if (want_rows) row_sizes[i] = size_of(rows.data() + i * stride);
    }
  }

  simd::AttentionStats<T> attend_one(std::size_t i, bool want_row, T* space) const {
    return kernels->attention(
        {batch.sample(i), batch.row_stride(), batch.tokens_of(i), batch.dim, projected.data() + i * stride,
         gaps.data() + scores.first[i], scores.optimal[i],
         want_row ? const_cast<T*>(rows.data()) + i * stride : nullptr, space, space + longest});
  }

  SampleTerms<T> terms_of(std::size_t i) const {
    return {stats[i], gap_units[i], scores.gaps[scores.first[i] + stats[i].pivot], scores.optimal_score[i]};
  }

  void gradient(Evaluation<T>& out) {
    const std::size_t n = batch.n_samples, d = batch.dim;
    out.gradient.resize(d * d);
    // C = max_i (c_i + exponent of l'_i + log |g_i| + log |z_i|): the size of the largest term of the sum.
    // Without the last two a sample that contributes little or nothing could set C and flush the others to
    // zero.
    double top = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < n; ++i) {
      slopes[i] = loss_slope(options.loss, terms_of(i).margin());
      slopes[i].exponent += static_cast<double>(stats[i].exponent) + log_gap_units[i];
      const double size = slopes[i].exponent + std::log(row_sizes[i]) + log_query_sizes[i];
      if (size > top || std::isnan(size)) top = size;  // NaN stays
    }
    if (!(top > -std::numeric_limits<double>::infinity())) {
      const bool zero = !std::isnan(top);
      std::fill(out.gradient.begin(), out.gradient.end(), zero ? T(0) : std::numeric_limits<T>::quiet_NaN());
      out.gradient_exponent = top;
      out.gradient_norm = zero ? 0.0 : top;
      return;
    }
    for (std::size_t i = 0; i < n; ++i) {
      // In double: |row| may be tiny and the factor as large, their product is at most 1 / |z_i|.
      const double factor = -slopes[i].mantissa * std::exp(slopes[i].exponent - top) / static_cast<double>(n);
      T* row = rows.data() + i * stride;
      if (row_sizes[i] == 0.0 || std::isinf(log_query_sizes[i]))
        std::fill(row, row + d, T(0));
      else
        for (std::size_t j = 0; j < d; ++j) row[j] = static_cast<T>(static_cast<double>(row[j]) * factor);
    }
    const double flops = static_cast<double>(n) * static_cast<double>(d) * static_cast<double>(d);
    for_each_block(d, d, threads_for(flops), [&](Block block) {
      kernels->product_tn({block.n_rows, block.n_cols, n, rows.data() + block.row, stride,
                           queries.data() + block.col, stride,
                           out.gradient.data() + block.row * d + block.col, d});
    });
    out.gradient_exponent = top;
    out.gradient_norm = mantissa_norm(out.gradient, out.gradient_exponent);
    if (out.gradient_norm == 0.0) out.gradient_exponent = -std::numeric_limits<double>::infinity();
  }

  // ||G'||_F; moves a power of two from the mantissa to the exponent where its squares would leave the number
  // range.
  double mantissa_norm(std::vector<T>& g, double& exponent) const {
    const double squared = kernels->dot(g.size(), g.data(), g.data());
    if (is_safe(squared) || std::isnan(squared)) return std::sqrt(squared);
    T largest = T(0);
    for (const T x : g) largest = std::max(largest, std::fabs(x));
    if (largest == T(0) || !std::isfinite(largest)) return static_cast<double>(largest);
    const int power = std::ilogb(largest);
    for (T& x : g) x = std::scalbn(x, -power);
    exponent += power * std::log(2.0);
    return std::sqrt(kernels->dot(g.size(), g.data(), g.data()));
  }

  void loss_gap(Evaluation<T>& out) {
    const std::size_t n = batch.n_samples;
    double loss = 0.0, selected = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      const SampleTerms<T> sample = terms_of(i);
      loss += loss_value(options.loss, sample.margin());
      switch (options.optimal_loss) {
        case OptimalLoss::optimal:
          terms[i] = loss_difference(options.loss, sample.optimal_score, sample.gap_to_optimal());
          break;
        case OptimalLoss::selected:
          terms[i] = loss_difference(options.loss, sample.pivot_score(), sample.gap_to_pivot());
          selected += loss_value(options.loss, sample.pivot_score());
          break;
        case OptimalLoss::value:
        case OptimalLoss::zero:
          terms[i] = loss_scaled(options.loss, sample.margin());
      }
    }
    const auto count = static_cast<double>(n);
    out.loss = loss / count;
    out.loss_gap = sum_scaled(terms.data(), n);
    out.loss_gap.mantissa /= count;
    if (options.optimal_loss == OptimalLoss::selected) optimal_loss = selected / count;
    if (options.optimal_loss == OptimalLoss::value && optimal_loss != 0.0)
      out.loss_gap = out.loss_gap.exponent > 0.0  // beyond what a plain number holds, perhaps
                         ? Scaled{out.loss_gap.mantissa - optimal_loss * std::exp(-out.loss_gap.exponent),
                                  out.loss_gap.exponent}
                         : Scaled{out.loss_gap.value() - optimal_loss, 0.0};
  }

  void attention_of_optimal(Evaluation<T>& out) const {
    double smallest = 1.0, largest_rest = -std::numeric_limits<double>::infinity();
    bool nan = false;
    for (std::size_t i = 0; i < batch.n_samples; ++i) {
      const SampleTerms<T> sample = terms_of(i);
      const double p = sample.optimal_attention(scores.optimal[i]);
      const double rest = sample.log_one_minus_optimal_attention(scores.optimal[i]);
      nan = nan || std::isnan(p) || std::isnan(rest);
      smallest = std::min(smallest, p);
      largest_rest = std::max(largest_rest, rest);
    }
    if (nan) smallest = largest_rest = std::numeric_limits<double>::quiet_NaN();
    out.min_optimal_attention = smallest;
    out.log10_one_minus_optimal_attention = largest_rest / std::log(10.0);
  }
};

template <class T>
Objective<T>::Objective(const BatchView<T>& batch, const ObjectiveOptions& options)
    : impl_(std::make_unique<Impl>(batch, options)) {}
template <class T>
Objective<T>::~Objective() = default;
template <class T>
Objective<T>::Objective(Objective&&) noexcept = default;
template <class T>
Objective<T>& Objective<T>::operator=(Objective&&) noexcept = default;

template <class T>
void Objective<T>::evaluate(const T* weights, Evaluation<T>& out, unsigned want) {
  if (weights == nullptr) throw InvalidArgument("weights", "null");
  impl_->project(weights);
  impl_->attend((want & want_gradient) != 0);
  if ((want & want_loss_gap) != 0) impl_->loss_gap(out);
  if ((want & want_attention) != 0) impl_->attention_of_optimal(out);
  if ((want & want_gradient) != 0) impl_->gradient(out);
}

template <class T>
std::vector<double> Objective<T>::attention(const T* weights) {
  if (weights == nullptr) throw InvalidArgument("weights", "null");
  Impl& me = *impl_;
  me.project(weights);
  std::vector<double> out(me.scores.gaps.size());
  for (std::size_t i = 0; i < me.batch.n_samples; ++i) {
    const simd::AttentionStats<T> stats = me.attend_one(i, false, me.work.data());
    const double top = static_cast<double>(me.work[stats.pivot]);
    for (std::size_t t = 0; t < me.batch.tokens_of(i); ++t)
      out[me.scores.first[i] + t] =
          static_cast<double>(stats.pivot_attention) * std::exp(static_cast<double>(me.work[t]) - top);
  }
  return out;
}

template <class T>
const BatchView<T>& Objective<T>::batch() const {
  return impl_->batch;
}
template <class T>
const TokenScores& Objective<T>::token_scores() const {
  return impl_->scores;
}
template <class T>
const ObjectiveOptions& Objective<T>::options() const {
  return impl_->options;
}
template <class T>
const std::string& Objective<T>::isa() const {
  return impl_->isa;
}
template <class T>
double Objective<T>::optimal_loss() const {
  return impl_->optimal_loss;
}

template class Objective<float>;
template class Objective<double>;

}  // namespace softstep
