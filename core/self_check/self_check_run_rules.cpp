// The kernels for runs side by side that keep W itself, each run against the scalar reference in long double.
// The bounds are those of simd/kernels/run_product.h, run_sign.h, run_momentum.h and run_adam.h.

#include <cmath>
#include <limits>

#include "core/reference/kernels.h"
#include "core/self_check/self_check_parts.h"

namespace softstep::self_check_parts {
namespace {

using Number = long double;

constexpr double not_remembered = std::numeric_limits<double>::quiet_NaN();

double size_of(Number x) { return static_cast<double>(std::fabs(x)); }

template <class T>
void check_product(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  const std::size_t w = isa.kernels<T>().vector_width;
  Worst worst;
  for (const std::size_t n : {1, 6, 19})
    for (const std::size_t dim : {1, 4, 10}) {
      Stream stream(n + dim);
      const std::vector<T> a = stream.numbers<T>(dim * dim * w), b = stream.numbers<T>(dim * n * w);
      std::vector<T> out(dim * n * w);
      std::vector<double> squared(w);
      isa.kernels<T>().run_product(
          {dim, n, dim, a.data(), dim * w, w, b.data(), n * w, w, out.data(), n * w, w, squared.data()});
      for (std::size_t r = 0; r < w; ++r) {
        Number whole = 0;
        for (std::size_t k = r; k < out.size(); k += w) whole += Number(out[k]) * Number(out[k]);
        worst.add(size_of(squared[r] - whole),
                  1.01 * (8.0 * unit_roundoff<T> + static_cast<double>(dim * n) * 0x1p-53) * size_of(whole));
        for (std::size_t i = 0; i < dim; ++i)
          for (std::size_t j = 0; j < n; ++j) {
            double terms = 0.0;
            for (std::size_t k = 0; k < dim; ++k)
              terms += size_of(Number(a[(i * dim + k) * w + r]) * Number(b[(k * n + j) * w + r]));
            const Number exact =
                reference::run_product<Number>(i, j, r, dim, a.data(), dim * w, w, b.data(), n * w, w);
            worst.add(size_of(Number(out[(i * n + j) * w + r]) - exact),
                      1.01 * unit_roundoff<T> * static_cast<double>(dim + 1) * terms);
          }
      }
    }
  add_row<T>(rows, isa, "run_product [of bound]", worst.value(), 1.0);
}

// What becomes of an entry, and how far each part may be off; of what the rule does not remember NaN.
struct Step {
  reference::RunEntry<Number> exact;
  double direction_error, mean_error = not_remembered, root_error = not_remembered;
};

// A step of `rule` (a member of the table of kernels); expected(k) is what becomes of entry k.
template <class T, class Kernel, class Expected>
void check_rule(const simd::Isa& isa, std::vector<CheckRow>& rows, const char* name, Kernel kernel,
                Expected expected_of) {
  const std::size_t w = isa.kernels<T>().vector_width, size = 23;
  Stream stream(7);
  const std::vector<T> gradient = stream.numbers<T>(size * w), weights = stream.numbers<T>(size * w, 9.0);
  const std::vector<double> mean = stream.numbers<double>(size * w), step(w, 0.25), one(w, 1.0), none(w, 0.0),
                            keep(w, 0.9375), take(w, 0.0625);
  std::vector<double> root = stream.numbers<double>(size * w);
  for (double& x : root) x = 1.5 + x;
  std::vector<T> next(size * w);
  std::vector<double> next_mean(size * w), next_root(size * w), squared(w), largest_mean(w), largest_root(w);
  simd::RunRuleArgs<T> args{};
  args.size = size;
  args.gradient = gradient.data();
  args.weights = weights.data();
  args.next_weights = next.data();
  args.step = step.data();
  args.unit = args.unit_again = args.rescale = args.mean_share = args.root_share = one.data();
  args.squared = squared.data();
  args.mean = mean.data();
  args.root = root.data();
  args.next_mean = next_mean.data();
  args.next_root = next_root.data();
  args.keep_mean = args.keep_root = keep.data();
  args.take_mean = args.take_root = take.data();
  args.eps = none.data();
  args.largest_mean = largest_mean.data();
  args.largest_root = largest_root.data();
  (isa.kernels<T>().*kernel)(args);
  Worst worst, memory, sums;
  for (std::size_t r = 0; r < w; ++r) {
    Number direction_squared = 0;
    double squared_error = 0.0, most_mean = 0.0, most_root = 0.0;
    bool has_root = false;
    for (std::size_t k = r; k < size * w; k += w) {
      const Step expected = expected_of(Number(gradient[k]), Number(mean[k]), Number(root[k]));
      const Number direction = expected.exact.direction;
      const double error = expected.direction_error;
      const Number exact = Number(weights[k]) - Number(step[0]) * direction;
      worst.add(size_of(Number(next[k]) - exact),
                1.01 * (0.25 * error + unit_roundoff<T> * size_of(exact) +
                        4 * 0x1p-53 * (std::fabs(static_cast<double>(weights[k])) + size_of(direction))));
      direction_squared += direction * direction;
      squared_error += (2 * size_of(direction) + error) * error;
      has_root = !std::isnan(expected.root_error);
      if (!std::isnan(expected.mean_error))
        memory.add(size_of(next_mean[k] - expected.exact.mean), 1.01 * expected.mean_error);
      if (has_root) memory.add(size_of(next_root[k] - expected.exact.root), 1.01 * expected.root_error);
      most_mean = std::fmax(most_mean, std::fabs(next_mean[k]));
      most_root = std::fmax(most_root, std::fabs(next_root[k]));
    }
    // A product and a sum for each entry. Adam alone looks for the largest, which is one of the numbers.
    sums.add(size_of(squared[r] - direction_squared),
             1.01 * (squared_error + static_cast<double>(size + 1) * 0x1p-53 * size_of(direction_squared)));
    if (!has_root) continue;
    sums.add(std::fabs(largest_mean[r] - most_mean), 0.0);
    sums.add(std::fabs(largest_root[r] - most_root), 0.0);
  }
  add_row<T>(rows, isa, std::string(name) + " [of bound]", worst.value(), 1.0);
  add_row<T>(rows, isa, std::string(name) + " sums [of bound]", sums.value(), 1.0);
  if (memory.is_used()) add_row<T>(rows, isa, std::string(name) + " memory [of bound]", memory.value(), 1.0);
}

}  // namespace

template <class T>
void check_run_rules(const simd::Isa& isa, std::vector<CheckRow>& rows) {
  using Table = simd::Kernels<T>;
  constexpr double u = 0x1p-53;
  constexpr Number keep = 0.9375L, take = 0.0625L;
  check_product<T>(isa, rows);
  check_rule<T>(isa, rows, "run_descent", &Table::run_descent, [](Number g, Number, Number) {
    return Step{reference::run_descent<Number>(g), 2 * u * size_of(g)};
  });
  check_rule<T>(isa, rows, "run_sign", &Table::run_sign, [](Number g, Number, Number) {
    return Step{reference::run_sign<Number>(g), 0.0};
  });
  check_rule<T>(isa, rows, "run_momentum", &Table::run_momentum, [&](Number g, Number v, Number) {
    const double error = 5 * u * (size_of(v) + 2 * size_of(g));
    return Step{reference::run_momentum<Number>(g, v, keep), error, error};
  });
  check_rule<T>(isa, rows, "run_adam", &Table::run_adam, [&](Number g, Number m, Number r) {
    const auto exact = reference::run_adam<Number>(g, keep * m, keep * r, take, take, 1.0L, 1.0L, 0.0L);
    const double terms = size_of(keep * m) + size_of(take * g), root = size_of(exact.root);
    return Step{exact, 13 * u * terms / root, 5 * u * terms, 8 * u * root};
  });
}

template void check_run_rules<float>(const simd::Isa&, std::vector<CheckRow>&);
template void check_run_rules<double>(const simd::Isa&, std::vector<CheckRow>&);

}  // namespace softstep::self_check_parts
