#pragma once

#include <cstddef>
#include <vector>

#include "core/max_margin/constraints/linear_map.h"

namespace softstep {

/// Approximates the Gram matrix of the free rows by its diagonal blocks, one per group of rows that belong
/// together (tokens of one sample share x_i,opt and z_i, which is where most of the ill condition comes
/// from), and applies the inverse. Blocks are short enough that they never outgrow the tokens themselves.
class FacePreconditioner {
 public:
  FacePreconditioner(LinearMap& map, int n_threads);
  /// Factors the blocks of the rows with free[k] != 0; does nothing for the rows it was last given.
  void set_face(const std::vector<char>& free);
  /// out = M^-1 residual on the free rows, 0 elsewhere. Reads `residual` on the free rows only.
  void apply(const std::vector<double>& residual, std::vector<double>& out) const;

 private:
  struct Block {
    std::size_t first, size;        // rows
    std::size_t entries;            // first of size^2 entries in gram_ and factors_
    std::vector<std::size_t> free;  // rows of the block in the face, counted from `first`
    bool factored = false;
  };
  void factor(Block& block);

  LinearMap& map_;
  std::vector<Block> blocks_;
  std::vector<double> gram_, factors_;
  int n_threads_;
};

}  // namespace softstep
