#include "softstep/train_many.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/threads/start.h"
#include "core/threads/team.h"
#include "core/trainer/forms/choose_form.h"
#include "core/trainer/many/side_by_side.h"
#include "core/trainer/run_checks.h"
#include "softstep/error.h"

namespace softstep {
namespace {

template <class T>
void check_is_whole(const ManyRun<T>& run, const char* argument, std::size_t k) {
  const char* missing = run.model == nullptr     ? "model"
                        : run.state == nullptr   ? "state"
                        : run.options == nullptr ? "options"
                                                 : nullptr;
  if (missing != nullptr) throw InvalidArgument(argument, "run " + std::to_string(k) + " has no " + missing);
  const auto* attention = dynamic_cast<const AttentionModel<T>*>(run.model);
  if (attention != nullptr && attention->options().ranks != nullptr)
    throw InvalidArgument(argument, "run " + std::to_string(k) +
                                        " has a model of several ranks, which goes with train() alone");
}

// Units of queries and tokens so far from 1 that sums take care of them are for one run at a time.
template <class T>
bool has_plain_units(const AttentionData<T>& data) {
  const Scoring<T>* scoring = data.given_scoring();
  return (scoring == nullptr || !scoring->has_far_gaps()) && QueryUnits<T>(data).powers() == nullptr;
}

// A run in the middle of another form goes on in that.
template <class T>
bool may_be_in_query_span(const TrainState<T>& state, const TrainerOptions& options) {
  if (options.form == Form::query_span) return true;
  return options.form == Form::automatic && (state.step == 0 || state.span.form == Form::query_span);
}
bool may_be_dense(const TrainerOptions& options) {
  return options.form == Form::dense || options.form == Form::automatic;
}

// By which rule a run goes side by side with others; nothing if it does not.
template <class T>
std::optional<LaneRule> rule_side_by_side(const ManyRun<T>& run) {
  const auto* model = dynamic_cast<const AttentionModel<T>*>(run.model);
  if (model == nullptr || model->options().key_query != KeyQuery::combined) return std::nullopt;
  const AttentionData<T>& data = model->parts().data;
  const std::size_t batch_size = run.options->batch_size;
  const bool has_masters = std::any_of(run.state->masters.begin(), run.state->masters.end(),
                                       [](const auto& master) { return !master.empty(); });
  if (has_masters || data.storage() != StoredType::working || !data.query_rows.are_samples() ||
      !data.loss.has_kernel() || (batch_size != 0 && batch_size != data.batch.n_samples))
    return std::nullopt;
  const std::optional<LaneRule> rule = lane_rule_of<T>(*run.options, model->options().train_decoder);
  const bool pays = rule == LaneRule::along_gradient
                        ? may_be_in_query_span(*run.state, *run.options) && pays_side_by_side(data)
                        : may_be_dense(*run.options) && pays_side_by_side_dense(data);
  return rule && pays && has_plain_units(data) ? rule : std::nullopt;
}

// One thread's part of the work: runs from the queue, until there are no more or another thread has failed.
template <class T>
class Worker {
 public:
  Worker(const RunSource<T>& source, std::atomic<std::size_t>& next, std::atomic<bool>& failed,
         std::size_t n_lanes)
      : source_(source), next_(next), failed_(failed), n_lanes_(n_lanes) {}

  void work() {
    try {
      const typename SideBySide<T>::Done done = [&](std::size_t index, const TrainSummary& summary) {
        this->done(index, summary);
      };
      while (!failed_) {
        fill();
        if (group_ == nullptr || group_->is_empty()) return;
        do {
          group_->advance(done);
        } while (!failed_ && !group_->is_empty() && (!group_->has_room() || !may_fill()));
      }
    } catch (...) {
      failed_ = true;
      if (group_ != nullptr) group_->abandon();
      throw;
    }
    if (group_ != nullptr) group_->abandon();
  }

 private:
  struct Waiting {
    std::size_t index;
    ManyRun<T> run;
    RunShape shape;
  };

  // Runs of other shapes that may wait until those in the lanes are done.
  std::size_t most_waiting() const { return 2 * std::min(n_lanes_, simd::lane_multiple<T>); }
  bool waits_for_this_group() const {
    return std::any_of(waiting_.begin(), waiting_.end(),
                       [&](const Waiting& waiting) { return waiting.shape == group_->shape(); });
  }
  bool may_fill() const {
    return waits_for_this_group() || (waiting_.size() < most_waiting() && next_ < source_.n_runs);
  }

  // Takes runs until the lanes are full, or so many of other shapes wait that it is their turn.
  void fill() {
    clock_.hold();
    while (!failed_ && (group_ == nullptr || group_->has_room() || group_->is_empty())) {
      if (group_ != nullptr && take_waiting()) continue;
      // The first run that goes side by side says for which shape the lanes are: none waits without need.
      const bool is_first = group_ == nullptr && !waiting_.empty();
      if (!is_first && waiting_.size() < most_waiting() && take_next()) continue;
      if (waiting_.empty() || (group_ != nullptr && !group_->is_empty())) return;
      group_ = make_side_by_side<T>(commonest_shape(), n_lanes_, clock_);
    }
  }

  // The first that waits for this group.
  bool take_waiting() {
    const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                    [&](const Waiting& waiting) { return waiting.shape == group_->shape(); });
    if (found == waiting_.end()) return false;
    const Waiting now = *found;
    waiting_.erase(found);
    group_->take_in(now.index, now.run);
    return true;
  }
  const RunShape& commonest_shape() const {
    const auto count = [&](const Waiting& one) {
      return std::count_if(waiting_.begin(), waiting_.end(),
                           [&](const Waiting& other) { return other.shape == one.shape; });
    };
    return std::max_element(waiting_.begin(), waiting_.end(),
                            [&](const Waiting& a, const Waiting& b) { return count(a) < count(b); })
        ->shape;
  }

  // The next run of the queue into waiting_, or made at once where it does not go side by side. False if
  // there is none.
  bool take_next() {
    const std::size_t index = next_ < source_.n_runs ? next_++ : source_.n_runs;
    if (index >= source_.n_runs) return false;
    const std::optional<ManyRun<T>> made = source_.make(index);
    if (!made) {
      next_ = source_.n_runs;
      return false;
    }
    const ManyRun<T>& run = *made;
    check_is_whole(run, "source.make", index);
    check_run(*run.model, *run.state, *run.options);
    if (const std::optional<LaneRule> rule = rule_side_by_side(run))
      waiting_.push_back(Waiting{index, run, shape_of(attention_data_of(*run.model), *rule)});
    else
      done(index, train(*run.model, *run.state, *run.options));
    return true;
  }

  void done(std::size_t index, const TrainSummary& summary) {
    if (source_.done) source_.done(index, summary);
  }

  const RunSource<T>& source_;
  std::atomic<std::size_t>& next_;
  std::atomic<bool>& failed_;
  const std::size_t n_lanes_;
  SharedClock clock_;
  std::unique_ptr<SideBySide<T>> group_;
  std::vector<Waiting> waiting_;  // first come first
};

template <class T>
void check_runs(std::span<const ManyRun<T>> runs) {
  std::unordered_map<const TrainState<T>*, std::size_t> owner;
  for (std::size_t k = 0; k < runs.size(); ++k) {
    const ManyRun<T>& run = runs[k];
    check_is_whole(run, "runs", k);
    const auto [first, is_new] = owner.emplace(run.state, k);
    if (!is_new)
      throw InvalidArgument("runs", "runs " + std::to_string(first->second) + " and " + std::to_string(k) +
                                        " have one state (need one each)");
    check_run(*run.model, *run.state, *run.options);
  }
}

}  // namespace

template <NumberType T>
bool goes_side_by_side(const ManyRun<T>& run) {
  check_is_whole(run, "run", 0);
  return rule_side_by_side(run).has_value();
}

template <NumberType T>
void train_many(const RunSource<T>& source, int n_threads) {
  check_thread_count(n_threads);
  if (source.n_runs == 0) return;
  if (!source.make) throw InvalidArgument("source.make", "missing");
  const auto n = std::min(static_cast<std::size_t>(thread_count(n_threads)), source.n_runs);
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  with_team<Waits::never>(static_cast<int>(n), [&](const Team& team) {
    // So that every thread has runs where there are few.
    const std::size_t n_lanes = (source.n_runs + team.size - 1) / team.size;
    Worker<T>(source, next, failed, n_lanes).work();
  });
}

template <NumberType T>
std::vector<TrainSummary> train_many(std::span<const ManyRun<T>> runs, int n_threads) {
  check_runs(runs);
  std::vector<TrainSummary> out(runs.size());
  train_many<T>({.n_runs = runs.size(),
                 .make = [&](std::size_t k) { return std::optional(runs[k]); },
                 .done = [&](std::size_t k, const TrainSummary& summary) { out[k] = summary; }},
                n_threads);
  return out;
}

template bool goes_side_by_side(const ManyRun<float>&);
template bool goes_side_by_side(const ManyRun<double>&);
template void train_many(const RunSource<float>&, int);
template void train_many(const RunSource<double>&, int);
template std::vector<TrainSummary> train_many(std::span<const ManyRun<float>>, int);
template std::vector<TrainSummary> train_many(std::span<const ManyRun<double>>, int);

}  // namespace softstep
