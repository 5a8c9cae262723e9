#include <algorithm>
#include <limits>

#include "core/c/handles.h"
#include "core/c/ranks.h"
#include "core/data/quoted.h"
#include "softstep/attention_model.h"
#include "softstep/linear_model.h"

namespace softstep::c {
namespace {

Scaled scaled(softstep_scaled x) { return {x.mantissa, x.exponent}; }
softstep_scaled plain(Scaled x) { return {x.mantissa, x.exponent}; }

class CallerLoss final : public LossFunction {
 public:
  explicit CallerLoss(const softstep_own_loss& given) : given_(given), name_(word(given.name)) {
    if (name_.empty()) throw InvalidArgument("own_loss.name", "null or empty");
    required(reinterpret_cast<const void*>(given.value), "own_loss.value");
    required(reinterpret_cast<const void*>(given.derivative), "own_loss.derivative");
  }
  std::string name() const override { return name_; }
  Scaled value(double m, double target) const override {
    return scaled(given_.value(given_.user, m, target));
  }
  Scaled derivative(double m, double target) const override {
    return scaled(given_.derivative(given_.user, m, target));
  }
  Scaled second_derivative(double m, double target) const override {
    if (given_.second_derivative == nullptr) return LossFunction::second_derivative(m, target);
    return scaled(given_.second_derivative(given_.user, m, target));
  }
  bool is_decreasing() const override { return given_.is_decreasing != 0; }

 private:
  softstep_own_loss given_;
  std::string name_;
};

KeyQuery key_query_of(const std::string& name) {
  if (name.empty() || name == "combined") return KeyQuery::combined;
  if (name == "factored") return KeyQuery::factored;
  if (name == "prompt") return KeyQuery::prompt;
  throw InvalidArgument("options.key_query", data::quoted(name) + " (need combined, factored or prompt)");
}

StoredType storage_of(softstep_type type) {
  switch (type) {
    case SOFTSTEP_F64:
      return StoredType::working;
    case SOFTSTEP_F16:
      return StoredType::f16;
    case SOFTSTEP_BF16:
      return StoredType::bf16;
    default:
      throw InvalidArgument("options.token_storage",
                            std::to_string(type) + " (need 0, SOFTSTEP_F16 or SOFTSTEP_BF16)");
  }
}

AttentionOptions options_of(const softstep_attention_options* given) {
  const softstep_attention_options in = read(given, "options");
  AttentionOptions out;
  out.key_query = key_query_of(word(in.key_query));
  out.rank = in.rank;
  out.train_decoder = in.train_decoder != 0;
  if (in.loss != nullptr) out.loss = parse_loss(in.loss);
  out.own_loss = own_loss_of(in.own_loss);
  const bool has_infimum = in.loss == nullptr || out.loss != Loss::squared;
  if (in.optimal_loss != nullptr)
    out.optimal_loss = parse_optimal_loss(in.optimal_loss);
  else if (out.train_decoder || !has_infimum || (out.own_loss && !out.own_loss->is_decreasing()))
    out.optimal_loss = OptimalLoss::zero;
  out.optimal_loss_value = in.optimal_loss_value;
  out.n_threads = threads(in.n_threads, "options.n_threads");
  out.isa = word(in.isa);
  out.token_storage = storage_of(in.token_storage);
  return out;
}

LinearOptions options_of(const softstep_linear_options* given) {
  const softstep_linear_options in = read(given, "options");
  LinearOptions out;
  if (in.loss != nullptr) out.loss = parse_loss(in.loss);
  out.own_loss = own_loss_of(in.own_loss);
  if (in.optimal_loss != nullptr) out.optimal_loss = parse_optimal_loss(in.optimal_loss);
  out.optimal_loss_value = in.optimal_loss_value;
  out.isa = word(in.isa);
  return out;
}

// What was not asked for is NaN: the workspace has it of another point, from an earlier call.
template <class T>
softstep_evaluation result_of(const Evaluation<T>& found, unsigned want) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const bool has_loss = (want & want_loss) != 0, has_gap = (want & want_loss_gap) != 0,
             has_attention = (want & want_attention) != 0;
  softstep_evaluation out{};
  out.loss = has_loss ? found.loss : nan;
  out.loss_scaled = has_loss ? plain(found.loss_scaled) : softstep_scaled{nan, 0.0};
  out.accuracy = has_loss ? found.accuracy : nan;
  out.loss_gap = has_gap ? plain(found.loss_gap) : softstep_scaled{nan, 0.0};
  out.optimal_loss = has_gap ? found.optimal_loss : nan;
  out.min_optimal_attention = has_attention ? found.min_optimal_attention : nan;
  out.log10_one_minus_optimal_attention = has_attention ? found.log10_one_minus_optimal_attention : nan;
  return out;
}

template <class T>
void copy_gradients(const std::vector<BlockGradient<T>>& from, double* exponents) {
  for (std::size_t k = 0; exponents != nullptr && k < from.size(); ++k) exponents[k] = from[k].exponent;
}

// The caller's memory for one mantissa a block.
template <class T>
void write_into(const Model<T>& model, void* const* arrays, const char* name,
                std::vector<BlockGradient<T>>& out) {
  required(arrays, name);
  const auto& shapes = model.blocks();
  out.resize(shapes.size());
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    if (arrays[k] == nullptr) throw InvalidArgument(nth(name, k), "null");
    out[k].into = {static_cast<T*>(arrays[k]), shapes[k].size()};
  }
}

}  // namespace

std::shared_ptr<const LossFunction> own_loss_of(const softstep_own_loss* given) {
  if (given == nullptr) return nullptr;
  return std::make_shared<CallerLoss>(read(given, "own_loss"));
}

}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_attention_model_create(const softstep_batch* batch,
                                                const softstep_attention_options* options,
                                                softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    AttentionOptions of = options_of(options);
    const auto ranks = ranks_of(read(options, "options").ranks, "options.ranks");
    of.ranks = ranks;
    auto out = std::make_unique<softstep_model>();
    std::visit([&](const auto& view) { out->of = make_attention_model(view, of); }, batch_of(batch).of);
    out->ranks = ranks;
    *model = hand_out(std::move(out));
  });
}

softstep_status softstep_linear_model_create(const softstep_batch* batch,
                                             const softstep_linear_options* options, softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const LinearOptions of = options_of(options);
    auto out = std::make_unique<softstep_model>();
    with_plain_batch(batch, [&](const auto& view) { out->of = make_linear_model(view, of); });
    *model = hand_out(std::move(out));
  });
}

void softstep_model_destroy(softstep_model* model) { destroy(model, "model"); }

softstep_status softstep_workspace_create(const softstep_model* model, softstep_workspace** workspace) {
  return guarded([&] {
    required(workspace, "workspace");
    auto out = std::make_unique<softstep_workspace>();
    out->model = live(model, "model");
    out->space = model->with([](const auto& of) { return of.make_workspace(); });
    *workspace = hand_out(std::move(out));
  });
}

void softstep_workspace_destroy(softstep_workspace* workspace) { destroy(workspace, "workspace"); }

softstep_status softstep_model_type(const softstep_model* model, softstep_type* type) {
  return guarded(
      [&] { *required(type, "type") = live(model, "model")->of.index() == 0 ? SOFTSTEP_F32 : SOFTSTEP_F64; });
}

softstep_status softstep_model_n_blocks(const softstep_model* model, size_t* n_blocks) {
  return guarded([&] {
    *required(n_blocks, "n_blocks") =
        live(model, "model")->with([](const auto& of) { return of.blocks().size(); });
  });
}

softstep_status softstep_model_block(const softstep_model* model, size_t k, const char** name, size_t* n_rows,
                                     size_t* n_cols) {
  return guarded([&] {
    live(model, "model")->with([&](const auto& of) {
      if (k >= of.blocks().size())
        throw InvalidArgument(
            "k", std::to_string(k) + " (the model has " + std::to_string(of.blocks().size()) + " blocks)");
      const BlockShape& shape = of.blocks()[k];
      if (name != nullptr) *name = shape.name.c_str();
      if (n_rows != nullptr) *n_rows = shape.n_rows;
      if (n_cols != nullptr) *n_cols = shape.n_cols;
    });
  });
}

softstep_status softstep_model_n_samples(const softstep_model* model, size_t* n_samples) {
  return guarded([&] {
    *required(n_samples, "n_samples") =
        live(model, "model")->with([](const auto& of) { return of.n_samples(); });
  });
}

softstep_status softstep_model_observable(const softstep_model* model, size_t k, size_t* n_rows,
                                          size_t* n_cols) {
  return guarded([&] {
    live(model, "model")->with([&](const auto& of) {
      const std::vector<Observable> all = of.observables();
      if (k >= all.size())
        throw InvalidArgument(
            "k", std::to_string(k) + " (the model has " + std::to_string(all.size()) + " observables)");
      if (n_rows != nullptr) *n_rows = all[k].n_rows;
      if (n_cols != nullptr) *n_cols = all[k].n_cols;
    });
  });
}

softstep_status softstep_evaluate(const softstep_model* model, softstep_workspace* workspace,
                                  const void* const* blocks, uint32_t want, const size_t* samples,
                                  size_t n_samples, softstep_evaluation* evaluation, void* const* gradients,
                                  double* exponents) {
  return guarded([&] {
    live(model, "model");
    softstep_workspace& space = space_of(workspace, model);
    check_writable(evaluation, "evaluation");
    if ((want & ~static_cast<uint32_t>(want_all)) != 0)
      throw InvalidArgument("want", std::to_string(want) + " (need a sum of SOFTSTEP_WANT_..)");
    model->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      Evaluation<T>& out = space.evaluation<T>();
      view_blocks<T>(of, blocks, "blocks", space.views<T>());
      if ((want & want_gradient) != 0) write_into<T>(of, gradients, "gradients", out.gradients);
      const SampleSet some =
          samples == nullptr ? SampleSet{} : SampleSet{std::span<const std::size_t>(samples, n_samples)};
      of.evaluate(Point<T>(space.views<T>()), out, *space.space, want, some);
      if ((want & want_gradient) != 0) copy_gradients(out.gradients, exponents);
      write(result_of(out, want), evaluation, "evaluation");
    });
  });
}

softstep_status softstep_hessian_product(const softstep_model* model, softstep_workspace* workspace,
                                         const void* const* blocks, const void* const* direction,
                                         void* const* products, double* exponents) {
  return guarded([&] {
    live(model, "model");
    softstep_workspace& space = space_of(workspace, model);
    model->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      view_blocks<T>(of, blocks, "blocks", space.views<T>());
      view_blocks<T>(of, direction, "direction", space.views<T>(true));
      std::vector<BlockGradient<T>> out;
      write_into<T>(of, products, "products", out);
      of.hessian_product(Point<T>(space.views<T>()), Point<T>(space.views<T>(true)), out, *space.space);
      copy_gradients(out, exponents);
    });
  });
}

softstep_status softstep_attention_of_tokens(const softstep_model* model, const void* const* blocks,
                                             double* attention, size_t n) {
  return guarded([&] {
    required(attention, "attention");
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      std::vector<std::span<const T>> views;
      const auto* model_of_attention = dynamic_cast<const AttentionModel<T>*>(&of);
      if (model_of_attention == nullptr) throw NotSupported("model", "has no attention");
      view_blocks<T>(of, blocks, "blocks", views);
      const std::vector<double> out = model_of_attention->attention(Point<T>(views));
      if (n != out.size())
        throw InvalidArgument(
            "n", std::to_string(n) + " (the batch has " + std::to_string(out.size()) + " tokens)");
      std::copy(out.begin(), out.end(), attention);
    });
  });
}
}
