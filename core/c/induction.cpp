#include "softstep/induction.h"

#include <algorithm>

#include "core/c/arrays.h"
#include "core/c/chosen_word.h"
#include "core/c/handles.h"

namespace softstep::c {
namespace {

InductionData data_of(const softstep_induction_data* given) {
  const softstep_induction_data in = read(required(given, "data"), "data");
  return {
      .length = in.length,
      .sequences = copied(in.sequences, product(in.n_samples, in.length, "data.n_samples"), "data.sequences"),
      .targets = copied(in.targets, in.n_samples, "data.targets")};
}

InductionScores scores_of(const char* given) {
  return chosen_word(given, "scores", {InductionScores::product, InductionScores::single});
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_induction_generate(size_t n_samples, size_t length, double a, double w_star,
                                            uint64_t seed, double* sequences, double* targets) {
  return guarded([&] {
    required(sequences, "sequences");
    required(targets, "targets");
    product(n_samples, length, "n_samples");
    const InductionData made = induction_data(n_samples, length, a, w_star, seed);
    std::copy(made.sequences.begin(), made.sequences.end(), sequences);
    std::copy(made.targets.begin(), made.targets.end(), targets);
  });
}

softstep_status softstep_induction_model_create(const softstep_induction_data* data, const char* scores,
                                                softstep_type type, const char* isa, softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const InductionData own = data_of(data);
    const InductionOptions of{.scores = scores_of(scores), .isa = word(isa)};
    *model = hand_out_model(type, "type", [&]<class T>() { return make_induction_model<T>(own, of); });
  });
}

softstep_status softstep_induction_parts(const softstep_induction_data* data, double a, double w_star,
                                         const double* blocks, const char* scores, double* four_gram,
                                         double* induction) {
  return guarded([&] {
    required(four_gram, "four_gram");
    required(induction, "induction");
    const InductionParts found =
        induction_parts(data_of(data), a, w_star, copied(blocks, 4, "blocks"), scores_of(scores));
    *four_gram = found.four_gram;
    *induction = found.induction;
  });
}
}
