// Gated linear attention on the moments of in-context regression from several tasks.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/data/checked_size.h"
#include "core/data/digest.h"
#include "core/isa/active_isa.h"
#include "core/models/double_gradient.h"
#include "core/models/multitask_moments.h"
#include "softstep/error.h"
#include "softstep/gated.h"

namespace softstep {

namespace {

// log g and log(1 - g) of a gate from its log-odds.
double log_gate(double odds) {
  return odds < 0.0 ? odds - std::log1p(std::exp(odds)) : -std::log1p(std::exp(-odds));
}

template <class T>
class GatedModel final : public Model<T> {
 public:
  GatedModel(const MultitaskRegression& data, const GatedOptions& options)
      : data_(valid(data)),
        scale_(coarse_power<double>(*std::max_element(data.spectrum.begin(), data.spectrum.end()))),
        moments_(over(data, scale_)),
        optimal_loss_(std::ldexp(moments_.optimal_loss, scale_)),
        options_(options),
        isa_(resolve_isa(options.isa)),
        dim_(data.spectrum.size()) {
    options_.validate();
    const std::size_t n_tasks = data.n_tasks();
    blocks_ = {{"matrix", dim_, dim_}};
    if (options_.weights == ExampleWeights::free) blocks_.push_back({"weights", data.n_all_examples(), 1});
    if (options_.weights == ExampleWeights::gated) {
      if (n_tasks < 2) throw InvalidArgument("n_examples", "1 task (a gate stands between two)");
      blocks_.push_back({"gates", n_tasks - 1, 1});
    }
    if (options_.weights == ExampleWeights::constant && options_.gates.size() != n_tasks - 1)
      throw InvalidArgument("gates", std::to_string(options_.gates.size()) +
                                         " entries (need one less than the " + std::to_string(n_tasks) +
                                         " tasks)");
    for (std::size_t task = 0; task < n_tasks; ++task)
      task_of_.insert(task_of_.end(), data.n_examples[task], task);
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return 1; }
  std::vector<Observable> observables() const override {
    return {{"map", task_of_.size(), dim_ * dim_, 0, blocks_.size()}};
  }
  double optimal_loss() const override { return optimal_loss_; }
  std::string isa() const override { return isa_.name; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }
  std::string identity() const override {
    data::Digest digest;
    digest.add(data_.spectrum.data(), dim_);
    digest.add(data_.n_examples.data(), data_.n_tasks());
    digest.add(data_.correlations.data(), data_.n_tasks());
    digest.add(data_.noise);
    digest.add(options_.gates.data(), options_.gates.size());
    return std::string("multitask regression, weights ") + to_string(options_.weights) + ", dim " +
           std::to_string(dim_) + ", examples " + std::to_string(task_of_.size()) + ", " + digest.text();
  }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet) const override {
    auto& space = static_cast<Space&>(workspace);
    set_blocks<T>(at, space);
    if ((want & (want_loss_gap | want_loss)) != 0) {
      const double gap = moments_.weight_gap(space.sums) + matrix_gap(space);
      out.loss = optimal_loss_ + std::ldexp(gap, scale_);
      out.loss_scaled = {out.loss, 0.0};
      out.loss_gap = {gap, scale_ * std::log(2.0)};
      out.optimal_loss = optimal_loss_;
      out.accuracy = std::numeric_limits<double>::quiet_NaN();
    }
    if ((want & want_attention) != 0)
      out.min_optimal_attention = out.log10_one_minus_optimal_attention =
          std::numeric_limits<double>::quiet_NaN();
    if ((want & want_gradient) == 0) return;
    out.gradients.resize(blocks_.size());
    set_matrix_gradient(space, out);
    if (blocks_.size() == 1) return;
    set_weight_gradient(space);
    const double exponent = (space.matrix_power + 2 * scale_) * std::log(2.0);
    if (options_.weights == ExampleWeights::free)
      write(space, out, exponent);
    else
      write(space, out, exponent + set_gate_gradient(space));
  }

  std::vector<double> observe_at(Point<double> at, std::size_t) const override {
    Space space;
    set_blocks<double>(at, space);
    std::vector<double> out;
    for (const double weight : space.sums.weights)
      for (const double entry : space.matrix)
        out.push_back(std::ldexp(weight * entry, space.matrix_power + space.weight_power));
    return out;
  }

 private:
  // Blocks over powers of two, so that products of small blocks do not underflow.
  struct Space final : Workspace {
    std::vector<double> matrix, log_weights, shut, sum, slopes;
    MultitaskSums sums;
    int matrix_power = 0, weight_power = 0;
  };

  static int bring_near_one(std::vector<double>& values) {
    double largest = 0.0;
    for (const double x : values) largest = std::fmax(largest, std::fabs(x));
    const int power = power_of(largest);
    for (double& x : values) x = std::ldexp(x, -power);
    return power;
  }

  template <class U>
  void set_blocks(Point<U> at, Space& space) const {
    space.matrix.assign(at[0].begin(), at[0].end());
    space.matrix_power = bring_near_one(space.matrix);
    std::vector<double>& weights = space.sums.weights;
    space.weight_power = 0;
    if (options_.weights == ExampleWeights::free) {
      weights.assign(at[1].begin(), at[1].end());
      space.weight_power = bring_near_one(weights);
    } else {
      // of the last task 0: it has no gate behind it
      const std::size_t n_tasks = moments_.data.n_tasks();
      space.log_weights.assign(n_tasks, 0.0);
      space.shut.resize(n_tasks - 1);
      for (std::size_t k = n_tasks - 1; k-- > 0;) {
        double gate;
        if (options_.weights == ExampleWeights::gated) {
          const auto odds = static_cast<double>(at[1][k]);
          gate = log_gate(odds);
          space.shut[k] = log_gate(-odds);
        } else {
          gate = std::log(options_.gates[k]);
        }
        space.log_weights[k] = space.log_weights[k + 1] + gate;
      }
      weights.resize(task_of_.size());
      for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::exp(space.log_weights[task_of_[i]]);
    }
    moments_.set_sums(space.sums);
  }

  // P as it is in front of weights that have been brought near 1 and of the spectrum of moments_.
  double entry(const Space& space, std::size_t at) const {
    return std::ldexp(space.matrix[at], space.matrix_power + space.weight_power + scale_);
  }

  // P less the best for these weights, 0 without weights, and its factor in the gap.
  double missing(const Space& space, std::size_t i, std::size_t j) const {
    const double best =
        i == j ? space.sums.along / (moments_.data.spectrum[i] * moments_.spread(space.sums, i)) : 0.0;
    return entry(space, i * dim_ + j) - best;
  }
  double curvature(const Space& space, std::size_t i, std::size_t j) const {
    const double s = moments_.data.spectrum[j];
    return moments_.data.spectrum[i] * s * s * moments_.spread(space.sums, j);
  }
  static bool has_weights(const Space& space) { return space.sums.squared != 0.0; }

  double matrix_gap(const Space& space) const {
    double gap = 0.0;
    for (std::size_t i = 0; i < dim_ && has_weights(space); ++i)
      for (std::size_t j = 0; j < dim_; ++j) {
        const double off = missing(space, i, j);
        gap += curvature(space, i, j) * off * off;
      }
    return gap;
  }

  void set_matrix_gradient(Space& space, Evaluation<T>& out) const {
    space.sum.assign(dim_ * dim_, 0.0);
    for (std::size_t i = 0; i < dim_ && has_weights(space); ++i)
      for (std::size_t j = 0; j < dim_; ++j)
        space.sum[i * dim_ + j] = 2.0 * curvature(space, i, j) * missing(space, i, j);
    write_gradient(1.0, space.sum, (space.weight_power + 2 * scale_) * std::log(2.0),
                   isa_.template kernels<T>(), out.gradients[0]);
  }

  // dL/dw over 2^(matrix_power + 2 scale): -2 tr(S P S) r + 2 tr(S P S^2 P^T) R w + 2 tr(S P B P^T) w
  void set_weight_gradient(Space& space) const {
    const MultitaskRegression& data = moments_.data;
    double first = 0.0, second = 0.0, third = 0.0;
    for (std::size_t i = 0; i < dim_; ++i) {
      const double s = data.spectrum[i];
      first += s * s * space.matrix[i * dim_ + i];
      for (std::size_t j = 0; j < dim_; ++j) {
        const double p = space.matrix[i * dim_ + j], t = data.spectrum[j];
        second += s * p * p * t * t;
        third += s * p * p * t * t * moments_.noise_ratios[j];
      }
    }
    space.slopes.resize(task_of_.size());
    const double factor = std::ldexp(1.0, space.matrix_power + space.weight_power + scale_);
    for (std::size_t i = 0; i < space.slopes.size(); ++i) {
      const std::size_t task = task_of_[i];
      const double rho = data.correlations[task];
      const double seen = (1.0 - rho * rho) * space.sums.of_task[task] + rho * space.sums.along;
      space.slopes[i] = 2.0 * (factor * (second * seen + third * space.sums.weights[i]) - first * rho);
    }
    space.sum = space.slopes;
  }

  // From dL/dw to the log-odds: (1 - g_j) sum of w_i dL/dw_i over the tasks up to j. Returns the exponent.
  double set_gate_gradient(Space& space) const {
    const std::size_t n_gates = space.shut.size();
    double top = -std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < n_gates; ++j) {
      const double size = space.shut[j] + space.log_weights[j];
      if (!(size <= top)) top = size;
    }
    std::vector<double>& sum = space.sum;
    sum.assign(n_gates, 0.0);
    for (std::size_t j = 0; j < n_gates; ++j)
      for (std::size_t i = 0; i < task_of_.size() && task_of_[i] <= j; ++i)
        sum[j] += std::exp(space.shut[j] + space.log_weights[task_of_[i]] - top) * space.slopes[i];
    return top;
  }

  void write(Space& space, Evaluation<T>& out, double exponent) const {
    write_gradient(1.0, space.sum, exponent, isa_.template kernels<T>(), out.gradients[1]);
  }

  static const MultitaskRegression& valid(const MultitaskRegression& data) {
    data.validate();
    return data;
  }
  static MultitaskRegression over(MultitaskRegression data, int power) {
    for (double& s : data.spectrum) s = std::ldexp(s, -power);
    data.noise = std::ldexp(data.noise, -power);
    return data;
  }

  const MultitaskRegression data_;
  const int scale_;  // spectrum and noise are 2^scale times those of moments_, whose cubes double holds
  const MultitaskMoments moments_;
  const double optimal_loss_;
  const GatedOptions options_;
  const simd::Isa& isa_;
  std::size_t dim_;
  std::vector<BlockShape> blocks_;
  std::vector<std::size_t> task_of_;  // of an example
};

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_gated_model(const MultitaskRegression& data, const GatedOptions& options) {
  return std::make_unique<GatedModel<T>>(data, options);
}

template std::unique_ptr<Model<float>> make_gated_model(const MultitaskRegression&, const GatedOptions&);
template std::unique_ptr<Model<double>> make_gated_model(const MultitaskRegression&, const GatedOptions&);

}  // namespace softstep
