#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "core/max_margin/constraints/query_basis.h"
#include "core/ranks/in_order.h"

namespace softstep {

/// Where the constraints of this process lie among those of all ranks, which follow each other, and how ranks
/// give each other what is small: some numbers for each constraint, one constraint at a time. Null, or one
/// rank: all are here, and everything is the work of this process alone.
class RowsOfRanks {
 public:
  /// n_queries, n_rows: those of this rank. All ranks make theirs together, and call everything below in the
  /// same order.
  RowsOfRanks(Ranks* ranks, std::size_t n_queries, std::size_t n_rows);

  bool are_several() const { return softstep::are_several(ranks_); }
  Ranks* ranks() const { return ranks_; }
  std::size_t n_rows() const { return first_rows_.back(); }        ///< of all
  std::size_t n_queries() const { return first_queries_.back(); }  ///< of all
  std::size_t first_row() const { return first_rows_[rank_]; }     ///< how many rows are before these
  std::size_t n_own_rows() const { return first_rows_[rank_ + 1] - first_rows_[rank_]; }
  std::size_t first_query() const { return first_queries_[rank_]; }

  /// `values` has n_rows() entries, those of this rank in their place. Fills in the others.
  void share(double* values) const { fill(values, first_rows_, 1); }
  /// The entries of all ranks; `mine` are those of the rows of this one.
  template <class Value>
  std::vector<Value> of_all(std::vector<Value> mine) const {
    if (!are_several()) return mine;
    std::vector<Value> all(n_rows());
    std::copy(mine.begin(), mine.end(), all.begin() + static_cast<std::ptrdiff_t>(first_row()));
    fill(all.data(), first_rows_, 1);
    return all;
  }
  /// Vectors of `width` numbers, one a query, or one a row.
  std::vector<double> queries_of_all(std::vector<double> mine, std::size_t width) const;
  std::vector<double> rows_of_all(std::vector<double> mine, std::size_t width) const;
  /// The first row that a rank names by its own number, among those of all; n_rows() where none does, and
  /// each says the number of its rows.
  std::size_t first_of_all(std::size_t mine) const;
  /// `numbers` of the rank that has row k, which writes them by write(its own number of the row).
  void from_owner(std::size_t k, std::span<double> numbers,
                  const std::function<void(std::size_t)>& write) const;

 private:
  std::vector<double> vectors_of_all(std::vector<double> mine, const std::vector<std::size_t>& firsts,
                                     std::size_t width) const;
  // Places of the ranks, `width` values a unit.
  template <class Value>
  void fill(Value* values, const std::vector<std::size_t>& firsts, std::size_t width) const;

  Ranks* ranks_;
  std::size_t rank_ = 0;
  std::vector<std::size_t> first_rows_, first_queries_;  // of each rank; last: those of all
};

/// make_query_basis() of the unit queries of all ranks; of its coordinates those of this one. Where the basis
/// is the axes, each keeps its own queries, and nothing is passed on.
QueryBasis basis_of_ranks(const RowsOfRanks& rows, std::vector<double> unit_queries, std::size_t dim,
                          const simd::Kernels<double>& kernels);

}  // namespace softstep
