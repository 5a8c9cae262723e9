#include <algorithm>

#include "core/c/arrays.h"
#include "core/c/handles.h"
#include "core/c/ranks.h"
#include "core/c/train_options.h"

namespace softstep::c {
namespace {

constexpr std::size_t most_matrices = 4096;  // each has a name, in a list that is made at every step

// A rule of the caller's: what it remembers is one vector of n_memory numbers and n_matrices arrays.
template <class T>
class CallerRule final : public StepRule<T> {
 public:
  explicit CallerRule(const softstep_own_rule& given) : given_(given), name_(word(given.name)) {
    if (name_.empty()) throw InvalidArgument("own_rule.name", "null or empty");
    required(reinterpret_cast<const void*>(given.propose), "own_rule.propose");
    if (given.n_memory > static_cast<std::size_t>(PTRDIFF_MAX) / sizeof(double))
      throw InvalidArgument("own_rule.n_memory",
                            std::to_string(given.n_memory) + " numbers are more than fit into memory");
    if (given.n_matrices > most_matrices)
      throw InvalidArgument("own_rule.n_matrices", std::to_string(given.n_matrices) + " (need at most " +
                                                       std::to_string(most_matrices) + ")");
  }
  std::string_view name() const override { return name_; }
  bool needs_loss_gap() const override { return given_.needs_loss_gap != 0; }
  bool moves_along_gradient() const override { return given_.moves_along_gradient != 0; }
  std::vector<RuleMemory> memory() const override {
    std::vector<RuleMemory> out;
    // Names of this rule: a state may hold what another rule of the caller's has left.
    if (given_.n_memory != 0) out.push_back({name_ + ".memory", given_.n_memory});
    for (std::size_t k = 0; k < given_.n_matrices; ++k)
      out.push_back({name_ + ".matrix" + std::to_string(k), 0});
    return out;
  }

  Step<T> propose(const StepContext<T>& context, const RuleState& memory, RuleState& next) const override {
    const std::size_t n = context.n_rows * context.n_cols;
    softstep_step_context in{};
    in.struct_size = sizeof in;
    in.type = sizeof(T) == sizeof(float) ? SOFTSTEP_F32 : SOFTSTEP_F64;
    in.iteration = context.iteration;
    in.loss_gap = {context.loss_gap.mantissa, context.loss_gap.exponent};
    in.gradient = context.gradient;
    in.n_rows = context.n_rows;
    in.n_cols = context.n_cols;
    in.gradient_exponent = context.gradient_exponent;
    in.gradient_norm = context.gradient_norm;
    in.weights = context.weights;
    const std::size_t size = given_.n_memory + given_.n_matrices * n;
    std::vector<double> before(size), after(size);
    double* place = before.data();
    bool has_past = false;  // of this rule: a state that another rule has left holds the memory of that one
    for (const RuleMemory& kind : this->memory()) {
      const auto found = memory.values.find(kind.name);
      if (found != memory.values.end()) {
        std::copy(found->second.begin(), found->second.end(), place);
        has_past = true;
      }
      place += kind.size != 0 ? kind.size : n;
    }
    next.direction.assign(n, 0.0);
    softstep_step step{};
    if (given_.propose(given_.user, &in, has_past ? before.data() : nullptr, after.data(),
                       next.direction.data(), &step) != 0)
      throw std::runtime_error("own_rule." + name_ + " has failed");
    place = after.data();
    for (const RuleMemory& kind : this->memory()) {
      const std::size_t count = kind.size != 0 ? kind.size : n;
      next.values[kind.name].assign(place, place + count);
      place += count;
    }
    Step<T> out;
    switch (step.outcome) {
      case SOFTSTEP_MOVED:
        out.outcome = Step<T>::Outcome::moved;
        break;
      case SOFTSTEP_STATIONARY:
        out.outcome = Step<T>::Outcome::stationary;
        break;
      case SOFTSTEP_GAP_NOT_POSITIVE:
        out.outcome = Step<T>::Outcome::gap_not_positive;
        break;
      default:
        throw InvalidArgument("own_rule." + name_, "outcome " + std::to_string(step.outcome));
    }
    out.coefficient = step.coefficient;
    out.length = step.length;
    if (step.along_gradient != 0)
      out.direction = context.gradient;
    else
      out.computed = next.direction.data();
    return out;
  }

 private:
  softstep_own_rule given_;
  std::string name_;
};

softstep_trace_row row_of(const TraceRecord& record) {
  softstep_trace_row out{};
  out.struct_size = sizeof out;
  out.step = record.step;
  out.loss = record.loss;
  out.log10_loss = record.log10_loss;
  out.log10_gap = record.log10_gap;
  out.weight_norm = record.weight_norm;
  out.log10_gradient_norm = record.log10_gradient_norm;
  out.step_length = record.step_length;
  out.one_minus_cos = record.one_minus_cos;
  out.angle = record.angle;
  out.min_optimal_attention = record.min_optimal_attention;
  out.log10_one_minus_optimal_attention = record.log10_one_minus_optimal_attention;
  out.optimal_loss = record.optimal_loss;
  out.accuracy = record.accuracy;
  out.seconds = record.seconds;
  return out;
}

}  // namespace

template <class T>
TrainerOptions train_options_of(const softstep_train_options* given) {
  const softstep_train_options in = read(required(given, "options"), "options");
  TrainerOptions out;
  out.rules = parse_rules(in.rules == nullptr ? "ngd" : in.rules);
  if (in.own_rule != nullptr) {
    RuleSettings own;
    own.object = std::make_shared<CallerRule<T>>(read(in.own_rule, "own_rule"));
    out.rules = {own};
  }
  out.n_steps = in.n_steps;
  if (in.form != nullptr) out.form = parse_form(in.form);
  if (in.float64_masters != 0) out.master_weights = MasterWeights::float64;
  if (in.joint != 0) out.normalization = Normalization::joint;
  out.batch_size = in.batch_size;
  out.batch_seed = in.batch_seed;
  if (in.reference != nullptr) {
    if (in.reference_size == 0)
      throw InvalidArgument("options.reference_size", "0 (need the numbers that options.reference has)");
    out.references = {copied(in.reference, in.reference_size, "options.reference_size")};
  }
  out.stop_one_minus_cos = in.stop_one_minus_cos;
  if (in.max_seconds != 0.0) out.max_seconds = in.max_seconds;
  if (in.trace_rows_per_decade < -1)
    throw InvalidArgument("options.trace_rows_per_decade",
                          std::to_string(in.trace_rows_per_decade) + " (need -1, 0, or a number of rows)");
  if (in.trace_rows_per_decade != 0) out.trace_rows_per_decade = std::max(0, in.trace_rows_per_decade);
  if (in.trace != nullptr)
    out.trace = [trace = in.trace, user = in.user](const TraceRecord& record) {
      const softstep_trace_row row = row_of(record);
      return trace(user, &row) == 0;
    };
  if (in.progress != nullptr)
    out.progress = [progress = in.progress, user = in.user](const Progress& now) {
      return progress(user, now.step, now.seconds) == 0;
    };
  return out;
}

template TrainerOptions train_options_of<float>(const softstep_train_options*);
template TrainerOptions train_options_of<double>(const softstep_train_options*);

softstep_train_summary summary_of(const TrainSummary& found) {
  softstep_train_summary out{};
  out.status = to_string(found.status);
  out.form = to_string(found.form);
  out.steps = found.steps;
  out.steps_below_rounding = found.steps_below_rounding;
  out.seconds = found.seconds;
  out.setup_seconds = found.setup_seconds;
  out.threads_used = found.threads_used;
  out.last = row_of(found.last);
  return out;
}

}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_state_create(const softstep_model* model, const double* const* blocks,
                                      softstep_state** state) {
  return guarded([&] {
    required(state, "state");
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      std::vector<std::vector<double>> start;
      for (std::size_t k = 0; blocks != nullptr && k < of.blocks().size(); ++k) {
        const double* block = blocks[k];
        if (block == nullptr) throw InvalidArgument(nth("blocks", k), "null");
        start.emplace_back(block, block + of.blocks()[k].size());
      }
      *state = hand_out(std::make_unique<softstep_state>(softstep_state{initial_state<T>(of, start)}));
    });
  });
}

softstep_status softstep_state_create_normal(const softstep_model* model, double std, uint64_t seed,
                                             softstep_state** state) {
  return guarded([&] {
    required(state, "state");
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      *state = hand_out(std::make_unique<softstep_state>(softstep_state{normal_state<T>(of, std, seed)}));
    });
  });
}

void softstep_state_destroy(softstep_state* state) { destroy(state, "state"); }

softstep_status softstep_state_step(const softstep_state* state, int64_t* step) {
  return guarded([&] {
    required(step, "step");
    std::visit([&](const auto& of) { *step = of.step; }, live(state, "state")->of);
  });
}

softstep_status softstep_state_block(const softstep_state* state, size_t k, double* values, size_t size) {
  return guarded([&] {
    required(values, "values");
    std::visit(
        [&](const auto& of) {
          const std::vector<double> block = of.values(k);
          if (size != block.size())
            throw InvalidArgument("size", std::to_string(size) + " (block " + std::to_string(k) + " has " +
                                              std::to_string(block.size()) + " numbers)");
          std::copy(block.begin(), block.end(), values);
        },
        live(state, "state")->of);
  });
}

softstep_status softstep_observe(const softstep_model* model, const softstep_state* state, size_t k,
                                 double* values, size_t size) {
  return guarded([&] {
    required(values, "values");
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      const std::vector<double> found = observe<T>(of, state_of<T>(state), k);
      if (size != found.size())
        throw InvalidArgument("size", std::to_string(size) + " (observable " + std::to_string(k) + " has " +
                                          std::to_string(found.size()) + " numbers)");
      std::copy(found.begin(), found.end(), values);
    });
  });
}

softstep_status softstep_state_save(const char* path, const softstep_model* model,
                                    const softstep_state* state, const softstep_train_options* options) {
  return guarded([&] {
    required(path, "path");
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      save_state<T>(path, of, state_of<T>(state), train_options_of<T>(options));
    });
  });
}

softstep_status softstep_state_load(const char* path, const softstep_model* model,
                                    const softstep_train_options* options, softstep_state** state) {
  return guarded([&] {
    required(path, "path");
    required(state, "state");
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      *state = hand_out(std::make_unique<softstep_state>(
          softstep_state{load_state<T>(path, of, train_options_of<T>(options))}));
    });
  });
}

softstep_status softstep_train(const softstep_model* model, softstep_state* state,
                               const softstep_train_options* options, softstep_train_summary* summary) {
  return guarded([&] {
    check_writable(summary, "summary");
    live(model, "model")->with([&]<class M>(const M& of) {
      using T = typename NumberOf<M>::type;
      TrainState<T>& at = state_of<T>(state);
      TrainerOptions asked = train_options_of<T>(options);
      write_checkpoints<T>(options, of, at, asked);
      stop_together(model->ranks, asked);
      const TrainSummary found = train<T>(of, at, asked);
      write(summary_of(found), summary, "summary");
    });
  });
}
}
