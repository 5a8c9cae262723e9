// The attention kernels on every instruction set beside the scalar reference: shapes, strides, raggedness and
// numbers from the bytes, huge, tiny and subnormal ones too. The bounds are those of the kernel tests
// (core/reference/error_bounds.h). A score that is not finite, or a difference of scores that overflows,
// gives NaN, as simd/kernels/attention.h has it.

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "bytes.h"
#include "memory_file.h"
#include "simd/attention_check.h"
#include "simd/lanes_case.h"
#include "support/isas.h"

using namespace softstep;
using fuzz::require;
using test::AttentionCase;
using test::AttentionRun;

namespace {

template <class T>
void spoil(fuzz::Bytes& bytes, AttentionCase<T>& in) {
  using Limits = std::numeric_limits<T>;
  const std::size_t n_changes = bytes.between(0, 5);
  for (std::size_t k = 0; k < n_changes; ++k) {
    const T value = bytes.pick({T(0), T(-0.0), Limits::denorm_min(), -Limits::min(), Limits::min() / 8,
                                T(1e-30), T(-1e30), Limits::max(), Limits::lowest(), Limits::infinity(),
                                -Limits::infinity(), Limits::quiet_NaN()});
    const std::size_t t = bytes.byte() % in.n_tokens, j = bytes.byte() % in.dim;
    if (bytes.flag())
      in.at(t, j) = value;
    else
      in.query[j] = value;
  }
}

// Copies of tokens tie their scores; equal gaps tie those.
template <class T>
void tie(fuzz::Bytes& bytes, AttentionCase<T>& in) {
  const std::size_t n = bytes.between(0, 3);
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t from = bytes.byte() % in.n_tokens, to = bytes.byte() % in.n_tokens;
    if (bytes.flag())
      for (std::size_t j = 0; j < in.dim; ++j) in.at(to, j) = in.at(from, j);
    else if (to != in.optimal)
      in.gaps[to] = in.gaps[from];
  }
}

// Whether the case is one that the bounds are for: scores and what is made of them stay within the range of
// T, whatever the order of the sum.
template <class T>
bool within_range(const AttentionCase<T>& in) {
  const double most = 0.125 * static_cast<double>(std::numeric_limits<T>::max());
  for (std::size_t t = 0; t < in.n_tokens; ++t) {
    double size = 0.0, row = 0.0;
    for (std::size_t j = 0; j < in.dim; ++j) {
      const double x = std::fabs(static_cast<double>(in.at(t, j)));
      size += x * std::fabs(static_cast<double>(in.query[j]));
      row += x;
    }
    // Entries of the gradient are up to 2 (gap) times n tokens of this size.
    if (!(size <= most && row * 4.0 * static_cast<double>(in.n_tokens) <= most)) return false;
  }
  return true;
}

// Whether a score is not finite in any order of the sum.
template <class T>
bool has_bad_score(const AttentionCase<T>& in) {
  for (std::size_t t = 0; t < in.n_tokens; ++t)
    for (std::size_t j = 0; j < in.dim; ++j)
      if (!std::isfinite(in.at(t, j) * in.query[j])) return true;
  return false;
}

template <class T>
bool all_nan(const AttentionRun<T>& out) {
  bool nan = std::isnan(out.stats.exponent) && std::isnan(out.stats.pivot_attention) &&
             std::isnan(out.stats.mean_gap) && std::isnan(out.stats.optimal_score);
  for (const T g : out.gradient) nan = nan && std::isnan(g);
  return nan;
}

// a - b without rounding?
bool is_exact(long double a, long double b) {
  const long double difference = a - b;
  return difference + b == a && a - difference == b;
}

// The reference takes scores apart in long double. Whether it makes no error of its own there: it would where
// one score is 2^40 times another.
template <class T>
bool reference_is_exact(const AttentionRun<T>& out) {
  std::vector<long double> z;
  for (const T s : out.scores) {
    const long double pivot = out.scores[out.stats.pivot];
    if (!is_exact(s, pivot)) return false;
    z.push_back(s - pivot);
  }
  for (const long double a : z)
    for (const long double b : z)
      if (!is_exact(a, b)) return false;
  return true;
}

template <class T>
void one_sample(fuzz::Bytes& bytes) {
  const std::size_t n = bytes.between(1, 70), d = bytes.between(1, 140);
  AttentionCase<T> in(n, d, bytes.between(0, 5));
  std::mt19937_64 random(bytes.word());
  in.fill(random, bytes.pick({1.0, 0.0, 1e-40, 1e-3, 40.0, 1e3, 1e6, 1e15, 1e30}));
  tie(bytes, in);
  spoil(bytes, in);
  const bool bounded = within_range(in), bad = has_bad_score(in);
  for (const simd::Isa* isa : test::runnable_isas()) {
    const AttentionRun<T> out = test::run(*isa, in);
    require(out.untouched && out.stats.pivot < n);
    if (bounded && !reference_is_exact(out)) {
      for (const T g : out.gradient) require(std::isfinite(g));
    } else if (bounded) {
      test::AttentionRatios ratios;
      test::compare(in, out, ratios);
      require(ratios.ok());
    } else if (bad) {
      require(all_nan(out));
    }
    const AttentionRun<T> short_run = test::run(*isa, in, false);
    require(std::memcmp(&short_run.stats.mean_gap, &out.stats.mean_gap, sizeof(T)) == 0 ||
            (std::isnan(short_run.stats.mean_gap) && std::isnan(out.stats.mean_gap)));
  }
}

// One sample to a lane. Scores are exact here, so that the reference starts from the same ones.
template <class T>
void one_to_a_lane(fuzz::Bytes& bytes) {
  const std::size_t count = bytes.between(1, 40), n_tokens = bytes.between(1, 14), dim = bytes.between(1, 40);
  const int power = static_cast<int>(bytes.between(0, 20));
  const bool ragged = bytes.flag();
  std::mt19937_64 random(bytes.word());
  auto cases = test::random_cases<T>(random, count, n_tokens, dim, power, ragged);
  for (AttentionCase<T>& in : cases)
    if (bytes.byte() > 200) tie(bytes, in);
  for (const simd::Isa* isa : test::runnable_isas()) {
    test::AttentionRatios ratios;
    test::Lanes<T> lanes(cases);
    lanes.run(*isa);
    for (std::size_t i = 0; i < count; ++i) test::compare(cases[i], lanes.sample(i), ratios);
    require(ratios.ok());
    if (ragged) continue;
    lanes.run_for_a_step(*isa);
    for (std::size_t i = 0; i < count; ++i) {
      const AttentionRun<T> out = lanes.sample(i);
      for (const T g : out.gradient) require(std::isfinite(g));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  switch (bytes.between(0, 3)) {
    case 0:
      one_sample<float>(bytes);
      break;
    case 1:
      one_sample<double>(bytes);
      break;
    case 2:
      one_to_a_lane<float>(bytes);
      break;
    default:
      one_to_a_lane<double>(bytes);
  }
  return 0;
}
