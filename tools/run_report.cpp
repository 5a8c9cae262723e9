#include "run_report.h"

#include <limits>
#include <nlohmann/json.hpp>

namespace softstep::program {

const char* const trace_columns =
    "step,loss,log10_gap,weight_norm,log10_gradient_norm,step_length,one_minus_cos,min_optimal_attention,"
    "log10_one_minus_optimal_attention,seconds";

std::string trace_row(const TraceRecord& record) {
  std::string row = std::to_string(record.step);
  for (const double value : {record.loss, record.log10_gap, record.weight_norm, record.log10_gradient_norm,
                             record.step_length, record.one_minus_cos, record.min_optimal_attention,
                             record.log10_one_minus_optimal_attention, record.seconds})
    row += "," + shortest(value);
  return row;
}

double steps_per_second(const TrainSummary& summary) {
  if (summary.steps <= 0 || !(summary.seconds > 0.0)) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(summary.steps) / summary.seconds;
}

void add_run(Json& json, const TrainSummary& summary, double margin) {
  const TraceRecord& last = summary.last;
  json["steps"] = summary.steps;
  json["steps_below_rounding"] = summary.steps_below_rounding;
  json["step"] = last.step;
  json["seconds"] = number(summary.seconds);
  json["setup_seconds"] = number(summary.setup_seconds);
  json["steps_per_second"] = number(steps_per_second(summary));
  json["loss"] = number(last.loss);
  json["log10_gap"] = number(last.log10_gap);
  json["weight_norm"] = number(last.weight_norm);
  json["log10_gradient_norm"] = number(last.log10_gradient_norm);
  json["one_minus_cos"] = number(last.one_minus_cos);
  json["angle"] = number(last.angle);
  json["margin"] = number(margin);
  json["min_optimal_attention"] = number(last.min_optimal_attention);
  json["log10_one_minus_optimal_attention"] = number(last.log10_one_minus_optimal_attention);
}

bool ended_well(TrainStatus status) {
  return status == TrainStatus::max_iterations || status == TrainStatus::converged ||
         status == TrainStatus::stationary;
}

bool is_direction(const MaxMarginResult& reference) {
  return (reference.status == MaxMarginStatus::optimal || reference.status == MaxMarginStatus::max_sweeps ||
          reference.status == MaxMarginStatus::at_rounding) &&
         !reference.weights.empty() && reference.norm > 0.0;
}

Json reference_json(const MaxMarginResult& reference) {
  const bool direction = is_direction(reference);
  const double none = std::numeric_limits<double>::quiet_NaN();
  Json json = Json::object();
  json["status"] = to_string(reference.status);
  json["norm"] = number(direction ? reference.norm : none);
  json["margin"] = number(direction ? reference.margin : none);
  json["duality_gap"] = number(direction ? reference.duality_gap : none);
  json["kkt_residual"] = number(direction ? reference.kkt_residual : none);
  json["constraints"] = reference.n_constraints;
  json["support"] = reference.n_support;
  json["sweeps"] = reference.sweeps;
  return json;
}

}  // namespace softstep::program
