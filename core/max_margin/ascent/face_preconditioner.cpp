#include "core/max_margin/ascent/face_preconditioner.h"

#include <algorithm>
#include <cmath>

#include "core/threads/team.h"

namespace softstep {
namespace {

constexpr std::size_t parallel_from = 300000;  // entries of blocks worth a parallel region

}  // namespace

FacePreconditioner::FacePreconditioner(LinearMap& map, int n_threads) : map_(map) {
  std::size_t entries = 0;
  for (const auto& [first, size] : map.blocks()) {
    blocks_.push_back({first, size, entries, {}, false});
    blocks_.back().free.reserve(size);  // so that set_face() allocates nothing within its parallel region
    entries += size * size;
  }
  n_threads_ = entries < parallel_from ? 1 : n_threads;
  gram_.resize(entries);
  factors_.resize(entries);
  for_each_index(blocks_.size(), n_threads_, [&](std::size_t b, std::size_t) {
    map.block_gram(blocks_[b].first, blocks_[b].size, gram_.data() + blocks_[b].entries);
  });
}

void FacePreconditioner::set_face(const std::vector<char>& free) {
  for_each_index(blocks_.size(), n_threads_, [&](std::size_t b, std::size_t) {
    Block& block = blocks_[b];
    std::vector<std::size_t> rows;
    for (std::size_t r = 0; r < block.size; ++r)
      if (free[block.first + r]) rows.push_back(r);
    if (block.factored && rows == block.free) return;
    block.free = std::move(rows);
    factor(block);
  });
}

// Cholesky factor of the free rows and columns, m x m row-major, the diagonal inverted. Rows of one block may
// depend on each other; what is added to their unit diagonal keeps the factor regular and only slows the
// iteration.
void FacePreconditioner::factor(Block& block) {
  constexpr double ridge = 1e-8;
  const std::size_t m = block.free.size();
  const double* gram = gram_.data() + block.entries;
  double* l = factors_.data() + block.entries;
  for (std::size_t r = 0; r < m; ++r)
    for (std::size_t c = 0; c <= r; ++c) {
      double sum = gram[block.free[r] * block.size + block.free[c]];
      for (std::size_t j = 0; j < c; ++j) sum -= l[r * m + j] * l[c * m + j];
      l[r * m + c] = r == c ? 1.0 / std::sqrt(std::max(sum, 0.0) + ridge) : sum * l[c * m + c];
    }
  block.factored = true;
}

void FacePreconditioner::apply(const std::vector<double>& residual, std::vector<double>& out) const {
  std::fill(out.begin(), out.end(), 0.0);
  for_each_index(blocks_.size(), n_threads_, [&](std::size_t b, std::size_t) {
    const Block& block = blocks_[b];
    const std::size_t m = block.free.size();
    const double* l = factors_.data() + block.entries;
    double* x = out.data() + block.first;
    for (std::size_t r = 0; r < m; ++r) {
      double sum = residual[block.first + block.free[r]];
      for (std::size_t j = 0; j < r; ++j) sum -= l[r * m + j] * x[block.free[j]];
      x[block.free[r]] = sum * l[r * m + r];
    }
    for (std::size_t r = m; r-- > 0;) {
      const double value = x[block.free[r]] * l[r * m + r];
      x[block.free[r]] = value;
      for (std::size_t j = 0; j < r; ++j) x[block.free[j]] -= l[r * m + j] * value;
    }
  });
  map_.share(out.data());
}

}  // namespace softstep
