// Linear attention on the moments of in-context linear regression.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/data/checked_size.h"
#include "core/data/digest.h"
#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "core/models/double_gradient.h"
#include "softstep/error.h"
#include "softstep/in_context.h"

namespace softstep {

const char* to_string(HeadForm form) { return form == HeadForm::merged ? "merged" : "separate"; }

void InContextRegression::validate() const {
  if (spectrum.empty()) throw InvalidArgument("spectrum", "no entries (need at least 1)");
  for (std::size_t j = 0; j < spectrum.size(); ++j)
    if (!(spectrum[j] > 0.0) || !std::isfinite(spectrum[j]))
      throw InvalidArgument("spectrum", "entry " + std::to_string(j) + ": " + data::number_text(spectrum[j]) +
                                            " (need a positive finite number)");
  if (n_examples < 1) throw InvalidArgument("n_examples", std::to_string(n_examples) + " (need at least 1)");
}

void InContextOptions::validate() const {
  if (n_heads < 1) throw InvalidArgument("n_heads", std::to_string(n_heads) + " (need at least 1)");
  if (rank < 1) throw InvalidArgument("rank", std::to_string(rank) + " (need at least 1)");
  if (form == HeadForm::merged && rank != 1)
    throw InvalidArgument("rank", std::to_string(rank) + " (only separate heads have one)");
}

namespace {

// (lambda + tr(Lambda)) / N for each eigenvalue: what N examples leave open. With it s = lambda + noise, A =
// Lambda s and M* = 1 / s.
std::vector<double> noise_of(const InContextRegression& data) {
  const double trace = std::accumulate(data.spectrum.begin(), data.spectrum.end(), 0.0);
  std::vector<double> out;
  for (const double lambda : data.spectrum)
    out.push_back((lambda + trace) / static_cast<double>(data.n_examples));
  return out;
}

// A block over a power of two, so that products of small blocks do not underflow.
struct ScaledBlock {
  std::vector<double> values;
  int power = 0;
  template <class T>
  void set(std::span<const T> block) {
    values.assign(block.begin(), block.end());
    double largest = 0.0;
    for (const double x : values) largest = std::fmax(largest, std::fabs(x));
    power = power_of(largest);
    for (double& x : values) x = std::ldexp(x, -power);
  }
};

template <class T>
class InContextModel final : public Model<T> {
 public:
  InContextModel(const InContextRegression& data, const InContextOptions& options)
      : data_(data), options_(options), isa_(resolve_isa(options.isa)), dim_(data.spectrum.size()) {
    data_.validate();
    options_.validate();
    std::size_t size = 0;
    const bool is_merged = options_.form == HeadForm::merged;
    if (!data::multiply(options_.n_heads, is_merged ? dim_ : options_.rank, data::max_bytes / 8, size) ||
        !data::multiply(size, dim_, data::max_bytes / 8, size))
      throw InvalidArgument("n_heads", std::to_string(options_.n_heads) + " (blocks do not fit in memory)");
    if (!is_merged && options_.n_heads * options_.rank < dim_)
      throw InvalidArgument("rank", std::to_string(options_.rank) + " times " +
                                        std::to_string(options_.n_heads) + " heads (need the dimension " +
                                        std::to_string(dim_) + " or more)");
    blocks_ = {{"values", options_.n_heads, 1}};
    if (is_merged) {
      blocks_.push_back({"matrices", options_.n_heads * dim_, dim_});
    } else {
      blocks_.push_back({"keys", options_.n_heads * options_.rank, dim_});
      blocks_.push_back({"queries", options_.n_heads * options_.rank, dim_});
    }
    scale_ = coarse_power<double>(*std::max_element(data_.spectrum.begin(), data_.spectrum.end()));
    InContextRegression scaled = data_;
    for (double& lambda : scaled.spectrum) lambda = std::ldexp(lambda, -scale_);
    spectrum_ = scaled.spectrum;
    const std::vector<double> noise = noise_of(scaled);
    for (std::size_t j = 0; j < dim_; ++j) {
      const double lambda = spectrum_[j];
      moments_.push_back(lambda * (lambda + noise[j]));
      optimum_.push_back(1.0 / (lambda + noise[j]));
      // lambda - lambda^2 / (lambda + noise), without the subtraction
      optimal_loss_ += lambda * noise[j] * optimum_.back();
    }
    optimal_loss_ = std::ldexp(optimal_loss_, scale_);
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return 1; }
  std::vector<Observable> observables() const override {
    return {{"product", dim_, dim_, 0, blocks_.size()}};
  }
  double optimal_loss() const override { return optimal_loss_; }
  std::string isa() const override { return isa_.name; }
  std::unique_ptr<Workspace> make_workspace() const override { return std::make_unique<Space>(); }
  std::string identity() const override {
    data::Digest digest;
    digest.add(data_.spectrum.data(), data_.spectrum.size());
    return std::string("in-context regression, ") + to_string(options_.form) + ", heads " +
           std::to_string(options_.n_heads) + ", rank " + std::to_string(options_.rank) + ", examples " +
           std::to_string(data_.n_examples) + ", spectrum " + std::to_string(dim_) + " " + digest.text();
  }

 protected:
  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet) const override {
    auto& space = static_cast<Space&>(workspace);
    set_product<T>(at, scale_, space);
    // A (M* - M) Lambda, half of -dL/dM over 2^(2 scale)
    space.residual.resize(dim_ * dim_);
    double gap = 0.0;
    for (std::size_t i = 0; i < dim_; ++i)
      for (std::size_t j = 0; j < dim_; ++j) {
        const double missing = (i == j ? optimum_[i] : 0.0) - space.product[i * dim_ + j];
        const double weight = moments_[i] * spectrum_[j];
        space.residual[i * dim_ + j] = weight * missing;
        gap += weight * missing * missing;
      }
    if ((want & (want_loss_gap | want_loss)) != 0) {
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
    if (options_.form == HeadForm::merged)
      set_merged(space, out);
    else
      set_separate(space, out);
  }

  std::vector<double> observe_at(Point<double> at, std::size_t) const override {
    Space space;
    set_product<double>(at, 0, space);
    return space.product;
  }

 private:
  struct Space final : Workspace {
    ScaledBlock blocks[3];
    std::vector<double> product, residual, sums[3];
  };

  // M times 2^scale.
  template <class U>
  void set_product(Point<U> at, int scale, Space& space) const {
    for (std::size_t b = 0; b < blocks_.size(); ++b) space.blocks[b].set(at[b]);
    const simd::Kernels<double>& kernels = *isa_.f64;
    const auto& [values, keys, queries] = space.blocks;
    space.product.assign(dim_ * dim_, 0.0);
    int power = values.power + keys.power + scale;
    if (options_.form == HeadForm::merged) {
      for (std::size_t head = 0; head < options_.n_heads; ++head)
        kernels.axpy(dim_ * dim_, values.values[head], keys.values.data() + head * dim_ * dim_,
                     space.product.data());
    } else {
      power += queries.power;
      for (std::size_t row = 0; row < options_.n_heads * options_.rank; ++row)
        for (std::size_t i = 0; i < dim_; ++i)
          kernels.axpy(dim_, values.values[row / options_.rank] * keys.values[row * dim_ + i],
                       queries.values.data() + row * dim_, space.product.data() + i * dim_);
    }
    for (double& x : space.product) x = std::ldexp(x, power);
  }

  // -dL/d(block) = 2 sum 2^power, `power` of the blocks that it is made of.
  void write(Space& space, Evaluation<T>& out, std::size_t block, int power) const {
    write_gradient(-1.0, space.sums[block], (power + 1 + 2 * scale_) * std::log(2.0),
                   isa_.template kernels<T>(), out.gradients[block]);
  }

  // <U_i, R>, v_i R
  void set_merged(Space& space, Evaluation<T>& out) const {
    const auto& [values, matrices, none] = space.blocks;
    const std::size_t size = dim_ * dim_;
    space.sums[0].resize(options_.n_heads);
    space.sums[1].assign(options_.n_heads * size, 0.0);
    for (std::size_t head = 0; head < options_.n_heads; ++head) {
      space.sums[0][head] = isa_.f64->dot(size, matrices.values.data() + head * size, space.residual.data());
      isa_.f64->axpy(size, values.values[head], space.residual.data(), space.sums[1].data() + head * size);
    }
    write(space, out, 0, matrices.power);
    write(space, out, 1, values.power);
  }

  // sum_r k_r^T R q_r, v R q_r, v R^T k_r
  void set_separate(Space& space, Evaluation<T>& out) const {
    const simd::Kernels<double>& kernels = *isa_.f64;
    const auto& [values, keys, queries] = space.blocks;
    const std::size_t n_rows = options_.n_heads * options_.rank;
    space.sums[0].assign(options_.n_heads, 0.0);
    space.sums[1].assign(n_rows * dim_, 0.0);
    space.sums[2].assign(n_rows * dim_, 0.0);
    for (std::size_t row = 0; row < n_rows; ++row) {
      const std::size_t head = row / options_.rank;
      const double* key = keys.values.data() + row * dim_;
      const double* query = queries.values.data() + row * dim_;
      for (std::size_t i = 0; i < dim_; ++i) {
        const double* residual = space.residual.data() + i * dim_;
        const double through = kernels.dot(dim_, residual, query);
        space.sums[0][head] += key[i] * through;
        space.sums[1][row * dim_ + i] = values.values[head] * through;
        kernels.axpy(dim_, values.values[head] * key[i], residual, space.sums[2].data() + row * dim_);
      }
    }
    write(space, out, 0, keys.power + queries.power);
    write(space, out, 1, values.power + queries.power);
    write(space, out, 2, values.power + keys.power);
  }

  const InContextRegression data_;
  const InContextOptions options_;
  const simd::Isa& isa_;
  std::size_t dim_;
  std::vector<BlockShape> blocks_;
  int scale_ = 0;  // the spectrum is 2^scale times spectrum_, whose cubes double holds
  std::vector<double> spectrum_;
  std::vector<double> moments_, optimum_;  // the diagonals of A and M* of that spectrum
  double optimal_loss_ = 0.0;
};

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_in_context_model(const InContextRegression& data,
                                                const InContextOptions& options) {
  return std::make_unique<InContextModel<T>>(data, options);
}

std::vector<double> in_context_optimum(const InContextRegression& data) {
  data.validate();
  const std::size_t dim = data.spectrum.size();
  const std::vector<double> noise = noise_of(data);
  std::vector<double> out(dim * dim, 0.0);
  for (std::size_t j = 0; j < dim; ++j) out[j * dim + j] = 1.0 / (data.spectrum[j] + noise[j]);
  return out;
}

template std::unique_ptr<Model<float>> make_in_context_model(const InContextRegression&,
                                                             const InContextOptions&);
template std::unique_ptr<Model<double>> make_in_context_model(const InContextRegression&,
                                                              const InContextOptions&);

}  // namespace softstep
