#include "softstep/attention_model.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/data/digest.h"
#include "core/data/token_rows.h"
#include "core/isa/active_isa.h"
#include "core/layer/slope_sum.h"
#include "core/models/attention/attention_hessian.h"
#include "core/models/attention/attention_parts.h"
#include "core/models/attention/key_query_maps.h"
#include "core/models/loss_check.h"
#include "core/ranks/alike.h"
#include "core/ranks/in_order.h"
#include "core/threads/start.h"
#include "softstep/error.h"

namespace softstep {

void AttentionOptions::validate() const {
  require_finite_optimal_loss(optimal_loss_value);
  check_thread_count(n_threads);
}

namespace {

template <class T>
void check(const BatchView<T>& batch, const AttentionOptions& options) {
  options.validate();
  if (options.key_query == KeyQuery::factored && (options.rank < 1 || options.rank > batch.dim))
    throw InvalidArgument(
        "rank", std::to_string(options.rank) + " (need 1 to dim = " + std::to_string(batch.dim) + ")");
  if (options.token_storage == (sizeof(T) == sizeof(float) ? StoredType::f64 : StoredType::f32))
    throw InvalidArgument("token_storage", std::string(to_string(options.token_storage)) +
                                               " (need the type that is computed with, or 16 bits)");
  if (in_16_bits(options.token_storage)) {
    if (sizeof(T) != sizeof(float)) throw InvalidArgument("token_storage", "16 bits go with float32 only");
    if (options.key_query != KeyQuery::combined || options.train_decoder)
      throw InvalidArgument("token_storage", std::string(to_string(options.token_storage)) +
                                                 " goes with the fixed decoder and the combined matrix only");
  }
  if (options.key_query == KeyQuery::prompt && !batch.has_single_queries())
    throw InvalidArgument("key_query",
                          "prompt stands in place of the query (the batch has several queries a sample, or "
                          "weights of queries)");
  const LossOf loss(options.loss, options.own_loss.get());
  require_known_infimum(loss, options.optimal_loss, batch.targets != nullptr);
  if (options.train_decoder && options.optimal_loss != OptimalLoss::zero &&
      options.optimal_loss != OptimalLoss::value)
    throw InvalidArgument("optimal_loss",
                          std::string(to_string(options.optimal_loss)) +
                              " is that of a fixed decoder; with a trained one zero fits, or a value");
}

// Throws on all ranks where their models are others: what a text says of the samples is of all ranks, and the
// rest of this one.
void require_same_model(Ranks* ranks, const std::string& identity) {
  data::Digest digest;
  digest.add(identity);
  const std::vector<std::uint64_t> all = gathered(ranks, digest.state());
  for (std::size_t r = 1; r < all.size(); ++r)
    if (all[r] != all[0])
      throw InvalidArgument("ranks", "rank " + std::to_string(r) +
                                         " has another decoder, loss or form of the model than rank 0 (need "
                                         "the same on all ranks)");
}

template <class T>
std::vector<BlockShape> blocks_of(const AttentionOptions& options, std::size_t dim) {
  std::vector<BlockShape> blocks = make_map<T>(options, dim)->blocks();
  if (options.train_decoder) blocks.push_back({"decoder", dim, 1});
  return blocks;
}

// One evaluation at a time, and the map's own work space.
template <class T>
struct Space final : Workspace {
  Space(const AttentionData<T>& data, const AttentionOptions& options)
      : layer(data), map(make_map<T>(options, data.batch.dim)) {}
  AttentionSpace<T> layer;
  std::unique_ptr<KeyQueryMap<T>> map;
  std::vector<std::span<T>> mantissas;
  std::vector<double> decoder_sum;
  std::unique_ptr<AttentionHessian<T>> hessian;  // made when it is asked for first
};

// (1/n) sum_i l'(m_i) y_i sum_q w_iq X_i^T p_iq
template <class T>
void decoder_gradient(Space<T>& space, BlockGradient<T>& out) {
  const AttentionSpace<T>& layer = space.layer;
  const AttentionData<T>& data = layer.data;
  const Outcomes<T>& outcomes = layer.pass.outcomes();
  const auto sample = [&](std::size_t k) { return layer.samples()[k]; };
  sum_slopes(
      data.ranks, layer.n_samples(), layer.pass_rows().n_samples_of_all(), data.batch.dim,
      [&](std::size_t k) {
        const double target = data.batch.target(sample(k));
        if (!outcomes.pooled.empty()) return outcomes.pooled[k].slope(data.loss, target);
        return terms_of(outcomes, k, layer.scoring, sample(k)).slope(data.loss, target);
      },
      [&](std::size_t k) { return data.batch.sign(sample(k)); },
      [&](std::size_t k) { return layer.means.data() + k * data.stride; }, data.kernels, space.decoder_sum,
      out);
}

template <class T>
void add_samples(const AttentionData<T>& attention, data::Digest& digest) {
  const BatchView<T>& view = attention.batch;
  data::TokenRows<T> rows = attention.rows();
  for (std::size_t i = 0; i < view.n_samples; ++i) {
    digest.add(view.tokens_of(i));
    for (std::size_t t = 0; t < view.tokens_of(i); ++t) digest.add(rows.token(i, t), view.dim);
    const bool single = attention.query_rows.are_samples();
    if (!single) digest.add(view.queries_of(i));
    for (std::size_t q = 0; q < view.queries_of(i); ++q) {
      digest.add(rows.query(i, q), view.dim);
      if (!single) digest.add(view.query_weight(i, q));
    }
    digest.add(view.sign(i));
    digest.add(view.target(i));
  }
}

}  // namespace

template <NumberType T>
AttentionModel<T>::AttentionModel(const BatchView<T>& batch, const AttentionOptions& options) {
  const simd::Isa* isa = nullptr;
  all_or_none(options.ranks.get(), [&] {
    batch.validate();
    check(batch, options);
    isa = &resolve_isa(options.isa);
  });
  if (Ranks* const ranks = options.ranks.get(); are_several(ranks))
    require_alike(ranks, {{"dim", std::to_string(batch.dim)},
                          {"bytes of a token's number", std::to_string(sizeof(T))},
                          {"sum_order", to_string(ranks->sum_order())},
                          {"instruction set", isa->name}});
  build(batch, options, nullptr);
}
template <NumberType T>
AttentionModel<T>::AttentionModel(const HalfBatchView& batch,
                                  const AttentionOptions& options) requires std::same_as<T, float> {
  if (options.ranks != nullptr)
    throw InvalidArgument("ranks", "do not go with tokens in 16 bits where they lie");
  batch.validate();
  AttentionOptions as_stored = options;
  if (options.token_storage == StoredType::working) as_stored.token_storage = batch.storage;
  check(batch.rest, as_stored);
  if (as_stored.token_storage != batch.storage)
    throw InvalidArgument("token_storage", std::string(to_string(options.token_storage)) +
                                               " (the tokens are " + to_string(batch.storage) + ")");
  // clang 14 makes this constructor for double too.
  if constexpr (std::same_as<T, float>) build(batch.rest, as_stored, &batch);
}
template <NumberType T>
void AttentionModel<T>::build(const BatchView<T>& batch, const AttentionOptions& options,
                              const HalfBatchView* halves) {
  parts_ = std::unique_ptr<Parts>(new Parts{{batch, options, halves},
                                            blocks_of<T>(options, batch.dim),
                                            options.train_decoder ? 1u : 0u,
                                            0.0,
                                            {},
                                            1});
  parts_->n_map_blocks = parts_->blocks.size() - parts_->n_map_blocks;
  parts_->optimal_loss = Losses<T>::fixed_optimal_loss(parts_->data);
  const double n = static_cast<double>(parts_->data.n_rows());
  parts_->n_threads = parts_->data.threads_for(parts_->data.attention_work +
                                               2.0 * n * make_map<T>(options, batch.dim)->work());
  if (!are_several(parts_->data.ranks)) return;
  parts_->identity = identity();
  require_same_model(parts_->data.ranks, parts_->identity);
}
template <NumberType T>
AttentionModel<T>::~AttentionModel() = default;
template <NumberType T>
AttentionModel<T>::AttentionModel(AttentionModel&&) noexcept = default;
template <NumberType T>
AttentionModel<T>& AttentionModel<T>::operator=(AttentionModel&&) noexcept = default;

template <NumberType T>
const std::vector<BlockShape>& AttentionModel<T>::blocks() const {
  return parts_->blocks;
}
template <NumberType T>
std::size_t AttentionModel<T>::n_samples() const {
  return parts_->data.query_rows.n_samples_of_all();
}
template <NumberType T>
std::string AttentionModel<T>::isa() const {
  return parts_->data.isa.name;
}
template <NumberType T>
double AttentionModel<T>::optimal_loss() const {
  return parts_->optimal_loss;
}
template <NumberType T>
int AttentionModel<T>::threads_used() const {
  return parts_->n_threads;
}
template <NumberType T>
const BatchView<T>& AttentionModel<T>::batch() const {
  return parts_->data.batch;
}
template <NumberType T>
const AttentionOptions& AttentionModel<T>::options() const {
  return parts_->data.options;
}
template <NumberType T>
const TokenScores& AttentionModel<T>::token_scores() const {
  const Scoring<T>* scoring = parts_->data.given_scoring();
  if (scoring == nullptr)
    throw InvalidArgument("train_decoder", "true: tokens have no scores apart from the decoder in training");
  return scoring->tokens();
}

template <NumberType T>
std::vector<Observable> AttentionModel<T>::observables() const {
  const std::size_t d = batch().dim, n_map = parts_->n_map_blocks;
  std::vector<Observable> out = {{"weights", d, options().key_query == KeyQuery::prompt ? 1 : d, 0, n_map}};
  if (options().train_decoder) out.push_back({"decoder", d, 1, n_map, 1});
  return out;
}

template <NumberType T>
std::vector<double> AttentionModel<T>::observe_at(Point<double> at, std::size_t k) const {
  if (k == 0) return make_map<T>(options(), batch().dim)->matrix(at);
  return {at.back().begin(), at.back().end()};
}

template <NumberType T>
std::unique_ptr<Workspace> AttentionModel<T>::make_workspace() const {
  return std::make_unique<Space<T>>(parts_->data, options());
}

template <NumberType T>
void AttentionModel<T>::evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& workspace, unsigned want,
                                    SampleSet samples) const {
  auto& space = static_cast<Space<T>&>(workspace);
  AttentionSpace<T>& layer = space.layer;
  const bool with_rows = (want & want_gradient) != 0;
  layer.choose(samples);
  if (with_rows) {
    out.gradients.resize(parts_->blocks.size());
    space.mantissas.resize(parts_->n_map_blocks);
    for (std::size_t k = 0; k < parts_->n_map_blocks; ++k)
      space.mantissas[k] = out.gradients[k].room(parts_->blocks[k].size());
  }
  with_team(parts_->n_threads, [&](const Team& team) {
    if (options().train_decoder) layer.score(team, at.back().data());
    space.map->project(team, layer, at);
    layer.pass.attend(team, layer.pass_rows(), with_rows);
    if (team.leads()) layer.losses.sum(layer.pass.outcomes(), layer.pass_rows(), out, want);
    if (with_rows) space.map->backward(team, layer, at, out.gradients.data(), space.mantissas.data());
  });
  if ((want & want_attention) != 0) layer.losses.attention_of_optimal(layer.pass, layer.pass_rows(), out);
  if (!with_rows) return;
  space.map->finish(layer, out.gradients.data(), space.mantissas.data());
  if (options().train_decoder) decoder_gradient(space, out.gradients.back());
}

template <NumberType T>
std::vector<double> AttentionModel<T>::attention(Point<T> at) const {
  this->check(at, "at");
  Space<T> space(parts_->data, options());
  AttentionSpace<T>& layer = space.layer;
  const AttentionData<T>& data = parts_->data;
  layer.choose({});
  std::vector<double> out(data.total_tokens);
  std::vector<T> work(2 * data.longest);
  with_team(parts_->n_threads, [&](const Team& team) {
    if (options().train_decoder) layer.score(team, at.back().data());
    space.map->project(team, layer, at);
  });
  std::size_t first = 0;
  for (std::size_t i = 0; i < data.batch.n_samples; ++i) {
    for (std::size_t q = 0; q < data.query_rows.of(i); ++q) {
      const std::size_t row = data.query_rows.first(i) + q;
      const simd::AttentionStats<T> stats =
          data.kernels.attention_of(layer.pass.args_of(row, i, false, work.data()));
      const auto top = static_cast<double>(work[stats.pivot]);
      const double share = data.query_rows.weight(row) / data.query_rows.total_weight(i);
      for (std::size_t t = 0; t < data.batch.tokens_of(i); ++t)
        out[first + t] += share * (static_cast<double>(stats.pivot_attention) *
                                   std::exp(static_cast<double>(work[t]) - top));
    }
    first += data.batch.tokens_of(i);
  }
  return out;
}

template <NumberType T>
std::vector<double> AttentionModel<T>::attention(std::span<const T> block) const {
  return attention(Point<T>(&block, 1));
}

template <NumberType T>
std::string AttentionModel<T>::identity() const {
  if (!parts_->identity.empty()) return parts_->identity;
  const BatchView<T>& view = batch();
  data::Digest digest;
  add_in_order(parts_->data.ranks, digest.state(), [&] { add_samples(parts_->data, digest); });
  if (!options().train_decoder) digest.add(view.decoder, view.dim);
  const AttentionOptions& o = options();
  const char* trained = o.key_query == KeyQuery::combined   ? "W"
                        : o.key_query == KeyQuery::factored ? "K,Q"
                                                            : "p";
  return std::string("attention of ") + trained + (o.train_decoder ? " and u" : "") + ", loss " +
         parts_->data.loss.name() + ", L* " + to_string(o.optimal_loss) +
         (o.optimal_loss == OptimalLoss::value ? " " + data::exact_text(o.optimal_loss_value) : "") +
         ", tokens as " + to_string(parts_->data.storage()) + ", data " + std::to_string(n_samples()) +
         " x " + std::to_string(view.dim) + " " + digest.text();
}

template <NumberType T>
void AttentionModel<T>::hessian_product_at(Point<T> at, Point<T> direction,
                                           std::vector<BlockGradient<T>>& out, Workspace& workspace,
                                           SampleSet samples) const {
  if (are_several(parts_->data.ranks))
    throw NotSupported("hessian_product",
                       "goes with one rank (there are " + std::to_string(parts_->data.ranks->size()) + ")");
  auto& space = static_cast<Space<T>&>(workspace);
  if (space.hessian == nullptr) space.hessian = std::make_unique<AttentionHessian<T>>(parts_->data);
  space.layer.choose(samples);
  space.hessian->product(space.layer, parts_->blocks, at, direction, out, parts_->n_threads);
}

template class AttentionModel<float>;
template class AttentionModel<double>;

}  // namespace softstep
