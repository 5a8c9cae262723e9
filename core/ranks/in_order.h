#pragma once

// Sums over the samples of all ranks, with the bits of one process that has them all: the terms are added one
// after the other in the order of the samples, and each rank goes on where the one before it stopped; unless
// the ranks say that any order will do. Without ranks, or with one, everything here is the work of this
// process alone.

#include <algorithm>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "softstep/ranks.h"
#include "softstep/scaled.h"

namespace softstep {

/// Whether there is another process to ask.
inline bool are_several(const Ranks* ranks) { return ranks != nullptr && ranks->size() > 1; }

template <class Value>
std::span<std::byte> bytes_of(std::span<Value> values) {
  static_assert(std::is_trivially_copyable_v<Value>);
  return std::as_writable_bytes(values);
}

/// `mine` of every rank, that of rank 0 first.
template <class Value>
std::vector<Value> gathered(Ranks* ranks, Value mine) {
  if (!are_several(ranks)) return {mine};
  std::vector<Value> all(ranks->size());
  ranks->gather(std::as_bytes(std::span<const Value>(&mine, 1)), bytes_of(std::span<Value>(all)));
  return all;
}

/// values <- add(values), by one rank after the other; all get what the last one has.
template <class Value, class Add>
void add_in_order(Ranks* ranks, std::span<Value> values, Add add) {
  if (!are_several(ranks)) {
    add();
    return;
  }
  const std::span<std::byte> bytes = bytes_of(values);
  const std::size_t last = ranks->size() - 1;
  if (ranks->rank() > 0) ranks->receive(bytes);
  add();
  if (ranks->rank() < last) {
    ranks->send(bytes);
    ranks->flush();
  }
  ranks->broadcast(bytes, last);
}
template <class Value, class Add>
void add_in_order(Ranks* ranks, Value& value, Add add) {
  add_in_order(ranks, std::span<Value>(&value, 1), add);
}

/// values, all zero, <- add(values): in the order of the samples, or of the sums of the ranks (SumOrder).
template <class Add>
void add_over_ranks(Ranks* ranks, std::span<double> values, Add add) {
  if (!are_several(ranks) || ranks->sum_order() == SumOrder::samples) {
    add_in_order(ranks, values, add);
    return;
  }
  add();
  ranks->sum(values);
}
template <class Add>
void add_over_ranks(Ranks* ranks, double& value, Add add) {
  add_over_ranks(ranks, std::span<double>(&value, 1), add);
}

/// max over the ranks; NaN if one is.
inline double largest_of_ranks(Ranks* ranks, double mine) {
  double largest = -std::numeric_limits<double>::infinity(), poison = 0.0;
  for (const double x : gathered(ranks, mine)) {
    if (x > largest) largest = x;
    if (x != x) poison = x;
  }
  return poison != poison ? poison : largest;  // not their sum, which is another zero
}

/// The same of a step's exponent, and on the way whether a rank wants to stop.
inline double largest_in_step(Ranks* ranks, double mine) {
  struct Said {
    double largest;
    bool wants_stop;
  };
  if (!are_several(ranks)) {
    if (ranks != nullptr && ranks->wants_stop()) ranks->stop();
    return mine;
  }
  double largest = -std::numeric_limits<double>::infinity(), poison = 0.0;
  bool stops = false;
  Said said{};
  said.largest = mine;
  said.wants_stop = ranks->wants_stop();
  for (const Said& of_rank : gathered(ranks, said)) {
    if (of_rank.largest > largest) largest = of_rank.largest;
    if (of_rank.largest != of_rank.largest) poison = of_rank.largest;
    stops = stops || of_rank.wants_stop;
  }
  if (stops) ranks->stop();
  return largest + poison;
}

}  // namespace softstep
