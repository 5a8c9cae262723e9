// Whether `auto` takes the cheapest form: all forms of forms.h on a grid of shapes, one after the other
// within each repetition, and the time of `auto` beside the best of the others. What
// core/trainer/forms/choose_form.cpp is fitted to.

#include <algorithm>
#include <limits>

#include "data.h"
#include "forms.h"
#include "softstep/softstep.h"
#include "step_check.h"

namespace softstep::bench {
namespace {

constexpr int rounds = 5;
constexpr double seconds_per_round = 1e-3;
// Set-up (Gram matrices, copies) is paid once; the model spreads it over a run of this many steps, and so
// does this.
constexpr double run_length = 1000.0;

template <class T>
class Contest {
 public:
  explicit Contest(const Shape& shape)
      : shape_(shape), objective_(signal_noise<T>(shape).view(), one_thread()) {
    options_.rules = {parse_rule("ngd")};
    options_.trace_rows_per_decade = 0;
    start_ = early_state(objective_, "ngd");
  }

  /// The worst of all forms: one step of each against the exact gradient.
  double worst_over_bound() {
    const ExactStep<T> exact(signal_noise<T>(shape_).view(), start_.blocks[0]);
    double worst = 0.0;
    for (const FormRow& form : forms) {
      TrainState<T> after = start_;
      const TrainSummary one = run(form.form, after, 1);
      worst = worse(worst, exact.worst_over_bound(after.blocks[0], one.last.step_length));
    }
    return worst;
  }

  struct Row {
    const FormRow* form;
    std::int64_t steps = 3;
    double step = std::numeric_limits<double>::infinity();  // seconds, the least of the rounds
    double setup = std::numeric_limits<double>::infinity();
    Form used = Form::automatic;
    double in_a_run() const { return step + setup / run_length; }
  };

  /// One row for each form, `auto` last.
  std::vector<Row> hold() {
    std::vector<Row> rows;
    for (const FormRow& form : forms) rows.push_back({&form});
    for (Row& row : rows) {
      race(row);
      row.steps = std::clamp(static_cast<std::int64_t>(seconds_per_round / row.step), std::int64_t{3},
                             std::int64_t{100000});
    }
    double best = rows[0].in_a_run();
    for (const Row& row : rows) best = std::min(best, row.in_a_run());
    for (int round = 0; round < rounds; ++round)
      for (Row& row : rows)
        // What took three times the best once will not be the best.
        if (row.in_a_run() < 3.0 * best || row.form->form == Form::automatic) race(row);
    return rows;
  }

 private:
  static AttentionOptions one_thread() {
    AttentionOptions options;
    options.n_threads = 1;
    return options;
  }
  TrainSummary run(Form form, TrainState<T>& from, std::int64_t n_steps) {
    options_.form = form;
    options_.n_steps = n_steps;
    return train(objective_, from, options_);
  }
  void race(Row& row) {
    TrainState<T> from = start_;
    const TrainSummary summary = run(row.form->form, from, row.steps);
    row.used = summary.form;
    row.step = std::min(row.step, summary.seconds / static_cast<double>(summary.steps));
    row.setup = std::min(row.setup, summary.setup_seconds);
  }

  Shape shape_;
  AttentionModel<T> objective_;
  TrainerOptions options_;
  TrainState<T> start_;
};

template <class T>
void measure(benchmark::State& state, const std::string& label, const Shape& shape) {
  Contest<T> contest(shape);
  if (!verified_once(state, label, [&] { return contest.worst_over_bound(); })) return;
  for (auto _ : state) {
    const auto rows = contest.hold();
    double best = std::numeric_limits<double>::infinity();
    for (const auto& row : rows) {
      state.counters[std::string("us_") + row.form->name()] = row.in_a_run() * 1e6;
      if (row.form->form != Form::automatic) best = std::min(best, row.in_a_run());
    }
    const auto& automatic = rows.back();
    state.counters["of_best"] = best / automatic.in_a_run();
    state.SetLabel(to_string(automatic.used));
    state.SetIterationTime(automatic.in_a_run());
  }
}

template <class T>
void register_choice(const Shape& shape) {
  const std::string label = std::string("form_choice/") + type_name<T> + "/" + name(shape);
  benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& s) { measure<T>(s, label, shape); })
      ->UseManualTime()
      ->Iterations(1);
}

const bool registered = [] {
  constexpr std::size_t most_tokens = 3200;  // of all samples: a Gram matrix of 41 MB in f32
  for (const std::size_t n : {6, 20, 60, 200})
    for (const std::size_t t : {4, 16, 48})
      for (const std::size_t d : {10, 60, 200, 600}) {
        const Shape shape{n, t, d};
        if (n * t > most_tokens) continue;
        register_choice<float>(shape);
        register_choice<double>(shape);
      }
  return true;
}();

}  // namespace
}  // namespace softstep::bench
