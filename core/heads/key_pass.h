#pragma once

// A pass over all pairs of a query and a key that yields rows for queries, keys and values, one block of keys
// after the other. A block of keys owns its rows of the results by key; to the rows by query the blocks add
// in turn. What is done with a lot of rows is `Lots`, for one:
//
//   Space                          of one thread: ranges, seen, key_sums, value_sums, query_terms, and its own
//   make_space()
//   load_keys(keys, space)         before the rows of a block of keys
//   load_rows(block, space)        of one block of rows; fills in `ranges`
//   add_lot(lot, space)            adds to key_sums and value_sums; leaves query_terms, which are added here
//
// Bits depend neither on the number of threads nor on which thread does what.

#include <atomic>
#include <cmath>
#include <memory>
#include <vector>

#include "core/heads/block_scores.h"
#include "core/heads/row_slopes.h"
#include "core/heads/store_rows.h"
#include "core/heads/turns.h"
#include "core/threads/team.h"

namespace softstep::heads {

/// Keys of one key head that one thread goes through.
struct KeyBlock {
  std::size_t b, key_head, first, n_keys;
};

/// Rows first .. first + count - 1 of a block, and the first `columns` keys of a block of keys.
struct Lot {
  const RowBlock& block;
  const KeyBlock& keys;
  std::size_t first, count, columns;
  bool whole;  ///< every row sees all of the keys
};

/// factors[row][key] times rows of keys, in panels; null where there is none.
template <class T>
struct QueryTerm {
  const T *factors = nullptr, *panels = nullptr;
};

/// What messages call the results.
struct ResultNames {
  const char *queries, *keys, *values, *bias, *query_exponents, *key_exponents;
};
extern const ResultNames gradient_names, product_names;

/// Where the results go, checked.
template <class T>
struct Results {
  Results(const Call<T>& call, const HeadsGradients<T>& gradients, const ResultNames& names,
          std::initializer_list<Extent> apart_from);
  OutputRows<T> queries, keys, values;
  std::span<T> bias;
  std::span<double> query_exponents, key_exponents;
};

/// Throws InvalidArgument unless the state is that of a forward pass of these sizes.
template <class T>
void require_state_of(const Call<T>& call, const typename HeadsState<T>::Impl& state);

template <class T, class Lots>
class KeyPass {
 public:
  using Space = typename Lots::Space;

  KeyPass(const Call<T>& call, const BlockSize& size, const Results<T>& results, const RowSlopes<T>& slopes,
          Lots& lots)
      : call_(call),
        g_(call.geometry),
        kernels_(call.kernels),
        size_(size),
        out_(results),
        slopes_(slopes),
        lots_(lots) {
    lay_out();
    const std::size_t n_threads =
        std::min<std::size_t>(static_cast<std::size_t>(call.n_threads), blocks_.size());
    for (std::size_t k = 0; k < std::max<std::size_t>(1, n_threads); ++k)
      spaces_.push_back(lots.make_space());
  }

  void run() {
    clear_what_is_added_to();
    std::atomic<std::size_t> next{0};
    with_team<Waits::never>(static_cast<int>(spaces_.size()), [&](const Team& team) {
      // Threads that have a whole group each never wait for another.
      const bool by_groups = first_block_.size() - 1 >= 4 * team.size;
      const std::size_t n = by_groups ? first_block_.size() - 1 : blocks_.size();
      for (std::size_t k = next++; k < n; k = next++)
        for (std::size_t block = by_groups ? first_block_[k] : k,
                         end = by_groups ? first_block_[k + 1] : k + 1;
             block < end; ++block)
          one_block(blocks_[block], *spaces_[team.rank]);
    });
  }

 private:
  // Blocks of keys and of rows, and in which turns the former add to the latter.
  void lay_out() {
    for (std::size_t b = 0; b < g_.batch; ++b)
      for (std::size_t h = 0; h < g_.n_key_heads; ++h) {
        first_row_block_.push_back(row_blocks_.size());
        first_block_.push_back(blocks_.size());
        for (std::size_t first = 0; first < g_.group * g_.queries_of(b); first += size_.rows)
          add_row_block({b, h, first, std::min(size_.rows, g_.group * g_.queries_of(b) - first)});
        for (std::size_t first = 0; first < g_.stored_keys_of(b); first += size_.keys)
          blocks_.push_back({b, h, first, std::min(size_.keys, g_.stored_keys_of(b) - first)});
      }
    first_row_block_.push_back(row_blocks_.size());
    first_block_.push_back(blocks_.size());
    turns_ = std::make_unique<Turns>(row_blocks_.size());
    for (std::size_t k = 0; k < row_blocks_.size(); ++k) turns_->begin(k, seen_blocks_[k].begin);
    const std::size_t key_blocks = (g_.most_keys() + size_.keys - 1) / size_.keys;
    bias_turns_ = std::make_unique<Turns>(key_blocks);
    for (std::size_t k = 0; k < key_blocks; ++k) bias_turns_->begin(k, 0);
    if (out_.queries.in_halves()) query_sums_.resize(g_.total_rows() * g_.dim);
  }
  void add_row_block(const RowBlock& block) {
    std::vector<KeyRange> ranges(block.n_rows);
    ranges_of(g_, block, ranges.data());
    const KeyRange seen = seen_by_any(ranges.data(), block.n_rows);
    row_blocks_.push_back(block);
    seen_blocks_.push_back({seen.begin / size_.keys, (seen.end + size_.keys - 1) / size_.keys});
  }

  // Rows by query where they are added up: the caller's, or sums that are rounded to 16 bits in the end.
  struct Sums {
    T* rows;
    std::ptrdiff_t stride;
  };
  Sums query_sums(const RowBlock& block, const Run& run, std::size_t before) {
    if (out_.queries.in_halves())
      return {query_sums_.data() + (g_.first_row(block.b, block.key_head) + block.first + before) * g_.dim,
              static_cast<std::ptrdiff_t>(g_.dim)};
    return {out_.queries.numbers +
                out_.queries.place(block.b, run.head, g_.first_query(block.b), run.first_query),
            out_.queries.row};
  }
  template <class Body>
  void for_each_run_of(const RowBlock& block, std::size_t first, std::size_t n, Body body) {
    for_each_run(block.key_head * g_.group, g_.queries_of(block.b), block.first + first, n, body);
  }

  void clear_what_is_added_to() {
    std::copy_n(slopes_.largest_exponent.begin(), out_.key_exponents.size(), out_.key_exponents.begin());
    if (!out_.bias.empty()) std::fill(out_.bias.begin(), out_.bias.end(), T(0));
    for (std::size_t k = 0; out_.queries.wanted() && k < row_blocks_.size(); ++k) {
      for_each_run_of(row_blocks_[k], 0, row_blocks_[k].n_rows, [&](const Run& run, std::size_t before) {
        const Sums sums = query_sums(row_blocks_[k], run, before);
        for (std::size_t r = 0; r < run.n_rows; ++r)
          std::fill_n(sums.rows + static_cast<std::ptrdiff_t>(r) * sums.stride, g_.dim, T(0));
      });
      if (seen_blocks_[k].begin == seen_blocks_[k].end) conclude_queries(row_blocks_[k]);
    }
    if (!out_.query_exponents.empty() && !out_.queries.wanted())
      for (const RowBlock& block : row_blocks_) conclude_queries(block);
  }

  void one_block(const KeyBlock& keys, Space& space) {
    const std::size_t group = keys.b * g_.n_key_heads + keys.key_head, turn = keys.first / size_.keys;
    lots_.load_keys(keys, space);
    std::fill_n(space.key_sums, keys.n_keys * g_.dim, T(0));
    std::fill_n(space.value_sums, keys.n_keys * g_.value_dim, T(0));
    const bool with_bias = !out_.bias.empty();
    if (with_bias) bias_turns_->wait(turn, group);
    for (std::size_t k = first_row_block_[group]; k < first_row_block_[group + 1]; ++k)
      if (turn >= seen_blocks_[k].begin && turn < seen_blocks_[k].end) add_rows(keys, k, space);
    if (with_bias) bias_turns_->pass(turn, group);
    conclude_keys(keys, space);
  }

  void add_rows(const KeyBlock& keys, std::size_t k, Space& space) {
    const RowBlock& block = row_blocks_[k];
    const std::size_t turn = keys.first / size_.keys;
    lots_.load_rows(block, space);
    for_each_lot(space.ranges.data(), block.n_rows, size_.lot, keys.first, keys.n_keys, space.seen,
                 [&](std::size_t first, std::size_t count, std::size_t columns, bool whole) {
                   const Lot lot{block, keys, first, count, columns, whole};
                   lots_.add_lot(lot, space);
                   if (!out_.queries.wanted()) return;
                   turns_->wait(k, turn);
                   add_to_queries(lot, space);
                 });
    if (!out_.queries.wanted()) return;
    turns_->wait(k, turn);  // also where no row of the block sees a key of these
    if (turn + 1 == seen_blocks_[k].end) conclude_queries(block);
    turns_->pass(k, turn);
  }

  void add_to_queries(const Lot& lot, const Space& space) {
    for_each_run_of(lot.block, lot.first, lot.count, [&](const Run& run, std::size_t before) {
      const Sums sums = query_sums(lot.block, run, lot.first + before);
      for (const QueryTerm<T>& term : space.query_terms) {
        if (term.factors == nullptr) continue;
        const T* factors = term.factors + before * size_.keys;
        const auto add = [&](std::size_t n_rows, const T* a, T* rows, std::size_t ld) {
          kernels_.product_panels({n_rows, g_.dim, lot.columns, a, size_.keys, false, term.panels,
                                   lot.keys.n_keys, rows, ld, true});
        };
        if (sums.stride >= 0) {
          add(run.n_rows, factors, sums.rows, static_cast<std::size_t>(sums.stride));
          continue;
        }
        for (std::size_t r = 0; r < run.n_rows; ++r)
          add(1, factors + r * size_.keys, sums.rows + static_cast<std::ptrdiff_t>(r) * sums.stride, g_.dim);
      }
    });
  }

  // Rows by query times scale, and e^c unless that is wanted beside them.
  void conclude_queries(const RowBlock& block) {
    const std::size_t place = g_.first_row(block.b, block.key_head) + block.first;
    for_each_run_of(block, 0, block.n_rows, [&](const Run& run, std::size_t before) {
      for (std::size_t r = 0; r < run.n_rows; ++r) {
        const double c = slopes_.attention.exponent[place + before + r];
        const std::size_t i = run.first_query + r;
        double half_power = 1.0;
        if (out_.query_exponents.empty()) {
          half_power = std::exp(0.5 * c);
        } else {
          // Of one key, or a pivot too far ahead for a number to say: nothing is left of the row.
          half_power = std::isfinite(c) ? 1.0 : 0.0;
          out_.query_exponents[g_.row_place(block.b, run.head, i)] = std::isfinite(c) ? c : 0.0;
        }
        if (!out_.queries.wanted()) continue;
        const Sums sums = query_sums(block, run, before);
        T* row = sums.rows + static_cast<std::ptrdiff_t>(r) * sums.stride;
        kernels_.scale_row(g_.dim, static_cast<T>(g_.scale * half_power), static_cast<T>(half_power), row);
        if (out_.queries.in_halves())
          store_row(row, g_.dim, out_.queries,
                    out_.queries.place(block.b, run.head, g_.first_query(block.b), i));
      }
    });
  }

  void conclude_keys(const KeyBlock& keys, Space& space) {
    const double largest = slopes_.largest_exponent[keys.b * g_.n_key_heads + keys.key_head];
    const double half_power = out_.key_exponents.empty() ? std::exp(0.5 * largest) : 1.0;
    for (std::size_t j = 0; j < keys.n_keys; ++j) {
      const std::size_t first = g_.first_key(keys.b), key = keys.first + j;
      if (out_.keys.wanted()) {
        T* row = space.key_sums + j * g_.dim;
        kernels_.scale_row(g_.dim, static_cast<T>(half_power), static_cast<T>(half_power), row);
        store_row(row, g_.dim, out_.keys, out_.keys.place(keys.b, keys.key_head, first, key));
      }
      if (out_.values.wanted())
        store_row(space.value_sums + j * g_.value_dim, g_.value_dim, out_.values,
                  out_.values.place(keys.b, keys.key_head, first, key));
    }
  }

  const Call<T>& call_;
  const Geometry& g_;
  const simd::Kernels<T>& kernels_;
  const BlockSize size_;
  const Results<T>& out_;
  const RowSlopes<T>& slopes_;
  Lots& lots_;
  std::vector<KeyBlock> blocks_;
  std::vector<RowBlock> row_blocks_;
  std::vector<KeyRange> seen_blocks_;                       // of each row block: which blocks of keys it sees
  std::vector<std::size_t> first_block_, first_row_block_;  // of each batch entry and key head, and one past
  std::unique_ptr<Turns> turns_, bias_turns_;
  LargeArray<T> query_sums_;
  std::vector<std::unique_ptr<Space>> spaces_;
};

}  // namespace softstep::heads
