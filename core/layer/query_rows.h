#pragma once

// Rows: one for each query of each sample, those of sample 0 first. Where every sample has one query, of
// weight 1, rows are samples, and nothing is kept of them.

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "core/layer/sharing.h"
#include "softstep/batch.h"
#include "softstep/model.h"

namespace softstep {

/// The rows of a batch.
class QueryRows {
 public:
  template <class T>
  explicit QueryRows(const BatchView<T>& batch) : QueryRows(batch, batch.has_single_queries()) {}
  /// `are_samples`: rows are samples, as each has one query of weight 1. Where all have, they still need not
  /// be taken for that: other ranks may have samples with several.
  template <class T>
  QueryRows(const BatchView<T>& batch, bool are_samples)
      : size_(batch.total_queries()),
        n_samples_of_all_(batch.n_samples),
        n_rows_of_all_(size_),
        single_(are_samples) {
    if (single_) return;
    const bool mean = batch.query_weights.empty();
    for (std::size_t i = 0; i < batch.n_samples; ++i) {
      first_.push_back(sample_.size());
      double total = 0.0;
      for (std::size_t q = 0; q < batch.queries_of(i); ++q) {
        sample_.push_back(i);
        weight_.push_back(batch.query_weight(i, q));
        total += weight_.back();
      }
      total_.push_back(mean ? 1.0 : total);
      most_ = std::max(most_, batch.queries_of(i));
    }
    first_.push_back(sample_.size());
  }

  /// Samples and rows of all ranks (softstep/ranks.h), where there are others.
  void set_all(std::size_t n_samples, std::size_t n_rows) {
    n_samples_of_all_ = n_samples;
    n_rows_of_all_ = n_rows;
  }
  std::size_t n_samples_of_all() const { return n_samples_of_all_; }
  std::size_t n_rows_of_all() const { return n_rows_of_all_; }

  bool are_samples() const { return single_; }
  std::size_t size() const { return size_; }
  std::size_t first(std::size_t sample) const { return single_ ? sample : first_[sample]; }
  std::size_t of(std::size_t sample) const { return single_ ? 1 : first_[sample + 1] - first_[sample]; }
  std::size_t most_of_one() const { return most_; }  ///< rows of one sample
  double weight(std::size_t row) const { return single_ ? 1.0 : weight_[row]; }
  /// Sum of the weights of a sample.
  double total_weight(std::size_t sample) const { return single_ ? 1.0 : total_[sample]; }
  /// By row; not where rows are samples.
  const std::vector<std::size_t>& samples() const { return sample_; }
  const std::vector<std::size_t>& first() const { return first_; }

 private:
  std::size_t size_, most_ = 1, n_samples_of_all_, n_rows_of_all_;
  bool single_;
  std::vector<std::size_t> first_, sample_;
  std::vector<double> weight_, total_;
};

/// The rows of some samples, in the order of the samples: what a pass attends to.
class PassRows {
 public:
  /// All.
  explicit PassRows(const QueryRows& rows) : rows_(&rows) { choose({}); }

  void choose(SampleSet samples) {
    samples_ = samples;
    n_samples_ = samples.size(rows_->are_samples() ? rows_->size() : rows_->first().size() - 1);
    n_samples_of_all_ = samples.is_all() ? rows_->n_samples_of_all() : n_samples_;
    n_rows_ = n_samples_;
    if (rows_->are_samples()) return;
    if (samples.is_all()) {
      n_rows_ = rows_->size();
      return;
    }
    first_.clear();
    sample_.clear();
    for (std::size_t k = 0; k < n_samples_; ++k) {
      first_.push_back(sample_.size());
      sample_.insert(sample_.end(), rows_->of(samples[k]), samples[k]);
    }
    first_.push_back(sample_.size());
    n_rows_ = sample_.size();
    if (n_rows_ > rows_->size())
      throw InvalidArgument("samples", "some more than once, " + std::to_string(n_rows_) +
                                           " queries together (the model has " +
                                           std::to_string(rows_->size()) + ")");
  }

  const QueryRows& of_batch() const { return *rows_; }
  bool are_samples() const { return rows_->are_samples(); }
  bool is_all() const { return samples_.is_all(); }
  SampleSet samples() const { return samples_; }
  /// The sample of each row.
  SampleSet by_row() const {
    if (are_samples()) return samples_;
    return {is_all() ? rows_->samples() : sample_};
  }
  std::size_t n_samples() const { return n_samples_; }
  /// Those of all ranks, which a mean is over; of some samples it is set after choose().
  std::size_t n_samples_of_all() const { return n_samples_of_all_; }
  void set_samples_of_all(std::size_t n) { n_samples_of_all_ = n; }
  std::size_t size() const { return n_rows_; }
  /// First row of the k-th of the samples.
  std::size_t first(std::size_t k) const {
    return are_samples() ? k : is_all() ? rows_->first(k) : first_[k];
  }
  /// Which row of the batch the first row of the k-th sample is.
  std::size_t first_of_batch(std::size_t k) const { return rows_->first(samples_[k]); }

  /// This thread's part of the samples: whole ones, with as many rows as the others have.
  Team::Range share_of_samples(const Team& team) const {
    if (are_samples()) return softstep::share_of_samples(team, n_samples_);
    const std::vector<std::size_t>& first = is_all() ? rows_->first() : first_;
    const auto sample_at = [&](std::size_t rank) {
      const auto at = std::lower_bound(first.begin(), first.end(), n_rows_ * rank / team.size);
      return static_cast<std::size_t>(at - first.begin());
    };
    return {sample_at(team.rank), sample_at(team.rank + 1)};
  }
  /// The rows of that part.
  Team::Range share(const Team& team) const {
    const auto [begin, end] = share_of_samples(team);
    return {first(begin), end == n_samples_ ? n_rows_ : first(end)};
  }

 private:
  const QueryRows* rows_;
  SampleSet samples_;
  std::size_t n_samples_ = 0, n_samples_of_all_ = 0, n_rows_ = 0;
  std::vector<std::size_t> first_, sample_;  // of some samples
};

}  // namespace softstep
