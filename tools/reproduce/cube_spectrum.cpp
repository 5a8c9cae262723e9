#include "reproduce/cube_spectrum.h"

#include <bit>
#include <cmath>

#include "interrupt.h"
#include "softstep/softstep.h"

namespace softstep::program::reproduce {

double parity(std::size_t point, std::size_t set) { return std::popcount(point & set) % 2 != 0 ? -1.0 : 1.0; }

namespace {

// Of every place s the output o_s = (1/n) sum_t (h_s^T W h_t) h_t of linear attention, h_t = (x_t, 1, e_t) /
// sqrt 3.
std::vector<double> attended(std::size_t n, std::size_t point, const std::vector<double>& w) {
  const std::size_t d = n + 2;
  std::vector<double> h(n * d, 0.0), out(n * d, 0.0);
  for (std::size_t t = 0; t < n; ++t) {
    h[t * d] = cube_sign(point, t) / std::sqrt(3.0);
    h[t * d + 1] = h[t * d + 2 + t] = 1.0 / std::sqrt(3.0);
  }
  for (std::size_t s = 0; s < n; ++s) {
    std::vector<double> key(d, 0.0);
    for (std::size_t a = 0; a < d; ++a)
      for (std::size_t b = 0; b < d; ++b) key[b] += h[s * d + a] * w[a * d + b];
    for (std::size_t t = 0; t < n; ++t) {
      double score = 0.0;
      for (std::size_t b = 0; b < d; ++b) score += key[b] * h[t * d + b];
      for (std::size_t b = 0; b < d; ++b) out[s * d + b] += score * h[t * d + b] / static_cast<double>(n);
    }
  }
  return out;
}

// sum_x chi_S(x) v(x) in place, for every S.
void walsh(std::vector<double>& v) {
  for (std::size_t half = 1; half < v.size(); half *= 2)
    for (std::size_t from = 0; from < v.size(); from += 2 * half)
      for (std::size_t k = from; k < from + half; ++k) {
        const double a = v[k], b = v[k + half];
        v[k] = a + b;
        v[k + half] = a - b;
      }
}

// Rows with the same inner products as the features have, as many numbers as there are points: gradient
// descent on the readout of either goes through the same functions. Cholesky.
std::vector<double> square_root(const CubeKernel& kernel) {
  const std::size_t n = kernel.n_points(), m = kernel.n_features;
  std::vector<double> c(n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = 0.0;
      for (std::size_t k = 0; k < m; ++k) sum += kernel.values[i * m + k] * kernel.values[j * m + k];
      for (std::size_t k = 0; k < j; ++k) sum -= c[i * n + k] * c[j * n + k];
      c[i * n + j] = i == j ? std::sqrt(sum) : sum / c[j * n + j];
    }
  return c;
}

// The largest eigenvalue of C C^T / N by the power method, from above enough for a step of 0.9 over it.
double largest_eigenvalue(const std::vector<double>& c, std::size_t n) {
  std::vector<double> v(n, 1.0), product(n);
  double value = 0.0;
  for (int round = 0; round < 50; ++round) {
    product.assign(n, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
      double along = 0.0;
      for (std::size_t j = 0; j < n; ++j) along += c[i * n + j] * v[j];
      for (std::size_t j = 0; j < n; ++j) product[j] += along * c[i * n + j] / static_cast<double>(n);
    }
    double norm = 0.0;
    for (const double x : product) norm += x * x;
    value = std::sqrt(norm);
    for (std::size_t j = 0; j < n; ++j) v[j] = product[j] / value;
  }
  return value;
}

}  // namespace

CubeKernel cube_kernel(std::size_t n, std::size_t n_draws, std::size_t per_draw, CubeFeatures features,
                       std::uint64_t seed) {
  CubeKernel out{n, n_draws, n_draws * per_draw, {}};
  const std::size_t n_points = out.n_points(), d = features == CubeFeatures::relu ? n : n + 2;
  out.values.assign(n_points * out.n_features, 0.0);
  const double scale = 1.0 / std::sqrt(static_cast<double>(out.n_features));
  for (std::size_t draw = 0; draw < n_draws; ++draw) {
    const std::vector<double> w =
        normal_values(d * d, 1.0 / std::sqrt(static_cast<double>(d)), seed + 2 * draw);
    const std::vector<double> u = normal_values(per_draw * d, 1.0, seed + 2 * draw + 1);
    for (std::size_t point = 0; point < n_points; ++point) {
      std::vector<double> inputs;
      double size = std::sqrt(static_cast<double>(n));
      if (features == CubeFeatures::relu) {
        for (std::size_t t = 0; t < n; ++t) inputs.push_back(cube_sign(point, t));
        size = 1.0 / size;
      } else {
        inputs = attended(n, point, w);
      }
      // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a cube has a dimension
      const std::size_t n_places = inputs.size() / d;
      const double sign = features == CubeFeatures::twisted ? parity(point, n_points - 1) : 1.0;
      for (std::size_t k = 0; k < per_draw; ++k) {
        double mean = 0.0;
        for (std::size_t s = 0; s < n_places; ++s) {
          double z = 0.0;
          for (std::size_t j = 0; j < d; ++j) z += inputs[s * d + j] * u[k * d + j];
          mean += z > 0.0 ? z * size / static_cast<double>(n_places) : 0.0;
        }
        out.values[point * out.n_features + draw * per_draw + k] = sign * scale * mean;
      }
    }
  }
  return out;
}

CubeSpectrum spectrum_of(const CubeKernel& kernel) {
  const std::size_t n_points = kernel.n_points(), per_draw = kernel.n_features / kernel.n_draws;
  const auto n_draws = static_cast<double>(kernel.n_draws);
  std::vector<double> sum(kernel.n + 1, 0.0), squares(kernel.n + 1, 0.0), sets(kernel.n + 1, 0.0);
  for (std::size_t set = 0; set < n_points; ++set) sets[static_cast<std::size_t>(std::popcount(set))] += 1.0;
  for (std::size_t draw = 0; draw < kernel.n_draws; ++draw) {
    std::vector<double> of_draw(kernel.n + 1, 0.0), column(n_points);
    for (std::size_t k = draw * per_draw; k < (draw + 1) * per_draw; ++k) {
      for (std::size_t point = 0; point < n_points; ++point)
        column[point] = kernel.values[point * kernel.n_features + k] / static_cast<double>(n_points);
      walsh(column);
      for (std::size_t set = 0; set < n_points; ++set)
        of_draw[static_cast<std::size_t>(std::popcount(set))] += column[set] * column[set];
    }
    for (std::size_t k = 0; k <= kernel.n; ++k) {
      const double value = n_draws * of_draw[k] / sets[k];
      sum[k] += value;
      squares[k] += value * value;
    }
  }
  CubeSpectrum out;
  for (std::size_t k = 0; k <= kernel.n; ++k) {
    const double mean = sum[k] / n_draws;
    out.by_degree.push_back(mean);
    out.error.push_back(
        std::sqrt(std::fmax(0.0, squares[k] / n_draws - mean * mean) / std::fmax(1.0, n_draws - 1.0)));
  }
  return out;
}

CubeLearning learn_parities(const CubeKernel& kernel, std::size_t n_degrees, std::int64_t n_steps) {
  const std::size_t n = kernel.n_points();
  const std::vector<double> points = square_root(kernel);
  std::vector<double> targets(n, 0.0);
  std::vector<std::vector<double>> along(n_degrees, std::vector<double>(n, 0.0));  // C^T chi / N
  for (std::size_t k = 0; k < n_degrees; ++k)
    for (std::size_t i = 0; i < n; ++i) {
      const double chi = parity(i, (std::size_t{2} << k) - 1);
      targets[i] += chi;
      for (std::size_t j = 0; j < n; ++j) along[k][j] += chi * points[i * n + j] / static_cast<double>(n);
    }
  BatchView<double> batch;
  batch.tokens = points.data();
  batch.targets = targets.data();
  batch.n_samples = n;
  batch.n_tokens = 1;
  batch.dim = n;
  const auto model = make_linear_model(batch, {.loss = Loss::squared});
  TrainState<double> state = initial_state(*model);
  TrainerOptions trainer;
  RuleSettings rule{"gd", {}};
  rule.options["step-size"] = 0.9 / largest_eigenvalue(points, n);
  trainer.rules = {rule};
  trainer.n_steps = n_steps;
  trainer.trace_rows_per_decade = 100;
  CubeLearning out;
  out.left.resize(n_degrees);
  trainer.trace = [&](const TraceRecord& record) {
    if (record.step == 0) return !interrupted();
    out.steps.push_back(static_cast<double>(record.step));
    for (std::size_t k = 0; k < n_degrees; ++k) {
      double learned = 0.0;
      for (std::size_t j = 0; j < n; ++j) learned += along[k][j] * state.blocks[0][j];
      out.left[k].push_back(1.0 - learned);
    }
    return !interrupted();
  };
  train(*model, state, trainer);
  return out;
}

}  // namespace softstep::program::reproduce
