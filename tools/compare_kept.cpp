#include "compare_kept.h"

#include <array>

#include "kept_runs.h"

namespace softstep::program {

namespace {

// The numbers of a record in the order of the file. A compared model has one observable, so nothing is
// watched beside it.
constexpr std::array<double TraceRecord::*, 13> numbers = {&TraceRecord::loss,
                                                           &TraceRecord::log10_gap,
                                                           &TraceRecord::weight_norm,
                                                           &TraceRecord::log10_gradient_norm,
                                                           &TraceRecord::step_length,
                                                           &TraceRecord::one_minus_cos,
                                                           &TraceRecord::angle,
                                                           &TraceRecord::min_optimal_attention,
                                                           &TraceRecord::log10_one_minus_optimal_attention,
                                                           &TraceRecord::seconds,
                                                           &TraceRecord::log10_loss,
                                                           &TraceRecord::optimal_loss,
                                                           &TraceRecord::accuracy};

TrainStatus status_of(const std::string& name) {
  for (const TrainStatus status :
       {TrainStatus::max_iterations, TrainStatus::converged, TrainStatus::stationary,
        TrainStatus::gap_not_positive, TrainStatus::not_finite, TrainStatus::out_of_time})
    if (name == to_string(status)) return status;
  return TrainStatus::not_run;
}

}  // namespace

Json kept_json(const CompareRun& run) {
  const TrainSummary& summary = run.summary;
  Json time_to = Json::array(), trace = Json::array();
  for (const TrainSummary::Crossing& crossing : summary.time_to)
    time_to.push_back(
        Json::array({exact_number(crossing.threshold), crossing.step, exact_number(crossing.seconds)}));
  for (const TraceRecord& record : run.trace) trace.push_back(exact_record(record, numbers));
  return {{"status", to_string(summary.status)},
          {"form", to_string(summary.form)},
          {"steps", summary.steps},
          {"steps_below_rounding", summary.steps_below_rounding},
          {"seconds", exact_number(summary.seconds)},
          {"setup_seconds", exact_number(summary.setup_seconds)},
          {"threads_used", summary.threads_used},
          {"last", exact_record(summary.last, numbers)},
          {"time_to", time_to},
          {"margin", exact_number(run.margin)},
          {"trace", trace}};
}

CompareRun compare_run_of(const Json& kept) {
  CompareRun run;
  TrainSummary& summary = run.summary;
  summary.status = status_of(kept.at("status").get<std::string>());
  summary.form = parse_form(kept.at("form").get<std::string>());
  summary.steps = kept.at("steps").get<std::int64_t>();
  summary.steps_below_rounding = kept.at("steps_below_rounding").get<std::int64_t>();
  summary.seconds = exact_number(kept.at("seconds"));
  summary.setup_seconds = exact_number(kept.at("setup_seconds"));
  summary.threads_used = kept.at("threads_used").get<int>();
  summary.last = exact_record_of(kept.at("last"), numbers);
  for (const Json& crossing : kept.at("time_to"))
    summary.time_to.push_back(
        {exact_number(crossing.at(0)), crossing.at(1).get<std::int64_t>(), exact_number(crossing.at(2))});
  run.margin = exact_number(kept.at("margin"));
  for (const Json& record : kept.at("trace")) run.trace.push_back(exact_record_of(record, numbers));
  run.finished = true;
  return run;
}

}  // namespace softstep::program
