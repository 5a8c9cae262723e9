// Many runs of softstep behind the protocol of the peers: `side_by_side` is train_many, one run to a lane,
// `one_by_one` is train, run after run, and `dense` the same in the dense form. `load FOLDER RUNS` reads
// k.safetensors and k.weights for each run k, `check` writes k.weights for each.

#include "worker.h"

namespace softstep::peers {
namespace {

template <class T>
class Runs {
 public:
  Runs(const std::string& folder, std::size_t n_runs, int threads) : threads_(threads) {
    for (std::size_t k = 0; k < n_runs; ++k) {
      const std::string file = folder + "/" + std::to_string(k);
      data_.push_back(load_dataset<T>(file + ".safetensors"));
      dim_ = data_.back().view().dim;
      starts_.push_back(load_weights(file + ".weights", dim_));
    }
    for (const Dataset<T>& set : data_) models_.push_back(std::make_unique<AttentionModel<T>>(set.view()));
    options_.trace_rows_per_decade = 0;
  }
  void reset() {
    states_.clear();
    for (std::size_t k = 0; k < models_.size(); ++k)
      states_.push_back(initial_state(*models_[k], {starts_[k]}));
  }
  double advance(const std::string& variant, std::int64_t steps, double step_size) {
    options_.form = variant == "dense" ? Form::dense : Form::automatic;
    char rule[100];
    std::snprintf(rule, sizeof rule, "ngd:step-size=%.17g", step_size);
    options_.rules = {parse_rule(rule)};
    options_.n_steps = steps;
    std::vector<TrainSummary> summaries;
    const double seconds = seconds_of([&] {
      if (variant == "side_by_side") {
        std::vector<ManyRun<T>> runs;
        for (std::size_t k = 0; k < models_.size(); ++k) {
          runs.push_back({models_[k].get(), &states_[k], &options_});
          if (!goes_side_by_side(runs.back())) throw std::runtime_error("does not go side by side");
        }
        summaries = train_many<T>(runs, threads_);
      } else {
        for (std::size_t k = 0; k < models_.size(); ++k)
          summaries.push_back(train(*models_[k], states_[k], options_));
      }
    });
    for (const TrainSummary& summary : summaries)
      if (summary.steps != steps) throw std::runtime_error(to_string(summary.status));
    return seconds;
  }
  void write(const std::string& folder) const {
    for (std::size_t k = 0; k < states_.size(); ++k) {
      const auto& w = states_[k].blocks[0];
      save_weights(folder + "/" + std::to_string(k) + ".weights", std::vector<double>(w.begin(), w.end()),
                   dim_);
    }
  }

 private:
  int threads_;
  std::size_t dim_ = 0;
  std::vector<Dataset<T>> data_;
  std::vector<std::vector<double>> starts_;
  std::vector<std::unique_ptr<AttentionModel<T>>> models_;
  std::vector<TrainState<T>> states_;
  TrainerOptions options_;
};

template <class T>
class ManyServer {
 public:
  explicit ManyServer(int threads) : threads_(threads) {}

  std::string answer(const Fields& fields) {
    const std::string& command = fields.at(0);
    if (command == "version") return std::string("{\"version\": \"") + version + ", " + active_isa() + "\"}";
    if (command == "load") {
      runs_ = std::make_unique<Runs<T>>(fields.at(1), std::stoul(fields.at(2)), threads_);
      return R"({"variants": ["side_by_side", "one_by_one", "dense"]})";
    }
    const std::string& name = fields.at(1);
    if (command == "prepare") {
      runs_->reset();
      runs_->advance(name, 1, timed_step_size);
      return "{\"variant\": \"" + name + "\"}";
    }
    runs_->reset();
    if (command == "check") {
      runs_->advance(name, std::stoll(fields.at(3)), std::stod(fields.at(2)));
      runs_->write(fields.at(4));
      return "{}";
    }
    if (command != "run") throw std::runtime_error("unknown request " + command);
    return timed(std::stod(fields.at(2)),
                 [&](std::int64_t steps) { return runs_->advance(name, steps, timed_step_size); });
  }

 private:
  int threads_;
  std::unique_ptr<Runs<T>> runs_;
};

}  // namespace
}  // namespace softstep::peers

int main(int argc, char** argv) {
  using namespace softstep::peers;
  if (argc != 3) return 2;
  const int threads = std::atoi(argv[2]);
  if (std::string(argv[1]) == "f32") {
    ManyServer<float> server(threads);
    return serve_lines(server);
  }
  ManyServer<double> server(threads);
  return serve_lines(server);
}
