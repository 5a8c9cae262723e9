#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/max_margin/constraints/constraint_map.h"
#include "simd/dispatch.h"

namespace softstep {

/// Constraints written out, each a row of `size` numbers: for few or short ones. All of them are constraints.
class DenseRows final : public ConstraintMap {
 public:
  /// Rows of finite entries.
  DenseRows(std::vector<double> rows, std::size_t n_rows, std::size_t size,
            const simd::Kernels<double>& kernels);

  std::size_t n_rows() const override { return sizes_.size(); }
  std::size_t span_size() const override { return size_; }
  void adjoint(const double* multipliers, double* span) override;
  void apply(const double* span, double* values) override;
  double squared_norm(const double* span) const override { return kernels_.dot(size_, span, span); }
  std::vector<std::pair<std::size_t, std::size_t>> blocks() const override;
  void block_gram(std::size_t first, std::size_t count, double* gram) override;
  void unit_row(std::size_t k, double* span) const override {
    std::copy_n(rows_.data() + k * size_, size_, span);
  }
  std::vector<double> gram() override;
  double product_cost() const override {
    return 2.0 * static_cast<double>(n_rows()) * static_cast<double>(size_);
  }

  const std::vector<double>& sizes() const override { return sizes_; }
  int exponent() const override { return exponent_; }
  std::size_t zero_row() const override { return zero_row_; }
  std::size_t matrix_size() const override { return size_; }
  std::vector<double> matrix(const double* span) const override {
    return std::vector<double>(span, span + size_);
  }
  void apply_matrix(const double* matrix, double* values) override { apply(matrix, values); }

 private:
  std::vector<double> rows_;  // of norm 1
  std::size_t size_;
  const simd::Kernels<double>& kernels_;
  std::vector<double> sizes_;
  int exponent_ = 0;
  std::size_t zero_row_;
};

}  // namespace softstep
