#pragma once

// One relevant token: sequences in which a query says the place of the token that the target looks at.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "softstep/softstep.h"

namespace softstep::program::reproduce {

/// Numbers of a documented stream, one after the other.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : seed_(seed) {}
  double normal();
  /// A normal number's sign, -1 or 1.
  double sign() { return normal() < 0.0 ? -1.0 : 1.0; }
  /// One of n places with the same chance each.
  std::size_t index(std::size_t n);

 private:
  std::uint64_t seed_;
  std::vector<double> values_ = {};
  std::size_t at_ = 0;
};

/// N tokens (x_j, e_j), x_j ~ N(0, I), e_j an encoding of the place: one of N different corners of a cube
/// over its norm. A query says a place t by its encoding, and the target is u . x_t. Every place of a
/// sequence has its query.
struct Task {
  std::size_t length, dim, code, width;  ///< N, entries of x_j, of e_j, of both
  std::vector<double> codes, direction;  ///< [N, code] e_j; [dim] u, of norm 1
  Task(std::size_t length, std::size_t dim, Numbers& numbers);
};

/// Sequences as a batch for the attention layer, a sample for each query.
struct Sequences {
  std::vector<double> tokens, targets, queries;
  BatchView<double> view;
};
/// Without a query that says the place: the same vector for all.
void draw(const Task& task, std::size_t n_sequences, bool says_place, Numbers& numbers, Sequences& out);

/// The same sequences as rows for a network that sees all tokens and all queries at once.
struct Prompts {
  std::vector<double> inputs;   ///< [n, N, width]: x_j, then the encoding that the query of place j says
  std::vector<double> targets;  ///< [n, N]
};
/// With nothing to find: place j has the token that its query says.
void draw_prompts(const Task& task, std::size_t n_sequences, bool in_order_of_queries, Numbers& numbers,
                  Prompts& out);

}  // namespace softstep::program::reproduce
