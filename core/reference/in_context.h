#pragma once

// Linear attention on the moments of in-context linear regression from its definition, in plain numbers of
// any type with range and digits enough.

#include <cmath>
#include <cstddef>
#include <vector>

namespace softstep::reference {

template <class Number>
struct InContext {
  std::vector<Number> product{}, product_size{};  ///< M and the sum of the sizes of its terms, dim x dim
  Number loss{0}, optimal_loss{0};
  std::vector<std::vector<Number>> gradients{};  ///< by block
  std::vector<Number> sizes{};                   ///< norm of the sums of sizes that each is made of
};

/// `spectrum` is the diagonal of Lambda, `blocks` {v, U} or, with a rank, {v, K, Q}.
template <class Number>
InContext<Number> in_context(const std::vector<double>& spectrum, std::size_t n_examples, std::size_t rank,
                             const std::vector<std::vector<Number>>& blocks) {
  using std::fabs;
  using std::sqrt;
  const std::size_t d = spectrum.size(), n_heads = blocks[0].size();
  const bool is_merged = blocks.size() == 2;
  InContext<Number> out;
  out.product.assign(d * d, Number(0));
  out.product_size.assign(d * d, Number(0));
  const auto add = [&](std::size_t at, const Number& term) {
    out.product[at] += term;
    out.product_size[at] += fabs(term);
  };
  for (std::size_t h = 0; h < n_heads; ++h)
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t j = 0; j < d; ++j) {
        if (is_merged) add(i * d + j, blocks[0][h] * blocks[1][(h * d + i) * d + j]);
        for (std::size_t r = 0; !is_merged && r < rank; ++r)
          add(i * d + j,
              blocks[0][h] * blocks[1][(h * rank + r) * d + i] * blocks[2][(h * rank + r) * d + j]);
      }
  Number trace(0);
  for (const double lambda : spectrum) trace += Number(lambda);
  const auto lambda = [&](std::size_t j) { return Number(spectrum[j]); };
  const auto moment = [&](std::size_t j) {
    return Number(lambda(j) * lambda(j) + (lambda(j) + trace) * lambda(j) / Number(n_examples));
  };
  // tr(Lambda) - 2 tr(Lambda M Lambda) + tr(A M Lambda M^T), here and at M* = A^-1 Lambda
  out.loss = out.optimal_loss = trace;
  std::vector<Number> slope(d * d), slope_size(d * d);  // -dL/dM = 2 (Lambda^2 - A M Lambda)
  for (std::size_t i = 0; i < d; ++i) {
    out.loss -= 2 * lambda(i) * lambda(i) * out.product[i * d + i];
    out.optimal_loss -= lambda(i) * lambda(i) * lambda(i) / moment(i);
    for (std::size_t j = 0; j < d; ++j) {
      const Number m = out.product[i * d + j], first = i == j ? Number(lambda(i) * lambda(i)) : Number(0);
      out.loss += moment(i) * m * lambda(j) * m;
      slope[i * d + j] = 2 * (first - moment(i) * m * lambda(j));
      slope_size[i * d + j] = 2 * (first + moment(i) * out.product_size[i * d + j] * lambda(j));
    }
  }
  for (const auto& block : blocks) out.gradients.emplace_back(block.size(), Number(0));
  auto sizes = out.gradients;
  const auto put = [&](std::size_t block, std::size_t at, const Number& factor, std::size_t entry) {
    out.gradients[block][at] -= factor * slope[entry];
    sizes[block][at] += fabs(factor) * slope_size[entry];
  };
  for (std::size_t h = 0; h < n_heads; ++h)
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t j = 0; j < d; ++j) {
        if (is_merged) {
          put(0, h, blocks[1][(h * d + i) * d + j], i * d + j);
          put(1, (h * d + i) * d + j, blocks[0][h], i * d + j);
        }
        for (std::size_t r = 0; !is_merged && r < rank; ++r) {
          const std::size_t key = (h * rank + r) * d + i, query = (h * rank + r) * d + j;
          put(0, h, Number(blocks[1][key] * blocks[2][query]), i * d + j);
          put(1, key, Number(blocks[0][h] * blocks[2][query]), i * d + j);
          put(2, query, Number(blocks[0][h] * blocks[1][key]), i * d + j);
        }
      }
  for (const auto& block : sizes) {
    Number squared(0);
    for (const Number& x : block) squared += x * x;
    out.sizes.push_back(sqrt(squared));
  }
  return out;
}

}  // namespace softstep::reference
