#pragma once

// What one evaluation of an attention model at a time needs: the samples chosen, V, g, and what is made of
// them.

#include <memory>
#include <vector>

#include "core/layer/losses.h"
#include "core/layer/mantissa.h"
#include "core/layer/passes/sample_pass.h"
#include "core/layer/row_factors.h"
#include "core/layer/sharing.h"
#include "core/ranks/in_order.h"
#include "softstep/attention_model.h"

namespace softstep {

template <class T>
class AttentionSpace final : public Workspace {
 public:
  explicit AttentionSpace(const AttentionData<T>& attention_data)
      : data(attention_data),
        trained_(data.given_scoring() == nullptr ? Scoring<T>::trained(data.batch) : Scoring<T>{}),
        scoring(data.given_scoring() == nullptr ? trained_ : *data.given_scoring()),
        projected(data.zero_rows()),
        rows(data.zero_rows()),
        means(data.given_scoring() == nullptr ? data.zero_rows(data.batch.n_samples) : LargeArray<T>{}),
        pass(data, scoring, projected.data(), rows.data(), means.empty() ? nullptr : means.data()),
        losses(data, scoring),
        factors_(data),
        pass_rows_(data.query_rows),
        largest_query_(data.n_rows()) {}

  const AttentionData<T>& data;

 private:
  Scoring<T> trained_;

 public:
  const Scoring<T>& scoring;
  LargeArray<T> projected, rows;  ///< V; g, then scaled
  LargeArray<T> means;            ///< sum_q w_iq X_i^T p_iq by sample, with a trained decoder
  SamplePass<T> pass;
  Losses<T> losses;

  /// The samples of the next evaluation.
  void choose(SampleSet samples) {
    const bool same = samples.is_all() && chosen_ && pass_rows_.is_all();
    if (same) return;
    chosen_ = false;  // should choose() throw
    const std::size_t n_of_all = samples.size(data.query_rows.n_samples_of_all());
    if (!samples.is_all()) samples = of_this_rank(samples);
    pass_rows_.choose(samples);
    pass_rows_.set_samples_of_all(n_of_all);
    n_rows_of_all_ = samples.is_all() ? data.query_rows.n_rows_of_all() : pass_rows_.size();
    if (!samples.is_all() && are_several(data.ranks)) {
      n_rows_of_all_ = 0;
      for (const std::size_t n : gathered(data.ranks, pass_rows_.size())) n_rows_of_all_ += n;
    }
    chosen_ = true;
    queries_are_set_ = false;
    if (!samples.is_all()) own_queries_.resize(data.n_rows() * data.stride);
    std::size_t row = 0;
    for (std::size_t k = 0; k < n_samples(); ++k)
      for (std::size_t q = 0; q < data.query_rows.of(samples[k]); ++q, ++row) {
        const T* z = data.queries.data() + (pass_rows_.first_of_batch(k) + q) * data.stride;
        if (!samples.is_all()) std::copy_n(z, data.stride, own_queries_.data() + row * data.stride);
        largest_query_[row] = static_cast<double>(largest_of(z, data.batch.dim));
      }
  }
  const PassRows& pass_rows() const { return pass_rows_; }
  SampleSet samples() const { return pass_rows_.samples(); }
  std::size_t n_samples() const { return pass_rows_.n_samples(); }
  /// Queries of these samples on all ranks.
  std::size_t n_rows_of_all() const { return n_rows_of_all_; }
  /// Queries of these samples.
  std::size_t n_rows() const { return pass_rows_.size(); }
  /// z of each row, with row stride.
  const T* queries() const { return pass_rows_.is_all() ? data.queries.data() : own_queries_.data(); }
  const double* largest_query() const { return largest_query_.data(); }

  /// Scores this thread's samples with a decoder in training.
  void score(const Team& team, const T* decoder) {
    const auto [begin, end] = pass_rows_.share_of_samples(team);
    for (std::size_t k = begin; k < end; ++k) trained_.score(data.batch, data.kernels, samples()[k], decoder);
  }

  /// The factors of rows that will be multiplied by the samples' queries.
  RowFactors<T>& factors_by_query() {
    if (!queries_are_set_) factors_.set_rows(pass_rows_, scoring, largest_query_.data());
    queries_are_set_ = scoring.is_given();
    return factors_;
  }
  /// Of rows that will be multiplied by something else, whose largest entries these are, by row.
  RowFactors<T>& factors_by(const double* largest_factor) {
    factors_.set_rows(pass_rows_, scoring, largest_factor);
    queries_are_set_ = false;
    return factors_;
  }

 private:
  // Their order stays; the trainer's is that of the samples, and so of the ranks.
  SampleSet of_this_rank(SampleSet samples) {
    if (!are_several(data.ranks)) return samples;
    own_samples_.clear();
    own_samples_.reserve(samples.indices.size());  // some: no sample is not all samples
    for (const std::size_t i : samples.indices)
      if (i >= data.first_sample && i - data.first_sample < data.batch.n_samples)
        own_samples_.push_back(i - data.first_sample);
    return {own_samples_};
  }

  RowFactors<T> factors_;
  PassRows pass_rows_;
  std::vector<std::size_t> own_samples_;  // of some samples those of this rank, by its own count
  std::size_t n_rows_of_all_ = 0;
  bool chosen_ = false;           // pass_rows_ and what follows from it
  bool queries_are_set_ = false;  // factors_ are those by query
  LargeArray<T> own_queries_;     // of some samples
  std::vector<double> largest_query_;
};

}  // namespace softstep
