// The expected correlation loss of one hidden layer over Gaussian clusters, in closed form.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/data/digest.h"
#include "core/isa/active_isa.h"
#include "core/models/double_gradient.h"
#include "core/models/normal_tail.h"
#include "core/models/outer_layer.h"
#include "softstep/error.h"
#include "softstep/relu_network.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// |w|, and w / |w| in `direction`, zero for w = 0. Over the largest entry, so that no square leaves the
// range.
double direction_of(const double* w, std::size_t dim, double* direction) {
  double largest = 0.0;
  for (std::size_t j = 0; j < dim; ++j)
    if (!(std::fabs(w[j]) <= largest)) largest = std::fabs(w[j]);
  if (largest == 0.0) {
    std::fill(direction, direction + dim, 0.0);
    return 0.0;
  }
  double squared = 0.0;
  for (std::size_t j = 0; j < dim; ++j) squared += (w[j] / largest) * (w[j] / largest);
  const double length = std::sqrt(squared);
  for (std::size_t j = 0; j < dim; ++j) direction[j] = w[j] / largest / length;
  return largest * length;
}

template <class T>
class ReluPopulationModel final : public Model<T> {
 public:
  ReluPopulationModel(const GaussianClusters& clusters, std::size_t n_neurons,
                      const std::vector<double>& outer, const std::string& isa)
      : clusters_(clusters), n_neurons_(n_neurons), outer_(outer), isa_(resolve_isa(isa)) {
    clusters.validate();
    validate_outer(n_neurons, outer);
    blocks_ = outer_blocks(n_neurons, clusters.dim, outer);
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return clusters_.n_clusters(); }
  double optimal_loss() const override { return -infinity; }
  std::string isa() const override { return isa_.name; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }
  std::string identity() const override {
    data::Digest digest;
    digest.add(clusters_.means.data(), clusters_.means.size());
    digest.add(clusters_.probabilities.data(), clusters_.probabilities.size());
    digest.add(clusters_.labels.data(), clusters_.labels.size());
    digest.add(clusters_.sigma);
    digest.add(outer_.data(), outer_.size());
    return "relu population, clusters " + std::to_string(clusters_.n_clusters()) + " x " +
           std::to_string(clusters_.dim) + ", neurons " + std::to_string(n_neurons_) + " " + digest.text();
  }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override {
    auto& space = static_cast<Space&>(workspace);
    const std::size_t d = clusters_.dim, n = samples.size(n_samples());
    set_outer<T>(outer_, at, space.outer);
    space.weights.assign(at[0].begin(), at[0].end());
    space.directions.resize(n_neurons_ * d);
    space.tails.resize(n_neurons_ * n);
    space.outputs.resize(n_neurons_);
    space.norms.resize(n_neurons_);
    double top = -infinity;
    for (std::size_t k = 0; k < n_neurons_; ++k) {
      double* w = space.directions.data() + k * d;
      space.norms[k] = direction_of(space.weights.data() + k * d, d, w);
      for (std::size_t row = 0; row < n; ++row) {
        const std::size_t c = samples[row];
        const double along = isa_.f64->dot(d, w, clusters_.means.data() + c * d);
        space.tails[k * n + row] = {along, tail_at(along, space.norms[k])};
        const double exponent = space.tails[k * n + row].normal.exponent;
        if (!(exponent <= top)) top = exponent;
      }
    }
    if (top == -infinity) top = 0.0;  // no tail is a number above 0
    if ((want & (want_loss_gap | want_loss)) != 0) {
      set_outputs(space, samples, top);
      out.loss_scaled = {0.0, top};
      for (std::size_t k = 0; k < n_neurons_; ++k)
        out.loss_scaled.mantissa -= space.outer[k] * space.outputs[k];
      out.loss = out.loss_scaled.value();
      out.loss_gap = {infinity, 0.0};
      out.optimal_loss = -infinity;
      out.accuracy = std::numeric_limits<double>::quiet_NaN();
    }
    if ((want & want_attention) != 0)
      out.min_optimal_attention = out.log10_one_minus_optimal_attention =
          std::numeric_limits<double>::quiet_NaN();
    if ((want & want_gradient) == 0) return;
    space.sum.assign(n_neurons_ * d, 0.0);
    for (std::size_t k = 0; k < n_neurons_; ++k) {
      double* sum = space.sum.data() + k * d;
      double along_direction = 0.0;
      for (std::size_t row = 0; row < n; ++row) {
        const std::size_t c = samples[row];
        const NormalTail& tail = space.tails[k * n + row].normal;
        const double factor = space.outer[k] * share(c, n) * std::exp(tail.exponent - top);
        const double* mu = clusters_.means.data() + c * d;
        if (tail.mean != 0.0) {
          // Along w' the two terms cancel.
          const double* w = space.directions.data() + k * d;
          const double along = space.tails[k * n + row].along;
          along_direction += factor * clusters_.sigma * tail.mean;
          for (std::size_t j = 0; j < d; ++j) sum[j] += factor * tail.probability * (mu[j] - along * w[j]);
          continue;
        }
        along_direction += factor * clusters_.sigma * tail.density;
        isa_.f64->axpy(d, factor * tail.probability, mu, sum);
      }
      isa_.f64->axpy(d, along_direction, space.directions.data() + k * d, sum);
    }
    out.gradients.resize(blocks_.size());
    write_gradient(-1.0, space.sum, top, isa_.template kernels<T>(), out.gradients[0]);
    if (blocks_.size() == 1) return;
    set_outputs(space, samples, top);
    write_gradient(-1.0, space.outputs, top, isa_.template kernels<T>(), out.gradients[1]);
  }

 private:
  struct Tail {
    double along;  // w'^T mu_c
    NormalTail normal;
  };
  struct Space final : Workspace {
    std::vector<double> weights, outer, directions, norms, outputs, sum;
    std::vector<Tail> tails;
  };

  // E y relu(w_k^T x) e^-top of every neuron.
  void set_outputs(Space& space, SampleSet samples, double top) const {
    const std::size_t n = samples.size(n_samples());
    for (std::size_t k = 0; k < n_neurons_; ++k) {
      double sum = 0.0;
      for (std::size_t row = 0; row < n; ++row) {
        const auto& [along, tail] = space.tails[k * n + row];
        const double output = tail.mean != 0.0 ? clusters_.sigma * tail.mean
                                               : along * tail.probability + clusters_.sigma * tail.density;
        sum += share(samples[row], n) * output * std::exp(tail.exponent - top);
      }
      space.outputs[k] = space.norms[k] * sum;
    }
  }

  // pi_c y_c, in a mean over n clusters.
  double share(std::size_t c, std::size_t n) const {
    const double all = static_cast<double>(n_samples());
    return clusters_.probabilities[c] * clusters_.labels[c] * (all / static_cast<double>(n));
  }

  // Without a spread, and for a neuron at 0, a step.
  NormalTail tail_at(double along, double norm) const {
    if (clusters_.sigma > 0.0 && norm != 0.0) return normal_tail(along / clusters_.sigma);
    return {along >= 0.0 ? 1.0 : along < 0.0 ? 0.0 : along, 0.0, 0.0};
  }

  const GaussianClusters clusters_;
  const std::size_t n_neurons_;
  const std::vector<double> outer_;
  const simd::Isa& isa_;
  std::vector<BlockShape> blocks_;
};

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_relu_population_model(const GaussianClusters& clusters, std::size_t n_neurons,
                                                     const std::vector<double>& outer,
                                                     const std::string& isa) {
  return std::make_unique<ReluPopulationModel<T>>(clusters, n_neurons, outer, isa);
}

template std::unique_ptr<Model<float>> make_relu_population_model(const GaussianClusters&, std::size_t,
                                                                  const std::vector<double>&,
                                                                  const std::string&);
template std::unique_ptr<Model<double>> make_relu_population_model(const GaussianClusters&, std::size_t,
                                                                   const std::vector<double>&,
                                                                   const std::string&);

}  // namespace softstep
