#pragma once

#include <cstddef>
#include <string>

namespace softstep::bench {

/// n samples of T tokens of dimension d; each stands for what bounds it.
struct Shape {
  std::size_t n_samples, n_tokens, dim;
};

inline constexpr Shape shapes[] = {
    {20, 5, 10},       // call overhead: calls, horizontal sums, loop heads
    {6, 8, 10},        // call overhead: the published random_unit set-up
    {10, 6, 60},       // call overhead and first cache: the demo
    {100, 20, 100},    // cache: products and attention pass from the second cache
    {1000, 64, 256},   // third cache or memory: X is 66 MB in f32
    {256, 512, 128},   // third cache or memory: X of the same size, long samples, cheap products
    {4000, 128, 256},  // memory: X is 524 MB in f32
    {2000, 8, 512},    // multiply-adds: the two products
    {64, 16, 2048},    // d^2: W is 17 MB in f32 and n T < d
};

inline std::string name(const Shape& shape) {
  return "n:" + std::to_string(shape.n_samples) + "/T:" + std::to_string(shape.n_tokens) +
         "/d:" + std::to_string(shape.dim);
}

}  // namespace softstep::bench
