#pragma once

// An attention model in 520 digits at given blocks, over some samples, and the derived bounds of what is
// compared with it.

#include <cmath>
#include <limits>
#include <vector>

#include "core/reference/model_bounds.h"
#include "core/reference/models.h"
#include "layer/exact_gap.h"
#include "softstep/model.h"
#include "support/exact.h"

namespace softstep::test {

struct ExactBlock {
  std::vector<Exact> gradient;
  Exact norm;
  reference::GradientBound bound;
};

inline std::vector<double> rounded(const std::vector<Exact>& x) {
  std::vector<double> out;
  for (const Exact& value : x) out.push_back(static_cast<double>(value));
  return out;
}

template <class T>
using Blocks = std::vector<std::vector<T>>;

template <class T>
class ExactModel {
 public:
  reference::Problem<Exact> problem;  ///< of the samples chosen
  std::vector<reference::SampleValue<Exact>> values;
  std::vector<Exact> margin_errors;
  std::vector<ExactBlock> blocks;
  std::vector<std::int8_t> labels;

  ExactModel(BatchView<T> batch, const AttentionOptions& options, const Blocks<T>& at,
             const std::vector<std::size_t>& samples)
      : options_(options), at_(at), d_(batch.dim) {
    if (options.train_decoder) batch.decoder = at.back().data();
    const auto all = reference::problem_of<Exact>(batch);
    problem.dim = d_;
    for (const std::size_t i : samples) {
      problem.samples.push_back(all.samples[i]);
      labels.push_back(batch.labels[i]);
    }
    const T* decoder = batch.decoder;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      values.push_back(reference::sample_value_at(problem, i, projected(i), exact_loss(options.loss)));
      double token_score = 0.0;
      if (options.train_decoder)
        for (std::size_t t = 0; t < problem.samples[i].n_tokens; ++t) {
          double size = 0.0;
          for (std::size_t j = 0; j < d_; ++j)
            size += std::fabs(static_cast<double>(decoder[j]) * token(i, t, j));
          token_score = std::max(token_score, reference::dot_error(d_, size, u));
        }
      errors_.push_back({score_error(i), token_score});
      margin_errors.push_back(margin_error(problem.samples[i], values[i], errors_[i].score, u) +
                              Exact(3.0 * token_score));
    }
    add_key_query_blocks();
    if (options.train_decoder) add_decoder();
  }

 private:
  static constexpr double u = unit_roundoff<T>;
  double token(std::size_t i, std::size_t t, std::size_t j) const {
    return static_cast<double>(problem.samples[i].tokens[t * d_ + j]);
  }
  double query(std::size_t i, std::size_t j) const {
    return static_cast<double>(problem.samples[i].query[j]);
  }
  double query_norm(std::size_t i) const {
    double norm = 0.0;
    for (std::size_t j = 0; j < d_; ++j) norm = std::hypot(norm, query(i, j));
    return norm;
  }
  double entry(std::size_t block, std::size_t r, std::size_t c, std::size_t n_cols) const {
    return static_cast<double>(at_[block][r * n_cols + c]);
  }

  // F^T x, in absolute values if asked for
  std::vector<double> through(std::size_t block, const double* x, bool absolute) const {
    std::vector<double> out(options_.rank, 0.0);
    for (std::size_t k = 0; k < options_.rank; ++k)
      for (std::size_t j = 0; j < d_; ++j) {
        const double term = entry(block, j, k, options_.rank) * x[j];
        out[k] += absolute ? std::fabs(term) : term;
      }
    return out;
  }
  double size_through(std::size_t block, const double* x, bool absolute) const {
    return reference::norm_of(through(block, x, absolute).data(), options_.rank);
  }

  std::vector<Exact> projected(std::size_t i) const {
    std::vector<Exact> v(d_, Exact(0));
    const auto& z = problem.samples[i].query;
    const auto apply = [&](const auto* w) {
      for (std::size_t r = 0; r < d_; ++r)
        for (std::size_t c = 0; c < d_; ++c) v[r] += Exact(w[r * d_ + c]) * z[c];
    };
    switch (options_.key_query) {
      case KeyQuery::combined:
        apply(at_[0].data());
        break;
      case KeyQuery::factored:
        apply(
            reference::product_of_factors<Exact>(at_[0].data(), at_[1].data(), d_, d_, options_.rank).data());
        break;
      case KeyQuery::prompt:
        v.assign(at_[0].begin(), at_[0].end());
    }
    return v;
  }

  // Of each score: two products of length d, one more of length r, or one alone.
  double score_error(std::size_t i) const {
    std::vector<double> v(d_, 0.0), z;
    for (std::size_t j = 0; j < d_; ++j) z.push_back(std::fabs(query(i, j)));
    double length = 2.0 * static_cast<double>(d_) + 2.0;
    if (options_.key_query == KeyQuery::factored) {
      const std::vector<double> a = through(1, z.data(), true);
      for (std::size_t j = 0; j < d_; ++j)
        for (std::size_t k = 0; k < options_.rank; ++k)
          v[j] += std::fabs(entry(0, j, k, options_.rank)) * a[k];
      length += static_cast<double>(options_.rank) + 2.0;
    } else {
      for (std::size_t j = 0; j < d_; ++j)
        if (options_.key_query == KeyQuery::prompt)
          v[j] = std::fabs(entry(0, j, 0, 1));
        else
          for (std::size_t c = 0; c < d_; ++c) v[j] += std::fabs(entry(0, j, c, d_)) * z[c];
    }
    double largest = 0.0;
    for (std::size_t t = 0; t < problem.samples[i].n_tokens; ++t) {
      double size = 0.0;
      for (std::size_t j = 0; j < d_; ++j) size += std::fabs(token(i, t, j)) * v[j];
      largest = std::max(largest, size);
    }
    return length * u * largest;
  }

  template <class Size, class Magnitude>
  void add(std::vector<Exact> gradient, Size size, Magnitude magnitude, double roundings) {
    ExactBlock block{std::move(gradient), Exact(0), {}};
    block.norm = norm_of(block.gradient);
    if (block.norm > 0)
      block.bound = reference::gradient_bound(problem, values, errors_,
                                              reference::RowUse<Size, Magnitude>{size, magnitude, roundings},
                                              block.norm, u);
    blocks.push_back(std::move(block));
  }

  void add_key_query_blocks() {
    const auto length = static_cast<double>(d_);
    const auto norm = [this](std::size_t, const double* x) { return reference::norm_of(x, d_); };
    if (options_.key_query == KeyQuery::prompt)
      return add(reference::prompt_gradient(problem, values), norm, norm, 0.0);
    if (options_.key_query == KeyQuery::combined) {
      const auto outer = [this](std::size_t i, const double* x) {
        return reference::norm_of(x, d_) * query_norm(i);
      };
      return add(reference::gradient(problem, values), outer, outer, 0.0);
    }
    std::vector<std::vector<Exact>> rows, queries;
    for (std::size_t i = 0; i < values.size(); ++i) {
      rows.push_back(values[i].row);
      queries.push_back(problem.samples[i].query);
    }
    const auto keys = [this](bool absolute) {
      return [this, absolute](std::size_t i, const double* x) {
        return reference::norm_of(x, d_) *
               size_through(1, rounded(problem.samples[i].query).data(), absolute);
      };
    };
    const auto of_queries = [this](bool absolute) {
      return [this, absolute](std::size_t i, const double* x) {
        return size_through(0, x, absolute) * query_norm(i);
      };
    };
    add(reference::through_factor(rows, queries, at_[1].data(), d_, options_.rank), keys(false), keys(true),
        length + 2.0);
    add(reference::through_factor(queries, rows, at_[0].data(), d_, options_.rank), of_queries(false),
        of_queries(true), length + 2.0);
  }

  void add_decoder() {
    ExactBlock block{std::vector<Exact>(d_, Exact(0)), Exact(0), {}};
    std::vector<std::vector<Exact>> rows;
    for (std::size_t i = 0; i < values.size(); ++i) {
      rows.push_back(reference::decoder_row(problem, i, labels[i], values[i]));
      for (std::size_t j = 0; j < d_; ++j) block.gradient[j] += rows[i][j];
    }
    block.norm = norm_of(block.gradient);
    std::vector<reference::Part> parts;
    double rest = static_cast<double>(values.size() + 4) * 0x1p-53;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Exact slope = values[i].slope * exp(Exact(-values[i].slope_shift));
      // l' is off by the margin's error, and by the rounding of m to double, in it and in its exponent.
      const double theta = static_cast<double>(
          Exact(margin_errors[i] +
                8 * 0x1p-53 * (4 + abs(values[i].margin) + abs(problem.samples[i].optimal_score))));
      parts.push_back({static_cast<double>(Exact(norm_of(rows[i]) / block.norm)), theta});
      rest += std::exp(theta) * static_cast<double>(Exact(slope / block.norm)) *
              reference::mean_token_error(problem.samples[i], values[i].attention, errors_[i].score, u,
                                          static_cast<double>(std::numeric_limits<T>::min()));
    }
    block.bound = reference::bound_of_sum(parts, rest + 2.0 * u, u);
    blocks.push_back(std::move(block));
  }

  const AttentionOptions& options_;
  const Blocks<T>& at_;
  std::size_t d_;
  std::vector<reference::SampleError> errors_;
};

}  // namespace softstep::test
