#include <algorithm>
#include <string>

#include "core/models/attention_rows.h"
#include "core/models/key_query_maps.h"
#include "core/objective/gradient_size.h"

namespace softstep {
namespace {

template <class T>
std::unique_ptr<KeyQueryMap<T>> make_map(const AttentionModelOptions& options, std::size_t dim) {
  switch (options.key_query) {
    case KeyQuery::combined:
      return std::make_unique<CombinedMap<T>>(dim);
    case KeyQuery::factored:
      return std::make_unique<FactoredMap<T>>(dim, options.rank);
    case KeyQuery::prompt:
      return std::make_unique<PromptMap<T>>(dim);
  }
  return nullptr;
}

template <class T>
const BatchView<T>& validated(const BatchView<T>& batch, const AttentionModelOptions& options) {
  batch.validate();
  options.objective.validate();
  if (options.key_query == KeyQuery::factored && (options.rank < 1 || options.rank > batch.dim))
    throw InvalidArgument(
        "rank", std::to_string(options.rank) + " (need 1 to dim = " + std::to_string(batch.dim) + ")");
  if (options.objective.token_storage != StoredTokens::working)
    throw InvalidArgument("token_storage", std::string(to_string(options.objective.token_storage)) +
                                               " goes with the fixed decoder and the combined matrix only");
  const OptimalLoss mode = options.objective.optimal_loss;
  if (options.train_decoder && mode != OptimalLoss::zero && mode != OptimalLoss::value)
    throw InvalidArgument("optimal_loss",
                          std::string(to_string(mode)) +
                              " is that of a fixed decoder; with a trained one zero fits, or a value");
  return batch;
}

template <class T>
class AttentionModel final : public Model<T> {
 public:
  AttentionModel(const BatchView<T>& batch, const AttentionModelOptions& options)
      : rows_(validated(batch, options), options.objective, options.train_decoder),
        map_(make_map<T>(options, batch.dim)),
        blocks_(map_->blocks()),
        n_map_blocks_(blocks_.size()),
        isa_(rows_.isa.name) {
    const std::size_t d = batch.dim;
    observables_.push_back({"weights", d, options.key_query == KeyQuery::prompt ? 1 : d, 0, n_map_blocks_});
    if (options.train_decoder) {
      blocks_.push_back({"decoder", d, 1});
      observables_.push_back({"decoder", d, 1, n_map_blocks_, 1});
    }
    queries_.assign(batch.n_samples * rows_.stride, T(0));
    projected_.assign(batch.n_samples * rows_.stride, T(0));
    factors_.resize(batch.n_samples);
  }

  const std::vector<BlockShape>& blocks() const override { return blocks_; }
  std::size_t n_samples() const override { return rows_.batch.n_samples; }
  const std::vector<Observable>& observables() const override { return observables_; }
  double optimal_loss() const override { return rows_.optimal_loss(); }
  const std::string& isa() const override { return isa_; }

  void evaluate(const std::vector<const T*>& at, ModelEvaluation<T>& out, unsigned want,
                SampleSet samples) override {
    choose(samples);
    const bool want_rows = (want & want_gradient) != 0;
    map_->project(rows_, queries_.data(), at.data(), projected_.data());
    rows_.attend(projected_.data(), trains_decoder() ? at.back() : nullptr, want_rows);
    if ((want & (want_loss_gap | want_loss)) != 0) rows_.loss(out);
    if ((want & want_attention) != 0) rows_.attention_of_optimal(out);
    if (want_rows) gradients(at, out);
  }

  std::vector<double> observe(const std::vector<const double*>& at, std::size_t k) const override {
    if (k == 0) return map_->matrix(at.data());
    return {at.back(), at.back() + rows_.batch.dim};
  }

 private:
  bool trains_decoder() const { return blocks_.size() > n_map_blocks_; }

  void choose(SampleSet samples) {
    rows_.choose(samples);
    const bool all = samples.indices == nullptr;
    if (all && has_all_queries_) return;
    has_all_queries_ = all;
    const std::size_t d = rows_.batch.dim;
    for (std::size_t row = 0; row < rows_.n_chosen(); ++row) {
      T* z = queries_.data() + row * rows_.stride;
      std::copy_n(rows_.batch.query(rows_.sample(row)), d, z);
      factors_[row] = map_->largest_factor(z, d);
    }
  }

  void gradients(const std::vector<const T*>& at, ModelEvaluation<T>& out) {
    out.gradients.resize(blocks_.size());
    map_->backward(rows_, queries_.data(), factors_.data(), at.data(), out.gradients.data());
    for (std::size_t k = 0; k < n_map_blocks_; ++k) {
      BlockGradient<T>& gradient = out.gradients[k];
      gradient.values.resize(blocks_[k].size());
      if (!is_without_rows(gradient.exponent, gradient.values, gradient.norm))
        gradient.norm = finished_norm(rows_.kernels, gradient.values, gradient.exponent);
    }
    if (trains_decoder()) rows_.decoder_gradient(out.gradients.back());
  }

  AttentionRows<T> rows_;
  std::unique_ptr<KeyQueryMap<T>> map_;
  std::vector<BlockShape> blocks_;
  const std::size_t n_map_blocks_;
  std::vector<Observable> observables_;
  const std::string isa_;
  bool has_all_queries_ = false;
  std::vector<T> queries_, projected_;
  std::vector<double> factors_;  // largest entry of what a row is multiplied by
};

}  // namespace

template <class T>
std::unique_ptr<Model<T>> make_attention_model(const BatchView<T>& batch,
                                               const AttentionModelOptions& options) {
  return std::make_unique<AttentionModel<T>>(batch, options);
}

template std::unique_ptr<Model<float>> make_attention_model(const BatchView<float>&,
                                                            const AttentionModelOptions&);
template std::unique_ptr<Model<double>> make_attention_model(const BatchView<double>&,
                                                             const AttentionModelOptions&);

}  // namespace softstep
