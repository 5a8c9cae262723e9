// The attention layer with diagonal K and Q, as a prompt over the tokens x z.

#include "softstep/diagonal_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/data/text.h"
#include "core/isa/active_isa.h"
#include "core/models/double_gradient.h"
#include "core/models/loss_check.h"
#include "core/threads/start.h"
#include "softstep/attention_model.h"
#include "softstep/error.h"

namespace softstep {

const char* to_string(DiagonalForm form) { return form == DiagonalForm::factored ? "factored" : "combined"; }

void DiagonalAttentionOptions::validate() const {
  require_finite_optimal_loss(optimal_loss_value);
  check_thread_count(n_threads);
}

namespace {

// Token (x z, x / 2^power) of 2 dim entries and the decoder (0, 2^power u): a prompt over the first half has
// the scores of diag(w), and scores u^T x are what they were. The power brings both halves to one size, so
// that the gradient's mantissa serves the first.
template <class T>
struct Features {
  std::vector<T> tokens, decoder, targets;
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int8_t> labels;
  std::size_t dim = 0;

  explicit Features(const BatchView<T>& batch) : dim(2 * batch.dim) {
    batch.validate();
    if (!batch.has_single_queries())
      throw InvalidArgument("batch", "several queries a sample, or weights of queries (need one query each)");
    if (batch.decoder == nullptr) throw InvalidArgument("decoder", "missing (need one)");
    const std::size_t d = batch.dim;
    double product = 0.0, token = 0.0, of_decoder = 0.0;
    bool lost = false;  // a product that is no normal number, of factors that are not zero
    for (std::size_t i = 0; i < batch.n_samples; ++i) {
      const T* z = batch.query(i);
      for (std::size_t t = 0; t < batch.tokens_of(i); ++t) {
        const T* x = batch.sample(i) + t * batch.row_stride();
        for (std::size_t j = 0; j < d; ++j) {
          tokens.push_back(x[j] * z[j]);
          if (!std::isfinite(tokens.back()))
            throw InvalidArgument("tokens", "sample " + std::to_string(i) +
                                                ": the product of a token and its query is not finite");
          lost = lost || (x[j] != T(0) && z[j] != T(0) && !std::isnormal(tokens.back()));
          product = std::fmax(product, std::fabs(static_cast<double>(tokens.back())));
          token = std::fmax(token, std::fabs(static_cast<double>(x[j])));
        }
        tokens.insert(tokens.end(), x, x + d);
      }
      offsets.push_back(offsets.back() + static_cast<std::int64_t>(batch.tokens_of(i)));
      if (batch.targets != nullptr)
        targets.push_back(batch.targets[i]);
      else
        labels.push_back(batch.labels[i]);
    }
    // Beside ordinary products what is lost is below rounding. Alone it would be a gradient of zero.
    constexpr T least = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
    if (lost && product < static_cast<double>(least))
      throw InvalidArgument("tokens", "the products of tokens and queries underflow (the largest is " +
                                          data::number_text(product) + ")");
    for (std::size_t j = 0; j < d; ++j)
      of_decoder = std::fmax(of_decoder, std::fabs(static_cast<double>(batch.decoder[j])));
    // As far as the decoder can make up for it.
    const int room = std::numeric_limits<T>::max_exponent - 1 - power_of(of_decoder);
    const int power =
        std::clamp(product == 0.0 ? 0 : power_of(token) - power_of(product), -60, std::min(60, room));
    for (std::size_t k = d; k < tokens.size(); k += 2 * d)
      for (std::size_t j = 0; j < d; ++j) tokens[k + j] = std::ldexp(tokens[k + j], -power);
    decoder.assign(2 * d, T(0));
    for (std::size_t j = 0; j < d; ++j) decoder[d + j] = std::ldexp(batch.decoder[j], power);
  }
  BatchView<T> view() const {
    BatchView<T> out;
    out.tokens = tokens.data();
    out.n_samples = offsets.size() - 1;
    out.dim = dim;
    out.offsets = offsets.data();
    out.labels = targets.empty() ? labels.data() : nullptr;
    out.targets = targets.empty() ? nullptr : targets.data();
    out.decoder = decoder.data();
    return out;
  }
};

AttentionOptions prompt_options(const DiagonalAttentionOptions& options) {
  options.validate();
  AttentionOptions out;
  out.key_query = KeyQuery::prompt;
  out.loss = options.loss;
  out.optimal_loss = options.optimal_loss;
  out.optimal_loss_value = options.optimal_loss_value;
  out.n_threads = options.n_threads;
  out.isa = options.isa;
  return out;
}

template <class T>
class DiagonalAttentionModel final : public Model<T> {
 public:
  DiagonalAttentionModel(const BatchView<T>& batch, const DiagonalAttentionOptions& options)
      : is_factored_(options.form == DiagonalForm::factored),
        dim_(batch.dim),
        isa_(resolve_isa(options.isa)),
        features_(batch),
        prompt_(features_.view(), prompt_options(options)) {
    if (is_factored_)
      blocks_ = {{"keys", dim_, 1}, {"queries", dim_, 1}};
    else
      blocks_ = {{"weights", dim_, 1}};
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return prompt_.n_samples(); }
  std::vector<Observable> observables() const override { return {{"weights", dim_, 1, 0, blocks_.size()}}; }
  double optimal_loss() const override { return prompt_.optimal_loss(); }
  std::string isa() const override { return prompt_.isa(); }
  int threads_used() const override { return prompt_.threads_used(); }
  std::string identity() const override {
    return std::string("diagonal K and Q, ") + (is_factored_ ? "factored" : "combined") + ", " +
           prompt_.identity();
  }
  std::unique_ptr<Workspace> make_workspace() const override {
    auto space = std::make_unique<Space>();
    space->prompt = prompt_.make_workspace();
    return space;
  }

 protected:
  std::vector<double> observe_at(Point<double> at, std::size_t) const override { return weights_of(at); }

  void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                   SampleSet samples) const override {
    auto& space = static_cast<Space&>(workspace);
    const std::vector<double> w = weights_of(at);
    space.block.assign(2 * dim_, T(0));
    std::transform(w.begin(), w.end(), space.block.begin(), [](double x) { return static_cast<T>(x); });
    // The gradients of `out` may point into the caller's memory: those of the prompt have a place of their
    // own.
    const std::span<const T> block(space.block);
    std::swap(space.gradients, out.gradients);
    prompt_.evaluate(Point<T>(&block, 1), out, *space.prompt, want, samples);
    std::swap(space.gradients, out.gradients);
    if ((want & want_gradient) == 0) return;
    const BlockGradient<T>& slope = space.gradients[0];
    out.gradients.resize(blocks_.size());
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      space.sum.resize(dim_);
      for (std::size_t j = 0; j < dim_; ++j) {
        const double other = is_factored_ ? static_cast<double>(at[1 - b][j]) : 1.0;
        space.sum[j] = other * static_cast<double>(slope.mantissa()[j]);
      }
      // A prompt without rows says so by its exponent alone.
      const bool is_zero = slope.exponent == -std::numeric_limits<double>::infinity();
      write_gradient(1.0, space.sum, is_zero ? 0.0 : slope.exponent, isa_.template kernels<T>(),
                     out.gradients[b]);
    }
  }

 private:
  struct Space final : Workspace {
    std::unique_ptr<Workspace> prompt;
    std::vector<T> block;
    std::vector<BlockGradient<T>> gradients;
    std::vector<double> sum;
  };

  template <class U>
  std::vector<double> weights_of(Point<U> at) const {
    std::vector<double> w(at[0].begin(), at[0].end());
    if (is_factored_)
      for (std::size_t j = 0; j < dim_; ++j) w[j] *= static_cast<double>(at[1][j]);
    return w;
  }

  bool is_factored_;
  std::size_t dim_;
  const simd::Isa& isa_;
  const Features<T> features_;
  const AttentionModel<T> prompt_;
  std::vector<BlockShape> blocks_;
};

}  // namespace

template <NumberType T>
std::unique_ptr<Model<T>> make_diagonal_attention_model(const BatchView<T>& batch,
                                                        const DiagonalAttentionOptions& options) {
  return std::make_unique<DiagonalAttentionModel<T>>(batch, options);
}

template std::unique_ptr<Model<float>> make_diagonal_attention_model(const BatchView<float>&,
                                                                     const DiagonalAttentionOptions&);
template std::unique_ptr<Model<double>> make_diagonal_attention_model(const BatchView<double>&,
                                                                      const DiagonalAttentionOptions&);

}  // namespace softstep
