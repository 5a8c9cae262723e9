#pragma once

#include <cstddef>
#include <string>

namespace softstep::bench {

/// n samples of T tokens of dimension d; each stands for what bounds it.
struct Shape {
  std::size_t n_samples, n_tokens, dim;
};

inline constexpr Shape shapes[] = {
    {10, 6, 60},      // the demo
    {20, 5, 10},      // call overhead
    {100, 20, 100},   // cache
    {1000, 64, 256},  // memory
    {2000, 8, 512},   // products
};

inline std::string name(const Shape& shape) {
  return "n:" + std::to_string(shape.n_samples) + "/T:" + std::to_string(shape.n_tokens) +
         "/d:" + std::to_string(shape.dim);
}

}  // namespace softstep::bench
