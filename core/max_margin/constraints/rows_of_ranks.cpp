#include "core/max_margin/constraints/rows_of_ranks.h"

#include <algorithm>
#include <utility>

namespace softstep {
namespace {

// Bytes of all ranks that one message brings: as many as make its latency small, and no more than a part of
// what the values themselves take.
constexpr std::size_t bytes_at_once = std::size_t{1} << 22;

}  // namespace

RowsOfRanks::RowsOfRanks(Ranks* ranks, std::size_t n_queries, std::size_t n_rows)
    : ranks_(ranks), rank_(are_several() ? ranks->rank() : 0), first_rows_{0}, first_queries_{0} {
  struct Counts {
    std::size_t n_queries, n_rows;
  };
  for (const Counts& counts : gathered(ranks_, Counts{n_queries, n_rows})) {
    first_queries_.push_back(first_queries_.back() + counts.n_queries);
    first_rows_.push_back(first_rows_.back() + counts.n_rows);
  }
}

// gather() takes as many bytes of each rank: the values go in pieces, and a rank that has no more sends what
// is not looked at.
template <class Value>
void RowsOfRanks::fill(Value* values, const std::vector<std::size_t>& firsts, std::size_t width) const {
  if (!are_several()) return;
  const std::size_t n_ranks = ranks_->size();
  const auto count = [&](std::size_t r) { return (firsts[r + 1] - firsts[r]) * width; };
  std::size_t most = 0;
  for (std::size_t r = 0; r < n_ranks; ++r) most = std::max(most, count(r));
  // are_several() says that there are ranks, which the analyzer does not see.
  // NOLINTNEXTLINE(clang-analyzer-core.DivideZero)
  const std::size_t share = bytes_at_once / sizeof(Value) / n_ranks;
  const std::size_t piece = std::min(most, std::max<std::size_t>(64, share));
  std::vector<Value> mine(piece), all(piece * n_ranks);
  const auto copy = [&](std::size_t r, std::size_t begin, auto from_to) {
    if (begin >= count(r)) return;
    from_to(values + firsts[r] * width + begin, std::min(piece, count(r) - begin));
  };
  for (std::size_t begin = 0; begin < most; begin += piece) {
    copy(rank_, begin, [&](const Value* from, std::size_t n) { std::copy_n(from, n, mine.begin()); });
    ranks_->gather(std::as_bytes(std::span<const Value>(mine)), bytes_of(std::span<Value>(all)));
    for (std::size_t r = 0; r < n_ranks; ++r)
      if (r != rank_)
        copy(r, begin, [&](Value* to, std::size_t n) {
          std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(r * piece), n, to);
        });
  }
}
template void RowsOfRanks::fill(double*, const std::vector<std::size_t>&, std::size_t) const;
template void RowsOfRanks::fill(int*, const std::vector<std::size_t>&, std::size_t) const;

std::vector<double> RowsOfRanks::vectors_of_all(std::vector<double> mine,
                                                const std::vector<std::size_t>& firsts,
                                                std::size_t width) const {
  if (!are_several()) return mine;
  std::vector<double> all(firsts.back() * width);
  std::copy(mine.begin(), mine.end(), all.begin() + static_cast<std::ptrdiff_t>(firsts[rank_] * width));
  fill(all.data(), firsts, width);
  return all;
}
std::vector<double> RowsOfRanks::queries_of_all(std::vector<double> mine, std::size_t width) const {
  return vectors_of_all(std::move(mine), first_queries_, width);
}
std::vector<double> RowsOfRanks::rows_of_all(std::vector<double> mine, std::size_t width) const {
  return vectors_of_all(std::move(mine), first_rows_, width);
}

std::size_t RowsOfRanks::first_of_all(std::size_t mine) const {
  std::size_t r = 0;
  for (const std::size_t row : gathered(ranks_, mine)) {
    if (row < first_rows_[r + 1] - first_rows_[r]) return first_rows_[r] + row;
    ++r;
  }
  return n_rows();
}

void RowsOfRanks::from_owner(std::size_t k, std::span<double> numbers,
                             const std::function<void(std::size_t)>& write) const {
  const auto after = std::upper_bound(first_rows_.begin(), first_rows_.end(), k);
  const auto owner = static_cast<std::size_t>(after - first_rows_.begin()) - 1;
  if (owner == rank_) write(k - first_row());
  if (are_several()) ranks_->broadcast(bytes_of(numbers), owner);
}

QueryBasis basis_of_ranks(const RowsOfRanks& rows, std::vector<double> unit_queries, std::size_t dim,
                          const simd::Kernels<double>& kernels) {
  const std::size_t n = rows.n_queries();
  if (!rows.are_several() || !spans_few_directions(n, dim))
    return make_query_basis(std::move(unit_queries), n, dim, kernels);
  const std::size_t n_mine = unit_queries.size() / dim;
  QueryBasis basis = make_query_basis(rows.queries_of_all(std::move(unit_queries), dim), n, dim, kernels);
  std::vector<double>& coordinates = basis.coordinates;
  const auto first = coordinates.begin() + static_cast<std::ptrdiff_t>(rows.first_query() * basis.stride);
  coordinates = std::vector<double>(first, first + static_cast<std::ptrdiff_t>(n_mine * basis.stride));
  return basis;
}

}  // namespace softstep
