#pragma once

// Queries over powers of two, z_i = 2^b_i zu_i, so that inner products of the zu_i, and what is made of them,
// are numbers of T whatever the size of the data. W = sum_i c_i zu_i^T then has coefficients c_i of its own
// size.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "core/layer/attention_data.h"
#include "core/layer/mantissa.h"
#include "core/layer/units.h"

namespace softstep {

template <class T>
class QueryUnits {
 public:
  explicit QueryUnits(const AttentionData<T>& data) : data_(data), powers_(data.n_rows()) {
    const std::size_t n = data.n_rows(), d = data.batch.dim;
    for (std::size_t i = 0; i < n; ++i)
      powers_[i] = coarse_power<T>(static_cast<double>(largest_of(data.queries.data() + i * data.stride, d)));
    uniform_ = are_alike(powers_);
    if (uniform_ && (n == 0 || powers_[0] == 0)) return;
    rows_.assign(data.queries.begin(), data.queries.end());
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < d; ++j)
        rows_[i * data.stride + j] = std::scalbn(rows_[i * data.stride + j], -powers_[i]);
  }

  /// The zu_i, with row stride.
  const T* rows() const { return rows_.empty() ? data_.queries.data() : rows_.data(); }
  int power(std::size_t i) const { return powers_[i]; }
  const std::vector<int>& all_powers() const { return powers_; }
  /// |zu_i|
  std::vector<double> sizes() const {
    std::vector<double> out;
    for (std::size_t i = 0; i < powers_.size(); ++i)
      out.push_back(std::ldexp(data_.query_norms[i], -powers_[i]));
    return out;
  }
  /// Whether all queries have one unit.
  bool is_uniform() const { return uniform_; }
  /// For Conclusion, so that rows go with the zu_i; null where these are the queries themselves.
  const int* powers() const { return rows_.empty() ? nullptr : powers_.data(); }

 private:
  const AttentionData<T>& data_;
  std::vector<int> powers_;  // b_i
  bool uniform_ = true;
  std::vector<T> rows_;  // empty where all powers are 0
};

}  // namespace softstep
