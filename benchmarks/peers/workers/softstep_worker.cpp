// softstep itself behind the protocol of the peers. A variant is <rule>-<form>: the rule, and how W is
// represented. `tokens` is the rule `ngd` of the model whose tokens are all queries.

#include "worker.h"

namespace softstep::peers {
namespace {

/// Names the report knows; `dense` keeps W as it is, the span forms follow the same trajectory for less.
const std::vector<std::pair<std::string, Form>> forms = {{"dense", Form::dense},
                                                         {"query_span", Form::query_span},
                                                         {"token_span", Form::token_span},
                                                         {"auto", Form::automatic}};

Form form_of(const std::string& name) {
  for (const auto& [known, form] : forms)
    if (known == name) return form;
  throw std::runtime_error("unknown form " + name);
}

/// Of a version whose batches have one query a sample alone there is no such row.
template <class Batch>
void all_tokens_are_queries(Batch& batch) {
  if constexpr (requires { batch.all_tokens_are_queries; })
    batch.all_tokens_are_queries = true;
  else
    throw std::runtime_error("left out: this version's BatchView has one query a sample");
}

template <class T>
class Trained final : public Variant<T> {
 public:
  Trained(const std::string& rule, const std::string& form, const Data<T>& data, int threads)
      : rule_(rule), initial_(data.weights.begin(), data.weights.end()) {
    BatchView<T> batch;
    batch.tokens = data.tokens.data();
    batch.n_samples = data.n;
    batch.n_tokens = data.n_tokens;
    batch.dim = data.d;
    batch.labels = data.labels.data();
    batch.decoder = data.decoder.data();
    if (rule_ == "tokens") {
      all_tokens_are_queries(batch);
      rule_ = "ngd";
    }
    AttentionOptions objective;
    objective.n_threads = threads;
    objective_ = std::make_unique<AttentionModel<T>>(batch, objective);
    options_.trace_rows_per_decade = 0;
    options_.form = form_of(form);
    // A Gram matrix of more tokens than this is no contender, only minutes of set-up.
    if (options_.form == Form::token_span && data.n * data.n_tokens > 4096)
      throw std::runtime_error("too many tokens for the token span");
  }
  void reset() override { state_ = initial_state(*objective_, {initial_}); }
  /// The trainer's own time: its two measurements of the state, at either end, are not in it.
  double advance(std::int64_t steps, double step_size) override {
    char rule[100];
    if (rule_ == "polyak")
      std::snprintf(rule, sizeof rule, "polyak:factor=1,cap=%.17g", step_size);
    else
      std::snprintf(rule, sizeof rule, "%s:step-size=%.17g", rule_.c_str(), step_size);
    options_.rules = {parse_rule(rule)};
    options_.n_steps = steps;
    const TrainSummary summary = train(*objective_, state_, options_);
    if (summary.steps != steps) throw std::runtime_error(to_string(summary.status));
    loss_ = summary.last.loss;
    return summary.seconds;
  }
  double loss() override { return loss_; }
  std::vector<T> weights() const override { return state_.blocks[0]; }

 private:
  std::string rule_;
  std::vector<double> initial_;
  std::unique_ptr<AttentionModel<T>> objective_;
  TrainState<T> state_;
  TrainerOptions options_;
  double loss_ = 0.0;
};

}  // namespace
}  // namespace softstep::peers

int main(int argc, char** argv) {
  using namespace softstep::peers;
  std::vector<std::string> names;
  for (const char* rule : {"ngd", "polyak", "tokens"})
    for (const auto& [form, value] : forms) names.push_back(std::string(rule) + "-" + form);
  return serve(argc, argv, names, std::string(softstep::version) + ", " + softstep::active_isa(),
               [&]<class T>(const std::string& name, const Data<T>& data, int threads) {
                 const std::size_t dash = name.find('-');
                 return std::unique_ptr<Variant<T>>(
                     new Trained<T>(name.substr(0, dash), name.substr(dash + 1), data, threads));
               });
}
