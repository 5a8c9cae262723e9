// The kernels for runs side by side, each run against the scalar reference in long double. The bounds are
// those of simd/kernels/run_*.h.

#include <algorithm>
#include <cmath>

#include "core/reference/kernels.h"
#include "core/self_check/self_check_parts.h"

namespace softstep::self_check_parts {
namespace {

using Number = long double;

double size_of(Number x) { return static_cast<double>(std::fabs(x)); }

/// Samples of as many runs as a vector has lanes; sample i of run r stands at i width + r.
template <class T>
struct Runs {
  std::size_t n, width, size;
  bool logistic;
  std::vector<T> exponent, mean_gap, shifted_gap, largest;
  std::vector<double> pivot_gap, gap_unit, optimal_score, unit_power, inverse_query, query_norm, slope,
      slope_exponent;

  Runs(const simd::Isa& isa, std::size_t n_samples, bool is_logistic, double spread, Stream& stream)
      : n(n_samples),
        width(isa.kernels<T>().vector_width),
        size(n * width),
        logistic(is_logistic),
        exponent(stream.numbers<T>(size, spread)),
        mean_gap(stream.numbers<T>(size)),
        shifted_gap(size),
        largest(stream.numbers<T>(size)),
        pivot_gap(stream.numbers<double>(size)),
        gap_unit(size),
        optimal_score(stream.numbers<double>(size, 7.0)),
        unit_power(size),
        inverse_query(size),
        query_norm(stream.numbers<double>(size)),
        slope(size),
        slope_exponent(size) {
    for (std::size_t k = 0; k < size; ++k) {
      const int gap_power = static_cast<int>(k % 5) - 2, query_power = static_cast<int>(k % 9) - 4;
      const double gamma = optimal_score[k];
      exponent[k] = -std::fabs(exponent[k]);
      // A loss gap is positive: the mean of the scores is below the optimal one.
      mean_gap[k] = T(-0.01) - std::fabs(mean_gap[k]);
      shifted_gap[k] = static_cast<T>(std::exp(Number(exponent[k])) * Number(mean_gap[k]));
      largest[k] = T(2) + largest[k];
      pivot_gap[k] = std::max(0.0, pivot_gap[k]);
      gap_unit[k] = std::ldexp(1.0, gap_power);
      unit_power[k] = gap_power + query_power;
      inverse_query[k] = std::ldexp(1.0, -query_power) / static_cast<double>(n);
      query_norm[k] = 1.5 + query_norm[k];
      slope[k] = logistic ? 1.0 / (1.0 + std::exp(-std::fabs(gamma))) : 1.0;
      slope_exponent[k] = logistic ? -std::max(gamma, 0.0) : -gamma;
    }
  }
};

// Calls body(runs) for both losses, some numbers of samples, and rows far from each other.
template <class T, class Body>
void for_each_case(const simd::Isa& isa, Body body) {
  for (const bool logistic : {true, false})
    for (const std::size_t n : {1, 6, 19})
      for (const double spread : {0.0, 1.0, 30.0}) {
        Stream stream(n + static_cast<std::uint64_t>(spread));
        body(Runs<T>(isa, n, logistic, spread, stream));
      }
}

// As row_factors, whose formulas these are, in double and for each run by itself.
template <class T>
void check_factors(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  Worst worst, sizes;
  for_each_case<T>(isa, [&](const Runs<T>& in) {
    std::vector<double> scale(in.size), factor(in.size), size(in.size), top(in.width), sum_of_sizes(in.width);
    isa.kernels<T>().run_factors(
        {in.n, in.logistic, in.exponent.data(), in.shifted_gap.data(), in.largest.data(), in.pivot_gap.data(),
         in.gap_unit.data(), in.optimal_score.data(), in.unit_power.data(), in.inverse_query.data(),
         in.query_norm.data(), scale.data(), factor.data(), top.data(), sum_of_sizes.data(), size.data()});
    for (std::size_t r = 0; r < in.width; ++r) {
      std::size_t first = r;
      for (std::size_t k = r; k < in.size; k += in.width)
        if (size[k] > size[first]) first = k;
      const auto exact_of = [&](std::size_t k) {
        return reference::run_factors<Number>(in.logistic, in.optimal_score[k], in.pivot_gap[k],
                                              Number(in.shifted_gap[k]) * Number(in.gap_unit[k]));
      };
      const auto log_of = [&](std::size_t k) {
        return exact_of(k).log_slope + Number(in.exponent[k]) + std::log(Number(in.gap_unit[k]));
      };
      const auto roundings = [&](std::size_t k) {
        const double power = in.unit_power[k] + std::ilogb(in.largest[k]);
        return 5 * (size_of(exact_of(k).margin) + std::fabs(static_cast<double>(in.exponent[k]))) +
               0.7 * std::fabs(power);
      };
      for (std::size_t k = r; k < in.size; k += in.width) {
        const Number found =
            Number(scale[k]) * Number(factor[k]) / (Number(scale[first]) * Number(factor[first]));
        const double bound = 24 + roundings(k) + roundings(first) + 5 * std::fabs(size[k] - size[first]);
        worst.add(size_of(found / std::exp(log_of(k) - log_of(first)) - 1),
                  1.01 * unit_roundoff<double> * bound);
        // With its exponent, the product of the factors is -l'(m) e^c gap_unit / n.
        const Number whole = log_of(k) - Number(top[r]) - std::log(static_cast<Number>(in.n));
        worst.add(size_of(-Number(scale[k]) * Number(factor[k]) / std::exp(whole) - 1),
                  1.01 * unit_roundoff<double> * (bound + std::fabs(top[r])));
      }
      Number sum = 0;
      for (std::size_t k = r; k < in.size; k += in.width)
        sum += std::fabs(Number(factor[k])) * Number(in.query_norm[k]);
      sizes.add(size_of(Number(sum_of_sizes[r]) - sum),
                1.01 * unit_roundoff<double> * static_cast<double>(in.n + 1) * size_of(sum));
    }
  });
  add_row<T>(rows, isa, "run_factors [of bound]", worst.value(), 1.0);
  add_row<T>(rows, isa, "run_factors sum of sizes [of bound]", sizes.value(), 1.0);
}

template <class T>
void check_gaps(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  Worst worst;
  for_each_case<T>(isa, [&](const Runs<T>& in) {
    std::vector<double> mantissa(in.width), top(in.width), work(2 * in.size);
    isa.kernels<T>().run_gaps({in.n, in.logistic, in.exponent.data(), in.mean_gap.data(),
                               in.shifted_gap.data(), in.pivot_gap.data(), in.gap_unit.data(),
                               in.slope.data(), in.slope_exponent.data(), mantissa.data(), top.data(),
                               work.data()});
    for (std::size_t r = 0; r < in.width; ++r) {
      Number exact = 0;
      double most = 0.0;
      for (std::size_t k = r; k < in.size; k += in.width) {
        const Number delta = Number(in.pivot_gap[k]) - Number(in.shifted_gap[k]) * Number(in.gap_unit[k]);
        exact +=
            reference::run_gaps<Number>(in.logistic, in.optimal_score[k], delta) / static_cast<Number>(in.n);
        most = std::max(most, std::fabs(static_cast<double>(in.exponent[k])) +
                                  std::fabs(in.optimal_score[k]) + size_of(delta));
      }
      const Number found = Number(mantissa[r]) * std::exp(Number(top[r]));
      worst.add(size_of(found / exact - 1), unit_roundoff<double> * (60 + 4 * most));
    }
  });
  add_row<T>(rows, isa, "run_gaps [of bound]", worst.value(), 1.0);
}

template <class T>
void check_steps(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  const double u = unit_roundoff<T>;
  const std::size_t width = isa.kernels<T>().vector_width;
  Worst gram_worst, move_worst;
  for (const std::size_t n : {1, 6, 19})
    for (const std::size_t dim : {1, 4, 10}) {
      const std::size_t stride = simd::round_up_to_lanes<T>(n * width);
      Stream stream(n + dim);
      const std::vector<T> gram = stream.numbers<T>(n * n * width), x = stream.numbers<T>(dim * stride),
                           sum = stream.numbers<T>(dim * stride), step = stream.numbers<T>(width);
      std::vector<T> image(dim * stride), sum_after = sum, projected = sum;
      std::vector<double> squared(width);
      isa.kernels<T>().run_gram({n, dim, stride, gram.data(), x.data(), image.data(), squared.data()});
      for (std::size_t r = 0; r < width; ++r) {
        Number whole = 0;
        double whole_size = 0.0;
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t j = 0; j < dim; ++j) {
            double terms = 0.0;
            for (std::size_t k = 0; k < n; ++k)
              terms += size_of(Number(gram[(i * n + k) * width + r]) * Number(x[j * stride + k * width + r]));
            const std::size_t at = j * stride + i * width + r;
            const Number exact =
                reference::run_gram<Number>(i, j, r, width, n, stride, gram.data(), x.data());
            gram_worst.add(size_of(Number(image[at]) - exact), 1.01 * u * static_cast<double>(n + 1) * terms);
            whole += Number(x[at]) * Number(image[at]);
            whole_size += size_of(Number(x[at]) * Number(image[at]));
          }
        gram_worst.add(
            size_of(Number(squared[r]) - whole),
            1.01 * (u * static_cast<double>(n + 5) + 0x1p-53 * static_cast<double>(dim)) * whole_size);
      }
      isa.kernels<T>().run_move(
          {dim * stride, step.data(), x.data(), image.data(), sum_after.data(), projected.data()});
      const auto compare = [&](T a, T by, T before, T after) {
        move_worst.add(size_of(Number(after) - reference::run_move<Number>(a, by, before)),
                       1.01 * u * (size_of(after) + size_of(Number(a) * Number(by))));
      };
      for (std::size_t k = 0; k < sum.size(); ++k) {
        // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a vector has a lane or more
        compare(step[k % width], x[k], sum[k], sum_after[k]);
        compare(step[k % width], image[k], sum[k], projected[k]);
      }
    }
  add_row<T>(rows, isa, "run_gram [of bound]", gram_worst.value(), 1.0);
  add_row<T>(rows, isa, "run_move [of bound]", move_worst.value(), 1.0);
}

}  // namespace

template <class T>
void check_runs(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  check_factors<T>(isa, rows);
  check_gaps<T>(isa, rows);
  check_steps<T>(isa, rows);
}

template void check_runs<float>(const simd::Isa&, std::vector<CheckRow>&);
template void check_runs<double>(const simd::Isa&, std::vector<CheckRow>&);

}  // namespace softstep::self_check_parts
