#include "softstep/vocabulary_attention.h"

#include "core/c/arrays.h"
#include "core/c/chosen_word.h"
#include "core/c/handles.h"

namespace softstep::c {
namespace {

// The n + 1 places where sentences begin, checked before they are followed.
std::vector<std::size_t> places(const std::size_t* first, std::size_t n, const char* name) {
  product(n, 2, "data.n_sentences");
  std::vector<std::size_t> out = copied(first, n + 1, name);
  for (std::size_t i = 0; i < n; ++i)
    if (out[i + 1] < out[i])
      throw InvalidArgument(name, "entry " + std::to_string(i + 1) + " is below the one before");
  return out;
}

SentenceData data_of(const softstep_sentence_data* given) {
  const softstep_sentence_data in = read(required(given, "data"), "data");
  SentenceData out;
  out.vocabulary = in.vocabulary;
  out.dim = in.dim;
  product(in.vocabulary, in.dim, "data.vocabulary");
  out.first = places(in.first, in.n_sentences, "data.first");
  out.first_next = places(in.first_next, in.n_sentences, "data.first_next");
  out.tokens = copied(in.tokens, product(out.first.back(), in.dim, "data.first"), "data.tokens");
  out.probabilities = copied(in.probabilities, in.n_sentences, "data.probabilities");
  out.next = copied(in.next, product(out.first_next.back(), 1, "data.first_next"), "data.next");
  out.labels = copied(in.labels, out.first_next.back(), "data.labels");
  return out;
}

VocabularyAttentionOptions options_of(const softstep_vocabulary_options& in, const SentenceData& data) {
  VocabularyAttentionOptions out;
  out.mixing = chosen_word(in.mixing, "options.mixing", {TokenMixing::softmax, TokenMixing::linear});
  const std::size_t square = product(data.dim, data.dim, "data.dim");
  const std::size_t head = data.vocabulary * data.dim;
  if ((in.directions == nullptr) != (in.n_directions == 0))
    throw InvalidArgument("options.n_directions",
                          std::to_string(in.n_directions) + " (need 1 or more with directions, 0 without)");
  if (in.directions != nullptr)
    out.directions =
        copied(in.directions, product(in.n_directions, square, "options.n_directions"), "options.directions");
  if (in.values != nullptr) out.values = copied(in.values, head, "options.values");
  out.has_feed_forward = in.has_feed_forward != 0;
  if (in.feed_forward != nullptr) out.feed_forward = copied(in.feed_forward, head, "options.feed_forward");
  out.infimum =
      chosen_word(in.infimum, "options.infimum", {SentenceInfimum::entropy, SentenceInfimum::best_token});
  out.isa = word(in.isa);
  return out;
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_vocabulary_attention_model_create(const softstep_sentence_data* data,
                                                           const softstep_vocabulary_options* options,
                                                           softstep_model** model) {
  return guarded([&] {
    required(model, "model");
    const SentenceData own = data_of(data);
    const softstep_vocabulary_options in = read(options, "options");
    const VocabularyAttentionOptions of = options_of(in, own);
    *model = hand_out_model(in.type, "options.type",
                            [&]<class T>() { return make_vocabulary_attention_model<T>(own, of); });
  });
}

softstep_status softstep_sentence_entropy(const softstep_sentence_data* data, double* entropy) {
  return guarded([&] {
    required(entropy, "entropy");
    *entropy = data_of(data).entropy();
  });
}
}
