// In-context regression from several tasks: what the loss is in closed form.

#include "core/models/multitask_moments.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "core/data/checked_size.h"
#include "core/data/text.h"
#include "core/layer/units.h"
#include "softstep/error.h"

namespace softstep {

const char* to_string(ExampleWeights weights) {
  return weights == ExampleWeights::free ? "free" : weights == ExampleWeights::gated ? "gated" : "constant";
}

std::size_t MultitaskRegression::n_all_examples() const {
  return std::accumulate(n_examples.begin(), n_examples.end(), std::size_t{0});
}

void MultitaskRegression::validate() const {
  const auto entry = [](std::size_t k, const std::string& value, const char* need) {
    return "entry " + std::to_string(k) + ": " + value + " (need " + need + ")";
  };
  if (spectrum.empty()) throw InvalidArgument("spectrum", "no entries (need at least 1)");
  for (std::size_t j = 0; j < spectrum.size(); ++j)
    if (!(spectrum[j] > 0.0) || !std::isfinite(spectrum[j]))
      throw InvalidArgument("spectrum", entry(j, data::number_text(spectrum[j]), "a positive finite number"));
  if (n_examples.empty()) throw InvalidArgument("n_examples", "no entries (need at least 1 task)");
  std::size_t total = 0, size = 0;
  for (std::size_t k = 0; k < n_examples.size(); ++k) {
    if (n_examples[k] < 1) throw InvalidArgument("n_examples", entry(k, "0", "at least 1 example"));
    if (n_examples[k] > data::max_bytes / 8 - total ||
        !data::multiply(total + n_examples[k], spectrum.size() * spectrum.size(), data::max_bytes / 8, size))
      throw InvalidArgument(
          "n_examples", entry(k, std::to_string(n_examples[k]), "as many as fit in memory with all tasks"));
    total += n_examples[k];
  }
  if (correlations.size() != n_examples.size())
    throw InvalidArgument("correlations", std::to_string(correlations.size()) +
                                              " entries (need one for each of " +
                                              std::to_string(n_examples.size()) + " tasks)");
  bool any = false;
  for (std::size_t k = 0; k < correlations.size(); ++k) {
    if (!(std::fabs(correlations[k]) <= 1.0))
      throw InvalidArgument("correlations",
                            entry(k, data::number_text(correlations[k]), "a number from -1 to 1"));
    any = any || correlations[k] != 0.0;
  }
  if (!any) throw InvalidArgument("correlations", "all 0 (nothing can be learned from the examples)");
  if (!(noise >= 0.0) || !std::isfinite(noise))
    throw InvalidArgument("noise", data::number_text(noise) + " (need a finite number, 0 or more)");
  // The best weights are of the size 1 / rho, their spreads of 1 / rho^2 times what follows; squares of those
  // are numbers.
  double largest = 0.0, all = noise;
  for (const double rho : correlations) largest = std::max(largest, std::fabs(rho));
  for (const double s : spectrum) all += s;
  if (largest < 1e-30)
    throw InvalidArgument("correlations", "the largest in size " + data::number_text(largest) +
                                              " (need one of at least 1e-30)");
  for (std::size_t j = 0; j < spectrum.size(); ++j)
    if (!(all / spectrum[j] <= 1e80))
      throw InvalidArgument("spectrum", entry(j, data::number_text(spectrum[j]),
                                              "at least 1e-80 of its sum with the noise, which is finite"));
}

void GatedOptions::validate() const {
  if (weights != ExampleWeights::constant && !gates.empty())
    throw InvalidArgument("gates",
                          std::to_string(gates.size()) + " entries (only constant weights have them)");
  for (std::size_t k = 0; k < gates.size(); ++k)
    if (!(gates[k] > 0.0 && gates[k] <= 1.0))
      throw InvalidArgument("gates", "entry " + std::to_string(k) + ": " + data::number_text(gates[k]) +
                                         " (need a number above 0, at most 1)");
}

MultitaskMoments::MultitaskMoments(const MultitaskRegression& regression) : data(regression) {
  data.validate();
  const std::size_t n_tasks = data.n_tasks(), dim = data.spectrum.size();
  const double trace = std::accumulate(data.spectrum.begin(), data.spectrum.end(), 0.0) + data.noise;
  for (const double s : data.spectrum) noise_ratios.push_back(1.0 + trace / s);

  // Within a task all examples weigh the same, and R is diag(1 - rho^2) + rho rho^T between tasks.
  MultitaskSums sums;
  const auto set_best = [&](double h) {
    best.resize(n_tasks);
    double along = 0.0;
    for (std::size_t k = 0; k < n_tasks; ++k) {
      const double rho = data.correlations[k], n = static_cast<double>(data.n_examples[k]);
      best[k] = rho / ((1.0 - rho * rho) * n + h);
      along += n * rho * best[k];
    }
    for (double& weight : best) weight /= along;
    sums.along = sums.seen = 1.0;
    sums.squared = 0.0;
    for (std::size_t k = 0; k < n_tasks; ++k) {
      const double rho = data.correlations[k], n = static_cast<double>(data.n_examples[k]);
      sums.seen += (1.0 - rho * rho) * n * n * best[k] * best[k];
      sums.squared += n * best[k] * best[k];
    }
  };
  const auto gain = [&] {
    double sum = 0.0;
    for (std::size_t i = 0; i < dim; ++i) sum += data.spectrum[i] / spread(sums, i);
    return sum;
  };
  // Where L is stationary, h is a mean of all h_i: the best of a grid, and then the fixed point beside it.
  double least = noise_ratios[0], most = least;
  for (const double h : noise_ratios) {
    least = std::fmin(least, h);
    most = std::fmax(most, h);
  }
  double best_gain = -1.0;
  constexpr int n_grid = 64;
  for (int k = 0; k <= n_grid; ++k) {
    const double h = least * std::pow(most / least, static_cast<double>(k) / n_grid);
    set_best(h);
    if (gain() > best_gain) {
      best_gain = gain();
      ridge = h;
    }
  }
  for (int round = 0; round < 2000; ++round) {
    set_best(ridge);
    double weighted = 0.0, weights = 0.0;
    for (std::size_t i = 0; i < dim; ++i) {
      const double weight = data.spectrum[i] / (spread(sums, i) * spread(sums, i));
      weighted += weight * noise_ratios[i];
      weights += weight;
    }
    const double before = ridge;
    ridge = weighted / weights;
    if (std::fabs(ridge - before) <= 4.0 * std::numeric_limits<double>::epsilon() * ridge) break;
  }
  set_best(ridge);
  // tr S + noise - sum_i S_i / D*_i, without the subtraction
  optimal_loss = data.noise;
  for (std::size_t i = 0; i < dim; ++i) {
    best_spread_.push_back(spread(sums, i));
    optimal_loss += data.spectrum[i] * ((sums.seen - 1.0) + sums.squared * noise_ratios[i]) / best_spread_[i];
  }
}

void MultitaskMoments::set_sums(MultitaskSums& sums) const {
  sums.of_task.assign(data.n_tasks(), 0.0);
  sums.squared = sums.along = sums.seen = 0.0;
  std::size_t at = 0;
  for (std::size_t k = 0; k < data.n_tasks(); ++k) {
    const double rho = data.correlations[k];
    for (std::size_t n = 0; n < data.n_examples[k]; ++n, ++at) {
      sums.of_task[k] += sums.weights[at];
      sums.squared += sums.weights[at] * sums.weights[at];
    }
    sums.along += rho * sums.of_task[k];
    sums.seen += (1.0 - rho * rho) * sums.of_task[k] * sums.of_task[k];
  }
  sums.seen += sums.along * sums.along;
}

double MultitaskMoments::weight_gap(const MultitaskSums& sums) const {
  const double c = sums.along;
  double far = 0.0, all = 0.0;
  for (std::size_t i = 0; i < data.spectrum.size(); ++i) {
    const double d = spread(sums, i);
    all += data.spectrum[i] / best_spread_[i];
    far += d == 0.0 ? 0.0 : data.spectrum[i] * c * c / d;
  }
  // Far from the best weights a subtraction loses nothing.
  if (!(far > all / 16.0)) return all - far;
  double overlap = 0.0, squared = 0.0, within = 0.0;  // w*^T e, |e|^2, e^T (R - r r^T) e
  std::size_t at = 0;
  for (std::size_t k = 0; k < data.n_tasks(); ++k) {
    const double rho = data.correlations[k];
    double of_task = 0.0;
    for (std::size_t n = 0; n < data.n_examples[k]; ++n, ++at) {
      const double e = sums.weights[at] / c - best[k];
      overlap += best[k] * e;
      squared += e * e;
      of_task += e;
    }
    within += (1.0 - rho * rho) * of_task * of_task;
  }
  double gap = 0.0;
  for (std::size_t i = 0; i < data.spectrum.size(); ++i) {
    const double more = within + noise_ratios[i] * squared;
    const double off = 2.0 * (noise_ratios[i] - ridge) * overlap + more;
    const double best_of_i = best_spread_[i];
    gap += data.spectrum[i] * (more - off * off / (best_of_i + off)) / (best_of_i * best_of_i);
  }
  return gap < 0.0 ? 0.0 : gap;
}

std::vector<double> multitask_weights(const MultitaskRegression& data) {
  std::vector<double> out = MultitaskMoments(data).best;
  std::size_t last = out.size() - 1;
  while (out[last] == 0.0) --last;
  const double unit = out[last];
  for (double& weight : out) weight /= unit;
  return out;
}

double multitask_loss(const MultitaskRegression& data, const std::vector<double>& weights) {
  const MultitaskMoments moments(data);
  if (weights.size() != data.n_tasks())
    throw InvalidArgument("weights", std::to_string(weights.size()) + " entries (need one for each of " +
                                         std::to_string(data.n_tasks()) + " tasks)");
  MultitaskSums sums;
  double largest = 0.0;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (!std::isfinite(weights[k]))
      throw InvalidArgument("weights", "entry " + std::to_string(k) + ": " + data::number_text(weights[k]) +
                                           " (need a finite number)");
    largest = std::fmax(largest, std::fabs(weights[k]));
  }
  // The loss does not depend on a factor, and squares may leave the range.
  const int power = power_of(largest);
  for (std::size_t k = 0; k < weights.size(); ++k)
    sums.weights.insert(sums.weights.end(), data.n_examples[k], std::ldexp(weights[k], -power));
  moments.set_sums(sums);
  return moments.optimal_loss + moments.weight_gap(sums);
}

}  // namespace softstep
