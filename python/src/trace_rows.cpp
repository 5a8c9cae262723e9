#include "trace_rows.h"

#include <limits>
#include <string>

#include "results.h"

namespace nb = nanobind;

namespace softstep::python {
namespace {

struct Field {
  const char* name;
  double TraceRecord::*value;
};

// All but the step, which is an integer and comes first.
#define SOFTSTEP_FIELD(name) \
  Field { #name, &TraceRecord::name }
constexpr Field fields[] = {SOFTSTEP_FIELD(loss),
                            SOFTSTEP_FIELD(log10_loss),
                            SOFTSTEP_FIELD(log10_gap),
                            SOFTSTEP_FIELD(optimal_loss),
                            SOFTSTEP_FIELD(weight_norm),
                            SOFTSTEP_FIELD(log10_gradient_norm),
                            SOFTSTEP_FIELD(step_length),
                            SOFTSTEP_FIELD(one_minus_cos),
                            SOFTSTEP_FIELD(angle),
                            SOFTSTEP_FIELD(min_optimal_attention),
                            SOFTSTEP_FIELD(log10_one_minus_optimal_attention),
                            SOFTSTEP_FIELD(accuracy),
                            SOFTSTEP_FIELD(seconds)};
#undef SOFTSTEP_FIELD

// Of what is watched beside the first observable: `take` gets a name and the number's place.
template <class Take>
void for_each_watched(const std::string& name, Take take) {
  using Watched = TraceRecord::Watched;
  take(name + "_norm", &Watched::norm);
  take("log10_" + name + "_gradient_norm", &Watched::log10_gradient_norm);
  take(name + "_one_minus_cos", &Watched::one_minus_cos);
}

template <class Value>
nb::object column(std::span<const TraceRecord* const> records, Value value) {
  std::vector<double> numbers;
  numbers.reserve(records.size());
  for (const TraceRecord* record : records) numbers.push_back(value(*record));
  return copy_of(std::span<const double>(numbers));
}

}  // namespace

nb::dict row_of(const TraceRecord& record, const std::vector<Observable>& watched) {
  nb::dict out;
  out["step"] = record.step;
  for (const Field& field : fields) out[field.name] = record.*field.value;
  for (std::size_t k = 0; k < record.others.size() && k + 1 < watched.size(); ++k)
    for_each_watched(watched[k + 1].name, [&](const std::string& name, double TraceRecord::Watched::*value) {
      out[name.c_str()] = record.others[k].*value;
    });
  return out;
}

nb::dict columns_of(std::span<const TraceRecord* const> records, const std::vector<Observable>& watched) {
  nb::dict out;
  std::vector<std::int64_t> steps;
  steps.reserve(records.size());
  for (const TraceRecord* record : records) steps.push_back(record->step);
  out["step"] = copy_of(std::span<const std::int64_t>(steps));
  for (const Field& field : fields)
    out[field.name] = column(records, [&](const TraceRecord& record) { return record.*field.value; });
  for (std::size_t k = 0; k + 1 < watched.size(); ++k)
    for_each_watched(watched[k + 1].name, [&](const std::string& name, double TraceRecord::Watched::*value) {
      out[name.c_str()] = column(records, [&](const TraceRecord& record) {
        return k < record.others.size() ? record.others[k].*value : std::numeric_limits<double>::quiet_NaN();
      });
    });
  return out;
}

}  // namespace softstep::python
