#pragma once

// The sum of outer products over the rows of all ranks: C[m x n] = sum_l a_l b_l^T, each element one chain of
// multiply-adds over the rows in their order, as product_tn makes it in one process
// (simd/kernels/product_tn.h). A chain may go on in another call (product_panels.h), and so it goes on in
// another process: a rank takes a band of C from the rank before it, adds its rows and passes the band on,
// while the next band is on its way. In the end the last rank has C and gives it to all. Where any order will
// do, each rank makes its own product, and the products are added up, a band of them while the next is made.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "core/linalg/panels.h"
#include "core/ranks/in_order.h"
#include "core/threads/team.h"
#include "simd/dispatch.h"

namespace softstep {

template <class T>
class OrderedProduct {
 public:
  /// A[k x m]^T B[k x n], k the rows of this rank, into C with rows of n. Called by all threads of a team;
  /// with several ranks it ends when C is there, else when this thread may read the block that
  /// for_each_block() gives it.
  void operator()(const Team& team, Ranks* ranks, const simd::Kernels<T>& kernels, std::size_t m,
                  std::size_t n, std::size_t k, const T* a, std::size_t lda, const T* b, std::size_t ldb,
                  T* c) {
    if (!are_several(ranks)) {
      own_product(team, kernels, m, n, k, a, lda, b, ldb, c);
      return;
    }
    if (team.leads() && most_threads_ == 0) agree(*ranks, team.size);
    team.wait();
    if (ranks->sum_order() == SumOrder::any) {
      sum_of_products(team, *ranks, kernels, m, n, k, a, lda, b, ldb, c);
      return;
    }
    const std::size_t last = ranks->size() - 1, rank = ranks->rank();
    pack(team, kernels, n, k, b, ldb);
    const std::size_t rows = rows_of_band(m, n, ranks->size(), most_threads_);
    for (std::size_t row = 0; row < m; row += rows) {
      const std::size_t count = std::min(rows, m - row);
      const std::span<T> band(c + row * n, count * n);
      if (team.leads() && rank > 0) ranks->receive(bytes_of(band));
      team.wait();
      const auto [begin, end] = team.share(count, 4);
      add_rows(kernels, end - begin, n, k, a + row + begin, lda, rank > 0, band.data() + begin * n);
      team.wait();
      if (team.leads() && rank < last) ranks->send(bytes_of(band));
    }
    if (team.leads()) {
      if (rank < last) ranks->flush();
      ranks->broadcast(bytes_of(std::span<T>(c, m * n)), last);
    }
    team.wait();
  }

 private:
  static constexpr std::size_t depth = 256;  // rows whose panels stay near

  static void own_product(const Team& team, const simd::Kernels<T>& kernels, std::size_t m, std::size_t n,
                          std::size_t k, const T* a, std::size_t lda, const T* b, std::size_t ldb, T* c) {
    for_each_block(m, n, team, [&](Block block) {
      kernels.product_tn({block.n_rows, block.n_cols, k, a + block.row, lda, b + block.col, ldb,
                          c + block.row * n + block.col, n});
    });
  }

  // Bands are messages, and those of one rank must be as large as those of another. Their teams need not be:
  // a rank may have fewer processors, or too little work to start threads for.
  void agree(Ranks& ranks, std::size_t n_threads) {
    for (const std::size_t of_rank : gathered(&ranks, n_threads))
      most_threads_ = std::max(most_threads_, of_rank);
  }

  void sum_of_products(const Team& team, Ranks& ranks, const simd::Kernels<T>& kernels, std::size_t m,
                       std::size_t n, std::size_t k, const T* a, std::size_t lda, const T* b, std::size_t ldb,
                       T* c) {
    const std::size_t rows = rows_of_sum(m, n, most_threads_);
    if (rows < m) pack(team, kernels, n, k, b, ldb);
    for (std::size_t row = 0; row < m; row += rows) {
      const std::size_t count = std::min(rows, m - row);
      if (rows < m) {
        const auto [begin, end] = team.share(count, 4);
        add_rows(kernels, end - begin, n, k, a + row + begin, lda, false, c + (row + begin) * n);
      } else {
        own_product(team, kernels, m, n, k, a, lda, b, ldb, c);
      }
      team.wait();
      if (team.leads()) ranks.begin_sum(std::span<T>(c + row * n, count * n));
    }
    if (team.leads()) ranks.flush();
    team.wait();
  }
  // What is left when all products are made is the sum of the last band. More bands are more messages, so
  // that one of them is not less than takes longer than to reach the other ranks.
  static std::size_t rows_of_sum(std::size_t m, std::size_t n, std::size_t n_threads) {
    constexpr std::size_t most_bands = 4, least_bytes = 1 << 18, unit = 4;
    const std::size_t wanted = std::max(m / most_bands, least_bytes / (n * sizeof(T)));
    return std::min(m, std::max((wanted + unit - 1) / unit * unit, unit * n_threads));
  }

  // The last rank waits for its first band until all ranks before it have worked on one: many bands to a rank
  // keep that short. A band is not less than a few rows for each thread, nor than a message is worth, nor so
  // large that it leaves the near caches.
  static std::size_t rows_of_band(std::size_t m, std::size_t n, std::size_t n_ranks, std::size_t n_threads) {
    constexpr std::size_t bands_of_rank = 8, unit = 4, most_bytes = 1 << 18;
    const std::size_t most = std::max(most_bytes / (n * sizeof(T)), std::size_t{1});
    const std::size_t wanted = std::min(m / (bands_of_rank * n_ranks), most);
    return std::min(m, std::max((wanted + unit - 1) / unit * unit, unit * n_threads));
  }

  std::size_t padded(const simd::Kernels<T>& kernels, std::size_t n) const {
    return panels_size(1, n, kernels.tile_columns);
  }
  void pack(const Team& team, const simd::Kernels<T>& kernels, std::size_t n, std::size_t k, const T* b,
            std::size_t ldb) {
    if (team.leads()) panels_.resize(padded(kernels, n) * k);
    team.wait();
    const auto [begin, end] = team.share(k, depth);
    for (std::size_t l = begin; l < end; l += depth)
      pack_panels(kernels, PlainRows<T>{b + l * ldb, ldb}, std::min(depth, k - l), n,
                  panels_.data() + l * padded(kernels, n));
    team.wait();
  }
  void add_rows(const simd::Kernels<T>& kernels, std::size_t m, std::size_t n, std::size_t k, const T* a,
                std::size_t lda, bool add, T* c) const {
    if (m == 0) return;
    if (k == 0 && !add) std::fill_n(c, m * n, T(0));
    for (std::size_t l = 0; l < k; l += depth) {
      const std::size_t count = std::min(depth, k - l);
      kernels.product_panels({m, n, count, a + l * lda, lda, true, panels_.data() + l * padded(kernels, n),
                              count, c, n, add || l > 0});
    }
  }

  std::vector<T> panels_;         // of B, in blocks of `depth` rows
  std::size_t most_threads_ = 0;  // of a rank's team; 0: not agreed on yet
};

}  // namespace softstep
