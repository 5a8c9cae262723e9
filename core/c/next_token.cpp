#include "softstep/next_token.h"

#include "core/c/arrays.h"
#include "core/c/handles.h"

namespace softstep::c {
namespace {

NextTokenData data_of(const softstep_next_token_data& in) {
  NextTokenData out;
  out.vocabulary = in.vocabulary;
  out.dim = in.dim;
  out.contexts = copied(in.contexts, product(in.n_contexts, in.dim, "data.n_contexts"), "data.contexts");
  out.probabilities = copied(in.probabilities, in.n_contexts, "data.probabilities");
  out.first = copied(in.first, in.n_contexts + 1, "data.first");
  // Checked before they are followed.
  for (std::size_t j = 0; j < in.n_contexts; ++j)
    if (in.first[j + 1] < in.first[j])
      throw InvalidArgument("data.first", "entry " + std::to_string(j + 1) + " is below the one before");
  const std::size_t n_entries = in.first[in.n_contexts];
  out.tokens = copied(in.tokens, n_entries, "data.tokens");
  out.labels = copied(in.labels, n_entries, "data.labels");
  return out;
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" softstep_status softstep_next_token_model_create(const softstep_next_token_data* data,
                                                            softstep_type type, const char* isa,
                                                            softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const NextTokenData own = data_of(read(required(data, "data"), "data"));
    *model =
        hand_out_model(type, "type", [&]<class T>() { return make_next_token_model<T>(own, word(isa)); });
  });
}
