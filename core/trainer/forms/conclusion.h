#pragma once

// From a pass over all samples to loss, gap, attention and the exponent and factors of the rows, for a fixed
// decoder and a combined W: what the trainer's forms share.

#include "core/layer/gradient_size.h"
#include "core/layer/losses.h"
#include "core/layer/row_factors.h"

namespace softstep {

template <class T>
class Conclusion {
 public:
  /// `powers`: of two, that the queries are divided by before rows are multiplied by them; null if they are
  /// not.
  explicit Conclusion(const AttentionData<T>& data, const int* powers = nullptr)
      : losses_(data, *data.given_scoring()), factors_(data), rows_(data.query_rows) {
    std::vector<double> largest_query;
    for (std::size_t i = 0; i < data.n_rows(); ++i)
      largest_query.push_back(
          static_cast<double>(largest_of(data.queries.data() + i * data.stride, data.batch.dim)));
    factors_.set_rows(rows_, *data.given_scoring(), largest_query.data(), powers);
  }

  /// Called by all threads of a team after the pass. Fills in of loss, gap, attention and exponent what is
  /// wanted, and says whether there are rows of a gradient to go on with.
  bool conclude(const Team& team, const AttentionPass<T>& pass, Evaluation<T>& out, unsigned want) {
    const bool want_rows = (want & want_gradient) != 0;
    if (team.leads()) {
      losses_.sum(pass.outcomes(), rows_, out, want);
      if ((want & want_attention) != 0) losses_.attention_of_optimal(pass, rows_, out);
      if (want_rows)
        out.gradients[0].exponent = factors_.set(pass.outcomes(), pass.outcomes().largest.data());
    }
    team.wait();
    return want_rows && has_rows(out.gradients[0].exponent);
  }
  const RowFactors<T>& factors() const { return factors_; }

 private:
  Losses<T> losses_;
  RowFactors<T> factors_;
  const PassRows rows_;
};

}  // namespace softstep
