#pragma once

// Every form of the weights in every layout that it has, on data times powers of two.

#include <cmath>
#include <random>
#include <vector>

#include "softstep/softstep.h"

namespace softstep::test {

struct Shape {
  const char* name;
  std::size_t n, n_tokens, dim;
  Form form;
};
// Each form in the layouts it has: with the sample index last, sample by sample, and a dense run that does
// not form G.
inline constexpr Shape shapes[] = {
    {"dense, lanes", 10, 4, 6, Form::dense},
    {"dense, by sample", 5, 70, 40, Form::dense},
    {"dense without gradient", 3, 55, 40, Form::dense},
    {"query span, lanes", 5, 4, 9, Form::query_span},
    {"query span, by sample", 5, 70, 40, Form::query_span},
    {"token span", 4, 5, 30, Form::token_span},
};

struct Powers {
  int tokens, queries, decoder;
};

// Normal numbers; every one times its power of two.
template <class T>
Dataset<T> data_of(const Shape& shape, const Powers& powers) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  const auto numbers = [&](std::size_t size, int power) {
    std::vector<T> out(size);
    for (T& x : out) x = std::scalbn(static_cast<T>(normal(random)), power);
    return out;
  };
  DatasetParts<T> parts;
  parts.n_samples = shape.n;
  parts.n_tokens = shape.n_tokens;
  parts.dim = shape.dim;
  parts.tokens = numbers(shape.n * shape.n_tokens * shape.dim, powers.tokens);
  parts.queries = numbers(shape.n * shape.dim, powers.queries);
  parts.decoder = numbers(shape.dim, powers.decoder);
  for (std::size_t i = 0; i < shape.n; ++i) parts.labels.push_back(random() % 2 == 0 ? 1 : -1);
  return make_dataset(std::move(parts));
}

}  // namespace softstep::test
