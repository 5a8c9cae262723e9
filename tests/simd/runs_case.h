#pragma once

// Runs side by side with random numbers, for the kernels run_factors, run_gaps, run_gram and run_move, in
// arrays that end at a protected page.

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>

#include "simd/dispatch.h"
#include "support/guarded.h"

namespace softstep::test {

template <class T>
struct RunsCase {
  const std::size_t n, dim, width, columns;
  const bool logistic;
  // run_factors
  Guarded<T> exponent, mean_gap, shifted_gap, largest;
  Guarded<double> pivot_gap, gap_unit, optimal_score, unit_power, inverse_query, query_norm, row_scale,
      row_factor, top, sum_of_sizes, size;
  // run_gaps
  Guarded<double> slope, slope_exponent, gap_mantissa, gap_top, work;
  // run_gram and run_move
  Guarded<T> gram, rows, image, sum, projected, step;
  Guarded<double> squared;

  RunsCase(const simd::Isa& isa, std::size_t n_samples, std::size_t d, bool is_logistic,
           std::mt19937_64& random, double spread = 5.0)
      : n(n_samples),
        dim(d),
        width(isa.kernels<T>().vector_width),
        columns(simd::round_up_to_lanes<T>(n * width)),
        logistic(is_logistic),
        exponent(n * width),
        mean_gap(n * width),
        shifted_gap(n * width),
        largest(n * width),
        pivot_gap(n * width),
        gap_unit(n * width),
        optimal_score(n * width),
        unit_power(n * width),
        inverse_query(n * width),
        query_norm(n * width),
        row_scale(n * width),
        row_factor(n * width),
        top(width),
        sum_of_sizes(width),
        size(n * width),
        slope(n * width),
        slope_exponent(n * width),
        gap_mantissa(width),
        gap_top(width),
        work(2 * n * width),
        gram(n * n * width),
        rows(dim * columns),
        image(dim * columns),
        sum(dim * columns),
        projected(dim * columns),
        step(width),
        squared(width) {
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    const auto number = [&](double low, double high) { return low + (high - low) * uniform(random); };
    for (std::size_t k = 0; k < n * width; ++k) {
      exponent[k] = static_cast<T>(-spread * uniform(random));
      mean_gap[k] = static_cast<T>(number(-1, 1));
      set_shifted_gap(k);
      pivot_gap[k] = random() % 2 == 0 ? 0.0 : uniform(random);
      largest[k] = static_cast<T>(std::ldexp(1.0 + uniform(random), static_cast<int>(random() % 20) - 10));
      const int gap_power = static_cast<int>(random() % 5) - 2,
                query_power = static_cast<int>(random() % 9) - 4;
      gap_unit[k] = std::ldexp(1.0, gap_power);
      optimal_score[k] = number(-3, 7);
      unit_power[k] = gap_power + query_power;
      inverse_query[k] = std::ldexp(1.0, -query_power) / static_cast<double>(n);
      query_norm[k] = number(0.5, 2);
    }
    for (std::size_t k = 0; k < gram.size(); ++k) gram[k] = static_cast<T>(number(-1, 1));
    for (Guarded<T>* array : {&rows, &image, &sum, &projected})
      for (std::size_t k = 0; k < array->size(); ++k) (*array)[k] = static_cast<T>(number(-1, 1));
    for (std::size_t r = 0; r < width; ++r) step[r] = static_cast<T>(number(-1, 1));
    set_scores(random, 5.0, 2);
  }

  simd::RunFactorsArgs<T> factors_args() {
    return {.n = n,
            .logistic = logistic,
            .exponent = exponent.data(),
            .shifted_gap = shifted_gap.data(),
            .largest = largest.data(),
            .pivot_gap = pivot_gap.data(),
            .gap_unit = gap_unit.data(),
            .optimal_score = optimal_score.data(),
            .unit_power = unit_power.data(),
            .inverse_query = inverse_query.data(),
            .query_norm = query_norm.data(),
            .row_scale = row_scale.data(),
            .row_factor = row_factor.data(),
            .top = top.data(),
            .sum_of_sizes = sum_of_sizes.data(),
            .size = size.data()};
  }
  void set_shifted_gap(std::size_t k) {
    shifted_gap[k] = static_cast<T>(std::exp(static_cast<double>(exponent[k])) * mean_gap[k]);
  }
  /// Scores gamma_opt up to a size, and gaps of samples that attend to the optimal token (1), to another (0),
  /// or to either (2).
  void set_scores(std::mt19937_64& random, double scores, int at_optimal) {
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    for (std::size_t k = 0; k < n * width; ++k) {
      const double gamma = optimal_score[k] = scores * (2.0 * uniform(random) - 1.0);
      const bool is_optimal = at_optimal == 1 || (at_optimal == 2 && random() % 2 == 0);
      mean_gap[k] = static_cast<T>(-0.01 - uniform(random));
      set_shifted_gap(k);
      pivot_gap[k] = is_optimal ? 0.0 : 0.01 + (scores + 1.0) * uniform(random);
      slope[k] = logistic ? 1.0 / (1.0 + std::exp(-std::fabs(gamma))) : 1.0;
      slope_exponent[k] = logistic ? -std::fmax(gamma, 0.0) : -gamma;
    }
  }
  simd::RunGapsArgs<T> gaps_args() {
    return {.n = n,
            .logistic = logistic,
            .exponent = exponent.data(),
            .mean_gap = mean_gap.data(),
            .shifted_gap = shifted_gap.data(),
            .pivot_gap = pivot_gap.data(),
            .gap_unit = gap_unit.data(),
            .slope = slope.data(),
            .slope_exponent = slope_exponent.data(),
            .mantissa = gap_mantissa.data(),
            .top = gap_top.data(),
            .work = work.data()};
  }
  simd::RunGramArgs<T> gram_args() {
    return {n, dim, columns, gram.data(), rows.data(), image.data(), squared.data()};
  }
  simd::RunMoveArgs<T> move_args() {
    return {dim * columns, step.data(), rows.data(), image.data(), sum.data(), projected.data()};
  }
  /// Makes everything of the other runs NaN.
  void spoil_all_but(std::size_t run) {
    for (Guarded<T>* array : {&exponent, &mean_gap, &shifted_gap, &largest, &gram, &step})
      for (std::size_t k = 0; k < array->size(); ++k)
        if (k % width != run) (*array)[k] = std::numeric_limits<T>::quiet_NaN();
    for (Guarded<T>* array : {&rows, &image, &sum, &projected})
      for (std::size_t k = 0; k < array->size(); ++k)
        if (k % columns % width != run) (*array)[k] = std::numeric_limits<T>::quiet_NaN();
  }
};

}  // namespace softstep::test
