#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/data/digest.h"
#include "core/isa/active_isa.h"
#include "core/losses/loss_terms.h"
#include "core/models/double_gradient.h"
#include "core/models/support_softmax.h"
#include "core/models/support_space.h"

namespace softstep {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T>
class NextTokenModel final : public Model<T> {
 public:
  NextTokenModel(const NextTokenData& data, const std::string& isa)
      : data_(validated(data)), isa_(resolve_isa(isa)), space_(data_) {
    const std::size_t n = data_.n_contexts(), vocabulary = data_.vocabulary, d = data_.dim;
    const double all = std::accumulate(data_.probabilities.begin(), data_.probabilities.end(), 0.0);
    for (double& pi : data_.probabilities) pi /= all;
    in_support_.assign(n * vocabulary, 0);
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0.0, constant = 0.0;
      for (std::size_t k = data_.first[j]; k < data_.first[j + 1]; ++k) sum += data_.labels[k];
      for (std::size_t k = data_.first[j]; k < data_.first[j + 1]; ++k) {
        const double p = data_.labels[k] /= sum;
        in_support_[j * vocabulary + data_.tokens[k]] = 1;
        // (W_F h_j)_v - log p_jv is one number on the support; the mean of what rounding makes of it
        constant += p * (dot(space_.solution.data() + data_.tokens[k] * d, context(j)) - std::log(p));
        entropy_ -= data_.probabilities[j] * p * std::log(p);
      }
      constants_.push_back(constant);
    }
    blocks_ = {{"finite", space_.rank, 1}, {"margin", vocabulary, d}};
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return data_.n_contexts(); }
  std::vector<Observable> observables() const override {
    const std::size_t vocabulary = data_.vocabulary, d = data_.dim;
    return {{"margin", vocabulary, d, 1, 1}, {"finite", vocabulary, d, 0, 1}};
  }
  double optimal_loss() const override { return entropy_; }
  std::string isa() const override { return isa_.name; }
  std::string identity() const override {
    data::Digest digest;
    digest.add(data_.contexts.data(), data_.contexts.size());
    digest.add(data_.probabilities.data(), data_.probabilities.size());
    digest.add(data_.first.data(), data_.first.size());
    digest.add(data_.tokens.data(), data_.tokens.size());
    digest.add(data_.labels.data(), data_.labels.size());
    return "next token, data " + std::to_string(data_.n_contexts()) + " x " +
           std::to_string(data_.vocabulary) + " x " + std::to_string(data_.dim) + " " + digest.text();
  }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }

 protected:
  std::vector<double> observe_at(Point<double> at, std::size_t k) const override {
    if (k == 0) return {at[1].begin(), at[1].end()};
    std::vector<double> w = space_.solution;
    space_.add(at[0].data(), w.data());
    return w;
  }
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override {
    auto& space = static_cast<Space&>(workspace);
    space.deviation.assign(space_.size, 0.0);
    std::vector<double>& theta = space.theta;
    theta.assign(at[0].begin(), at[0].end());
    // What is right relative to theta cannot be right for numbers that have lost their digits; they also no
    // longer shrink.
    for (double& x : theta)
      if (std::fabs(x) < static_cast<double>(std::numeric_limits<T>::min())) x = 0.0;
    space_.add(theta.data(), space.deviation.data());
    space.margin.assign(at[1].begin(), at[1].end());
    const std::size_t n = samples.size(n_samples());
    double share = 0.0;
    for (std::size_t row = 0; row < n; ++row) share += data_.probabilities[samples[row]];
    space.terms.assign(2 * n, Scaled{});
    space.inside.assign(space_.size, 0.0);
    space.outside.assign(space_.size, 0.0);
    space.contexts.resize(n);
    double floor = 0.0;
    for (std::size_t row = 0; row < n; ++row) {
      const std::size_t j = samples[row];
      Context& at_context = space.contexts[row];
      at_context.probability = samples.is_all() ? data_.probabilities[j] : data_.probabilities[j] / share;
      look(j, space, at_context);
      for (std::size_t k = data_.first[j]; k < data_.first[j + 1]; ++k)
        floor -= at_context.probability * data_.labels[k] * std::log(data_.labels[k]);
      Scaled &within = space.terms[2 * row], &beyond = space.terms[2 * row + 1];
      within = at_context.support.divergence;
      beyond = at_context.outside.mantissa == 0.0 ? Scaled{} : log_one_plus(at_context.outside);
      within.mantissa *= at_context.probability;
      beyond.mantissa *= at_context.probability;
    }
    if ((want & (want_loss_gap | want_loss)) != 0) {
      out.loss_gap = sum_scaled(space.terms.data(), space.terms.size());
      out.optimal_loss = floor;
      out.loss = floor + out.loss_gap.value();
      out.loss_scaled = {out.loss, 0.0};
      if (!std::isfinite(out.loss)) out.loss_scaled = out.loss_gap;
      out.accuracy = std::numeric_limits<double>::quiet_NaN();
    }
    if ((want & want_attention) != 0)
      out.min_optimal_attention = out.log10_one_minus_optimal_attention =
          std::numeric_limits<double>::quiet_NaN();
    if ((want & want_gradient) != 0) gradients(space, samples, out);
  }

 private:
  struct Context {
    SupportSoftmax support;
    std::vector<double> o;  // by token, 0 on the support
    Scaled outside;         // R
    double log_rho = -infinity, probability = 0.0;
  };

  struct Space final : Workspace {
    std::vector<double> theta, deviation, margin, inside, outside, x, step, pulled;
    std::vector<Context> contexts;
    std::vector<Scaled> terms;
  };

  static const NextTokenData& validated(const NextTokenData& data) {
    data.validate();
    return data;
  }
  const double* context(std::size_t j) const { return data_.contexts.data() + j * data_.dim; }
  double dot(const double* a, const double* b) const { return isa_.f64->dot(data_.dim, a, b); }

  void look(std::size_t j, Space& space, Context& out) const {
    const std::size_t first = data_.first[j], n = data_.first[j + 1] - first, d = data_.dim;
    const double* h = context(j);
    space.x.resize(n);
    double lift = 0.0;  // what B gives to every token of the support
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t v = data_.tokens[first + k];
      space.x[k] = dot(space.deviation.data() + v * d, h);
      lift += dot(space.margin.data() + v * d, h) / static_cast<double>(n);
    }
    within_support(data_.labels.data() + first, space.x, out.support);
    // Logits outside against log of the mass within: sum p e^(x + constant) e^lift.
    const double mass = out.support.log_sum + constants_[j] + lift;
    out.o.assign(data_.vocabulary, 0.0);
    double top = -infinity;
    for (std::size_t v = 0; v < data_.vocabulary; ++v) {
      if (in_support_[j * data_.vocabulary + v] != 0) continue;
      out.o[v] = dot(space.deviation.data() + v * d, h) + dot(space_.solution.data() + v * d, h) +
                 dot(space.margin.data() + v * d, h) - mass;
      top = out.o[v] <= top ? top : out.o[v];  // NaN stays
    }
    out.outside = {};
    out.log_rho = -infinity;
    if (top == -infinity) return;
    double sum = 0.0;
    for (std::size_t v = 0; v < data_.vocabulary; ++v)
      if (in_support_[j * data_.vocabulary + v] == 0) sum += out.o[v] = std::exp(out.o[v] - top);
    for (double& share : out.o) share /= sum;
    out.outside = {sum, top};
    const Scaled one_plus = log_one_plus(out.outside);
    out.log_rho = top + std::log(sum) - one_plus.value();
  }

  void gradients(Space& space, SampleSet samples, Evaluation<T>& out) const {
    double top_outside = -infinity, top_inside = -infinity;
    for (const Context& at : space.contexts) {
      if (!(at.log_rho <= top_outside)) top_outside = at.log_rho;
      if (!(at.support.exponent <= top_inside)) top_inside = at.support.exponent;
    }
    for (std::size_t row = 0; row < space.contexts.size(); ++row) {
      const Context& at = space.contexts[row];
      const std::size_t j = samples[row];
      // An exponent of -infinity says that there is nothing: e^(-inf - -inf) would be NaN.
      const double rho = at.log_rho == -infinity ? 0.0 : at.probability * std::exp(at.log_rho - top_outside);
      const double unit = at.support.exponent == -infinity
                              ? 0.0
                              : at.probability * std::exp(at.support.exponent - top_inside);
      for (std::size_t v = 0; v < data_.vocabulary; ++v)
        if (in_support_[j * data_.vocabulary + v] == 0) add(rho * at.o[v], j, v, space.outside);
      for (std::size_t k = data_.first[j]; k < data_.first[j + 1]; ++k) {
        const std::size_t s = k - data_.first[j], v = data_.tokens[k];
        add(-rho * at.support.share[s], j, v, space.outside);
        add(unit * at.support.difference[s], j, v, space.inside);
      }
    }
    out.gradients.resize(2);
    std::vector<double>&theta = space.step, &pulled = space.pulled;
    space_.coordinates(space.inside.data(), theta);
    space_.coordinates(space.outside.data(), pulled);
    const double top = std::max(top_inside, top_outside);
    for (std::size_t k = 0; k < theta.size(); ++k)
      theta[k] = (top_inside == -infinity ? 0.0 : theta[k] * std::exp(top_inside - top)) +
                 (top_outside == -infinity ? 0.0 : pulled[k] * std::exp(top_outside - top));
    space_.remove(space.outside.data(), pulled);
    finish(theta, top, out.gradients[0]);
    finish(space.outside, top_outside, out.gradients[1]);
  }

  void add(double factor, std::size_t j, std::size_t v, std::vector<double>& m) const {
    if (factor != 0.0) isa_.f64->axpy(data_.dim, factor, context(j), m.data() + v * data_.dim);
  }

  void finish(const std::vector<double>& values, double exponent, BlockGradient<T>& out) const {
    write_gradient(1.0, values, exponent, isa_.template kernels<T>(), out);
  }

  NextTokenData data_;  // normalised
  const simd::Isa& isa_;
  const SupportSpace space_;
  std::vector<char> in_support_;   // [n, vocabulary]
  std::vector<double> constants_;  // by context: (W_F h)_v - log p_v on the support
  double entropy_ = 0.0;
  std::vector<BlockShape> blocks_;
};

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_next_token_model(const NextTokenData& data, const std::string& isa) {
  return std::make_unique<NextTokenModel<T>>(data, isa);
}

std::vector<std::vector<double>> next_token_blocks(const NextTokenData& data,
                                                   const std::vector<double>& weights) {
  data.validate();
  const SupportSpace space(data);
  std::vector<double> margin = weights;
  if (weights.empty()) margin.assign(space.size, 0.0);
  if (margin.size() != space.size)
    throw InvalidArgument(
        "weights", std::to_string(weights.size()) + " entries (need " + std::to_string(space.size) + ")");
  std::vector<double> theta = space.coordinates(margin.data());
  const std::vector<double> solution = space.coordinates(space.solution.data());
  for (std::size_t k = 0; k < theta.size(); ++k) theta[k] -= solution[k];
  space.remove(margin.data());
  return {theta, margin};
}

template std::unique_ptr<Model<float>> make_next_token_model(const NextTokenData&, const std::string&);
template std::unique_ptr<Model<double>> make_next_token_model(const NextTokenData&, const std::string&);

}  // namespace softstep
