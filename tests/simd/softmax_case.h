#pragma once

// Rows of scores that go through softmax_rows block by block, each block in memory that ends at a protected
// page.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "block_case.h"
#include "simd/dispatch.h"
#include "support/floating_point_flags.h"
#include "support/guarded.h"

namespace softstep::test {

enum class ScoreKind {
  near,
  far,       ///< weights underflow
  very_far,  ///< most of them
  equal,
  few_values,  ///< many exact ties
  rising,      ///< every block moves the pivot
  falling,
  some_hidden,  ///< -infinity at random, as a bias has it
  all_hidden    ///< -infinity alone
};
constexpr const char* name(ScoreKind kind) {
  switch (kind) {
    case ScoreKind::near:
      return "near";
    case ScoreKind::far:
      return "far";
    case ScoreKind::very_far:
      return "very far";
    case ScoreKind::equal:
      return "equal";
    case ScoreKind::few_values:
      return "few values";
    case ScoreKind::rising:
      return "rising";
    case ScoreKind::falling:
      return "falling";
    case ScoreKind::some_hidden:
      return "some hidden";
    default:
      return "all hidden";
  }
}

template <class T>
T score_of(ScoreKind kind, std::size_t j, std::size_t n, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  const double x = uniform(random), place = static_cast<double>(j) / static_cast<double>(n);
  switch (kind) {
    case ScoreKind::near:
      return static_cast<T>(3.0 * x);
    case ScoreKind::far:
      return static_cast<T>((sizeof(T) == 4 ? 100.0 : 800.0) * x);
    case ScoreKind::very_far:
      return static_cast<T>(1e30 * x);
    case ScoreKind::equal:
      return T(-1.7);
    case ScoreKind::few_values:
      return static_cast<T>(random() % 3);
    case ScoreKind::rising:
      return static_cast<T>(40.0 * place + 0.1 * x);
    case ScoreKind::falling:
      return static_cast<T>(-40.0 * place + 0.1 * x);
    case ScoreKind::some_hidden:
      return random() % 3 == 0 ? -std::numeric_limits<T>::infinity() : static_cast<T>(5.0 * x);
    default:
      return -std::numeric_limits<T>::infinity();
  }
}

template <class T>
struct SoftmaxCase {
  std::size_t n_rows, n_keys, pad;
  bool ranges;
  Guarded<T> top, second, rest, decay, former_weight;
  Guarded<std::size_t> pivot, former, begin, end;  ///< begin and end: of all keys
  std::string flags;                               ///< that the last block raised

  SoftmaxCase(std::size_t rows, std::size_t keys, std::size_t padding, bool with_ranges, ScoreKind kind,
              std::mt19937_64& random)
      : n_rows(rows),
        n_keys(keys),
        pad(padding),
        ranges(with_ranges),
        top(rows),
        second(rows),
        rest(rows),
        decay(rows),
        former_weight(rows),
        pivot(rows),
        former(rows),
        begin(rows),
        end(rows),
        scores_(rows * keys) {
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t j = 0; j < keys; ++j) set_score(r, j, score_of<T>(kind, j, keys, random));
      top[r] = second[r] = -std::numeric_limits<T>::infinity();
      pivot[r] = simd::no_pivot;
      rest[r] = T(0);
      begin[r] = 0;
      end[r] = keys;
      if (!ranges) continue;
      // Some rows see nothing, one of them by an end before its begin, some a single key.
      begin[r] = random() % (keys + 1);
      end[r] = r % 4 == 1 ? begin[r] / 2 : r % 4 == 2 ? std::min(begin[r] + 1, keys) : random() % (keys + 1);
    }
    for (std::size_t j = 0; j < keys; ++j) values_.push_back(static_cast<T>(uniform(random)));
  }

  T score(std::size_t r, std::size_t j) const { return scores_[r * n_keys + j]; }
  void set_score(std::size_t r, std::size_t j, T x) { scores_[r * n_keys + j] = x; }
  long double value(std::size_t j) const { return values_[j]; }
  /// The scores of the first n keys, those that the row does not see as -infinity.
  std::vector<T> seen(std::size_t r, std::size_t n) const {
    std::vector<T> out;
    for (std::size_t j = 0; j < n; ++j)
      out.push_back(j >= begin[r] && j < end[r] ? score(r, j) : -std::numeric_limits<T>::infinity());
    return out;
  }
  std::vector<T> second_numbers() const { return {second.data(), second.data() + n_rows}; }
  std::vector<std::size_t> pivots() const { return {pivot.data(), pivot.data() + n_rows}; }
  /// Of the block that ran last.
  T weight(std::size_t r, std::size_t j) const { return block_[r * ld_ + j]; }

  /// Keys first .. first + n - 1. False if what lies between rows has changed.
  bool run(const simd::Isa& isa, std::size_t first, std::size_t n) {
    ld_ = n + pad;
    Guarded<T> block((n_rows - 1) * ld_ + n);
    fill(block, untouched<T>);
    Guarded<std::size_t> from(n_rows), to(n_rows);
    for (std::size_t r = 0; r < n_rows; ++r) {
      std::copy_n(scores_.data() + r * n_keys + first, n, block.data() + r * ld_);
      from[r] = std::clamp(begin[r], first, first + n) - first;
      to[r] = std::clamp(end[r], first, first + n) - first;
    }
    fill(decay, untouched<T>);
    fill(former_weight, untouched<T>);
    const simd::SoftmaxRowsArgs<T> args{n_rows,
                                        n,
                                        block.data(),
                                        ld_,
                                        ranges ? from.data() : nullptr,
                                        ranges ? to.data() : nullptr,
                                        first,
                                        top.data(),
                                        second.data(),
                                        pivot.data(),
                                        rest.data(),
                                        decay.data(),
                                        former_weight.data(),
                                        former.data()};
    flags = flags_raised_by([&] { isa.kernels<T>().softmax_rows(args); });
    bool same_between = true;
    for (std::size_t k = 0; k < block.size(); ++k)
      same_between = same_between && (k % ld_ < n || block[k] == untouched<T>);
    block_.assign(block.data(), block.data() + block.size());
    return same_between;
  }

 private:
  std::vector<T> scores_, values_, block_;
  std::size_t ld_ = 0;
};

}  // namespace softstep::test
