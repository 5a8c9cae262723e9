#pragma once

#include "core/trainer/forms/choose_form.h"
#include "core/trainer/forms/pass.h"
#include "core/trainer/forms/span_trajectory.h"

namespace softstep {

/// W = base + sum_i c_i zu_i^T with vectors c_i and the queries z_i = 2^b_i zu_i of all samples: V = Z W^T,
/// and the Gram matrix of the zu_i.
template <class T>
class QuerySpanTrajectory final : public SpanTrajectory<T> {
 public:
  QuerySpanTrajectory(const AttentionData<T>& data, const TrainState<T>& state)
      : SpanTrajectory<T>(data), pass_(data, fits_lanes(data)), gram_(pass_.query_gram(this->units_.rows())) {
    this->start(state, {pass_.projected(), pass_.size()}, {pass_.rows(), pass_.size()}, this->units_.sizes(),
                this->units_.all_powers());
  }
  Form form() const override { return Form::query_span; }
  typename Trajectory<T>::Entries entries(std::size_t) const override {
    return {pass_.n_rows(), pass_.n_cols(), nullptr};
  }
  int n_threads() const override { return this->data_.threads_for_products(1.0, this->data_.n_rows()); }
  /// Where entry j of what belongs to sample i stands in y, g and the coefficients.
  std::size_t place(std::size_t i, std::size_t j) const {
    return pass_.transposed() ? i * pass_.n_cols() + j : j * pass_.n_cols() + i;
  }
  /// <zu_i, zu_k>
  T gram(std::size_t i, std::size_t k) const {
    return gram_[i * (pass_.transposed() ? pass_.n_rows() : pass_.n_cols()) + k];
  }

 private:
  void attend(const Team& team, bool with_rows) override { pass_.attend(team, with_rows); }
  const AttentionPass<T>& attention() const override { return pass_.attention(); }
  void scale(const Team& team, const RowFactors<T>& factors) override { pass_.scale(team, factors); }
  void apply_gram(const Team& team, const T* g, T* out) const override {
    pass_.mix(team, gram_.data(), g, out);
  }
  void add_in_units(const Team& team, double a, const T* image, T* projected) const override {
    pass_.add_in_units(team, a, this->units_, image, projected);
  }
  double sum_of_sizes(const T*) const override { return this->conclusion_.factors().sum_of_sizes(); }
  std::vector<T> project_base(const T* weights) const override {
    std::vector<T> v(pass_.size(), T(0));
    const std::size_t d = this->data_.batch.dim;
    const std::vector<T> w = pass_.laid_out(std::vector<T>(weights, weights + d * d));
    with_team(this->data_.threads_for_products(1.0, d),
              [&](const Team& team) { pass_.project(team, w.data(), d, v.data()); });
    return v;
  }
  std::vector<T> expand(const T* coefficients) const override {
    const std::size_t d = this->data_.batch.dim;
    std::vector<T> w(d * d);
    pass_.outer_product(coefficients, this->units_.rows(), w.data());
    return pass_.laid_out(w);
  }
  Pass<T> pass_;
  std::vector<T> gram_;
};

}  // namespace softstep
