// The attention kernels against the scalar reference in long double: one sample at a time, with one sample to
// a lane, and with tokens stored in 16 bits. Scores against u d sum |x v|; what follows from them, c and the
// gradient row, against u |c| and (16 T + 30) u sum a_t |x_t| (core/reference/error_bounds.h).

#include <algorithm>
#include <cmath>

#include "core/data/half.h"
#include "core/reference/attention.h"
#include "core/reference/error_bounds.h"
#include "core/self_check/self_check_parts.h"

namespace softstep::self_check_parts {
namespace {

using Number = long double;

template <class T>
struct Sample {
  std::size_t n, d, optimal;
  std::vector<T> x, v, gaps;

  /// Multiples of `grain` unless that is 0.
  Sample(std::uint64_t seed, std::size_t n_tokens, std::size_t dim, double scale, double grain)
      : n(n_tokens), d(dim), optimal(seed % n_tokens) {
    Stream stream(seed);
    const auto numbers = [&](std::size_t count, double size) {
      std::vector<T> out = stream.numbers<T>(count);
      for (T& y : out) {
        const double rounded = grain == 0.0 ? static_cast<double>(y) : std::rint(y / grain) * grain;
        y = static_cast<T>(size * rounded);
      }
      return out;
    };
    x = numbers(n * d, 1.0);
    v = numbers(d, scale);
    gaps = stream.numbers<T>(n);
    for (T& gap : gaps) gap = gap + T(1);
    gaps[optimal] = T(0);
  }
  std::vector<Number> exact_scores() const {
    const std::vector<Number> exact_v(v.begin(), v.end());
    return reference::scores(x.data(), d, n, d, exact_v.data());
  }
};

struct Errors {
  Worst scores, row, stats;

  template <class T>
  void add_scores(const Sample<T>& in, const std::vector<T>& s) {
    const std::vector<Number> exact = in.exact_scores();
    for (std::size_t t = 0; t < in.n; ++t) {
      double size = 0.0;
      for (std::size_t j = 0; j < in.d; ++j)
        size += std::fabs(static_cast<double>(in.x[t * in.d + j]) * static_cast<double>(in.v[j]));
      scores.add(static_cast<double>(std::fabs(s[t] - exact[t])),
                 1.01 * unit_roundoff<T> * static_cast<double>(in.d) * size);
    }
  }
  /// From the scores the kernel had; gradient_j at j * stride. `weights`: r_t / e^c, or null.
  template <class T>
  void add_row(const Sample<T>& in, const std::vector<Number>& s, T exponent, const T* gradient,
               std::size_t stride, const T* weights = nullptr) {
    const double u = unit_roundoff<T>, tiny = static_cast<double>(std::numeric_limits<T>::min());
    const std::vector<Number> gap(in.gaps.begin(), in.gaps.end());
    const auto exact = reference::attention(in.n, s.data(), gap.data(), in.optimal);
    const std::vector<double> z(exact.relative_scores.begin(), exact.relative_scores.end());
    const auto size = reference::row_magnitude(z, std::vector<double>(gap.begin(), gap.end()), 0.0);
    const Number c = reference::other_exponent(exact, gap.data());
    const auto r = reference::gradient_weights(exact, gap.data(), c);
    const auto g = reference::weighted_sum(in.x.data(), in.d, in.n, in.d, r.data());
    row.add(static_cast<double>(std::fabs(exponent - c)), u * static_cast<double>(std::fabs(c)));
    for (std::size_t t = 0; weights != nullptr && t < in.n; ++t)
      row.add(static_cast<double>(std::fabs(weights[t] - r[t])),
              1.01 * (15.0 * static_cast<double>(in.n) + 28.0) * u * size.weights[t] +
                  tiny * (3.0 + size.moment));
    for (std::size_t j = 0; j < in.d; ++j) {
      // The second term is for e_t below the smallest normal number, which may become 0: |D_t| is at most 2.
      double bound = 0.0, underflow = 1.0;
      for (std::size_t t = 0; t < in.n; ++t) {
        const double magnitude = std::fabs(static_cast<double>(in.x[t * in.d + j]));
        bound += size.weights[t] * magnitude;
        underflow += (3.0 + size.moment) * magnitude;
      }
      row.add(static_cast<double>(std::fabs(gradient[j * stride] - g[j])),
              reference::row_error_factor(in.n) * u * bound + tiny * underflow);
    }
  }
  /// The statistics, from the scores the kernel had; the bounds of E, p_a and mu as for the row.
  template <class T>
  void add_stats(const Sample<T>& in, const std::vector<Number>& s, const simd::AttentionStats<T>& found,
                 const T* gradient, std::size_t stride) {
    const double u = 1.01 * unit_roundoff<T>, tiny = static_cast<double>(std::numeric_limits<T>::min()),
                 count = static_cast<double>(in.n);
    const auto pivot = static_cast<std::size_t>(std::max_element(s.begin(), s.end()) - s.begin());
    const auto size_of = [](Number x) { return static_cast<double>(std::fabs(x)); };
    stats.add(found.pivot == pivot ? 0.0 : 1.0, 0.0);
    const Number best = s[in.optimal] - s[pivot];
    stats.add(size_of(Number(found.optimal_score) - best), u * size_of(best));
    T largest = T(0);
    for (std::size_t j = 0; j < in.d; ++j) largest = std::max(largest, std::fabs(gradient[j * stride]));
    stats.add(size_of(Number(found.largest) - Number(largest)), 0.0);
    const Number gap_of_pivot = in.gaps[pivot];
    Number c = -std::numeric_limits<Number>::infinity(), rest = 0, ties = 0, mean = 0;
    for (std::size_t t = 0; t < in.n; ++t)
      if (Number(in.gaps[t]) != gap_of_pivot) c = std::max(c, Number(s[t] - s[pivot]));
    double rest_error = 0.0, ties_error = 0.0, moment = 0.0;
    for (std::size_t t = 0; t < in.n; ++t) {
      const bool in_a = Number(in.gaps[t]) == gap_of_pivot;
      if (t == pivot) continue;
      const Number argument = s[t] - s[pivot] - (in_a ? Number(0) : c), e = std::exp(argument);
      const double lambda = 1.0 + size_of(argument), size = static_cast<double>(e);
      (in_a ? ties : rest) += e;
      (in_a ? ties_error : rest_error) += size * (3.0 * lambda + count);
      if (in_a) continue;
      mean += e * (gap_of_pivot - Number(in.gaps[t]));
      moment += size * lambda * size_of(gap_of_pivot - Number(in.gaps[t]));
    }
    const Number p = 1 / (1 + ties + std::exp(c) * rest);
    stats.add(size_of(Number(found.rest) - rest), u * rest_error + count * tiny);
    stats.add(size_of(Number(found.ties) - ties), u * ties_error + count * tiny);
    stats.add(size_of(Number(found.pivot_attention) - p), u * (7.0 * count + 6.0) * size_of(p));
    // |D_t| is at most 2.
    stats.add(size_of(Number(found.mean_gap) - p * mean),
              u * (8.0 * count + 12.0) * size_of(p) * moment + 4.0 * count * tiny);
  }
};

template <class Check>
void for_each_case(Check check) {
  std::uint64_t seed = 0;
  for (const double scale : {0.0, 1.0, 1e2, 1e4, 1e6})
    for (const std::size_t n : {2, 6, 17})
      for (const std::size_t d : {1, 8, 33}) check(++seed, n, d, scale);
}

template <class T>
void run_one(const simd::Isa& isa, const Sample<T>& in, StoredType storage, const std::uint16_t* halves,
             Errors& errors) {
  std::vector<T> gradient(in.d), scores(in.n), weights(in.n);
  const simd::AttentionStats<T> stats = isa.kernels<T>().attention_of(
      {halves == nullptr ? in.x.data() : nullptr, in.d, in.n, in.d, in.v.data(), in.gaps.data(), in.optimal,
       gradient.data(), scores.data(), weights.data(), storage, halves});
  errors.add_scores(in, scores);
  errors.add_row(in, {scores.begin(), scores.end()}, stats.exponent, gradient.data(), 1, weights.data());
  errors.add_stats(in, {scores.begin(), scores.end()}, stats, gradient.data(), 1);
}

template <class T>
void check_one_sample(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  Errors errors;
  for_each_case([&](std::uint64_t seed, std::size_t n, std::size_t d, double scale) {
    run_one(isa, Sample<T>(seed, n, d, scale, 0.0), StoredType::working, nullptr, errors);
  });
  add_row<T>(rows, isa, "attention scores [of bound]", errors.scores.value(), 1.0);
  add_row<T>(rows, isa, "attention row [of bound]", errors.row.value(), 1.0);
  add_row<T>(rows, isa, "attention statistics [of bound]", errors.stats.value(), 1.0);
}

// The numbers stored are those the bounds refer to: how far they are from the batch's is the storage's
// affair.
void check_storage(const simd::Isa& isa, std::vector<CheckRow>& rows, StoredType storage) {
  const bool f16 = storage == StoredType::f16;
  Errors errors;
  for_each_case([&](std::uint64_t seed, std::size_t n, std::size_t d, double scale) {
    Sample<float> in(seed, n, d, scale, 0.0);
    std::vector<std::uint16_t> halves;
    for (float& x : in.x) {
      halves.push_back(f16 ? data::encode_f16(x) : data::encode_bf16(x));
      x = f16 ? data::decode_f16(halves.back()) : data::decode_bf16(halves.back());
    }
    run_one(isa, in, storage, halves.data(), errors);
  });
  const std::string name = f16 ? "attention, f16 tokens, " : "attention, bf16 tokens, ";
  add_row<float>(rows, isa, name + "scores [of bound]", errors.scores.value(), 1.0);
  add_row<float>(rows, isa, name + "row [of bound]", errors.row.value(), 1.0);
  add_row<float>(rows, isa, name + "statistics [of bound]", errors.stats.value(), 1.0);
}

// The kernel keeps its scores to itself. Tokens and queries are small multiples of powers of two, so that
// they are exact in any order of summation.
template <class T>
void check_lanes(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  constexpr std::size_t multiple = simd::lane_multiple<T>, count = multiple + 3, n_lanes = 2 * multiple;
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  Errors errors, of_step;
  for_each_case([&](std::uint64_t seed, std::size_t n, std::size_t d, double scale) {
    const double power = scale == 0.0 ? 0.0 : std::exp2(std::rint(std::log2(scale)));
    std::vector<Sample<T>> samples;
    std::vector<T> tokens(n * d * n_lanes), projected(d * n_lanes), gaps(n * n_lanes, nan), optimal(n_lanes),
        gradient(d * n_lanes), weights(n * n_lanes), stats(8 * n_lanes), shifted(n_lanes);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t own = 1 + (n - 1 + i) % n;  // tokens of this sample: n in the first
      const Sample<T>& in = samples.emplace_back(100 * seed + i, own, d, power, 0x1p-6);
      optimal[i] = static_cast<T>(in.optimal);
      for (std::size_t j = 0; j < d; ++j) projected[j * n_lanes + i] = in.v[j];
      for (std::size_t t = 0; t < own; ++t) {
        gaps[t * n_lanes + i] = in.gaps[t];
        for (std::size_t j = 0; j < d; ++j)
          tokens[((i / multiple * n + t) * d + j) * multiple + i % multiple] = in.x[t * d + j];
      }
    }
    const auto field = [&](std::size_t k) { return stats.data() + k * n_lanes; };
    const auto run = [&](const T* best) {
      isa.kernels<T>().attention_lanes(
          {tokens.data(),  n_lanes,          n,           d,        0,
           count,          projected.data(), gaps.data(), best,     gradient.data(),
           weights.data(), field(0),         field(1),    field(2), field(3),
           field(4),       field(5),         field(6),    field(7), shifted.data()});
    };
    run(optimal.data());
    for (std::size_t i = 0; i < count; ++i)
      if (samples[i].n > 1) {
        const std::vector<Number> scores = samples[i].exact_scores();
        errors.add_row(samples[i], scores, field(1)[i], gradient.data() + i, n_lanes);
        errors.add_stats(samples[i], scores,
                         {static_cast<std::size_t>(field(0)[i]), field(1)[i], field(2)[i], field(3)[i],
                          field(4)[i], field(5)[i], field(6)[i], field(7)[i]},
                         gradient.data() + i, n_lanes);
      }
    // For a step no lane may miss a token: what is missing is looked past, in lanes that have all of them.
    const std::vector<T> by_token = gaps;
    for (std::size_t t = 0; t < n; ++t)
      for (std::size_t i = 0; i < n_lanes; ++i) {
        const T gap = by_token[t * n_lanes + i];
        gaps[(i / multiple * n + t) * multiple + i % multiple] = std::isnan(gap) ? T(0) : gap;
      }
    run(nullptr);
    for (std::size_t i = 0; i < count; ++i)
      if (samples[i].n == n && n > 1)
        of_step.add_row(samples[i], samples[i].exact_scores(), field(1)[i], gradient.data() + i, n_lanes);
  });
  add_row<T>(rows, isa, "attention_lanes row [of bound]", errors.row.value(), 1.0);
  add_row<T>(rows, isa, "attention_lanes statistics [of bound]", errors.stats.value(), 1.0);
  add_row<T>(rows, isa, "attention_lanes for a step [of bound]", of_step.row.value(), 1.0);
}

}  // namespace

template <class T>
void check_attention(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  check_one_sample<T>(isa, rows);
  check_lanes<T>(isa, rows);
  if constexpr (sizeof(T) == sizeof(float))
    for (const auto storage : {StoredType::f16, StoredType::bf16}) check_storage(isa, rows, storage);
}

template void check_attention<float>(const simd::Isa&, std::vector<CheckRow>&);
template void check_attention<double>(const simd::Isa&, std::vector<CheckRow>&);

}  // namespace softstep::self_check_parts
