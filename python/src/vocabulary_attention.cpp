// softstep.VocabularyAttention: softstep/vocabulary_attention.h.

#include "softstep/vocabulary_attention.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "copied_model.h"
#include "named_choice.h"
#include "parts.h"
#include "vectors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

class VocabularyAttention : public AnyModel {
 public:
  using AnyModel::AnyModel;
};

std::vector<double> given(nb::handle array, const char* name) {
  return array.is_none() ? std::vector<double>{} : doubles_of(array, name);
}

SentenceData data_of(std::size_t vocabulary, nb::handle tokens, nb::handle first, nb::handle probabilities,
                     nb::handle first_next, nb::handle next, nb::handle labels) {
  const Array shape(tokens, "tokens");
  shape.require_dims(2, "(total tokens, dim)");
  return {.vocabulary = vocabulary,
          .dim = shape.extent(1),
          .tokens = doubles_of(tokens, "tokens"),
          .first = counts_of(first, "first"),
          .probabilities = doubles_of(probabilities, "probabilities"),
          .first_next = counts_of(first_next, "first_next"),
          .next = counts_of(next, "next"),
          .labels = doubles_of(labels, "labels")};
}

void construct(VocabularyAttention* place, std::size_t vocabulary, nb::handle tokens, nb::handle first,
               nb::handle probabilities, nb::handle first_next, nb::handle next, nb::handle labels,
               const std::string& mixing, nb::handle directions, nb::handle values, bool has_feed_forward,
               nb::handle feed_forward, const std::string& infimum, const std::string& dtype,
               const std::string& isa) {
  const SentenceData data = data_of(vocabulary, tokens, first, probabilities, first_next, next, labels);
  const VocabularyAttentionOptions options{
      .mixing = choice_of("mixing", mixing, {TokenMixing::softmax, TokenMixing::linear}),
      .directions = given(directions, "directions"),
      .values = given(values, "values"),
      .has_feed_forward = has_feed_forward,
      .feed_forward = given(feed_forward, "feed_forward"),
      .infimum = choice_of("infimum", infimum, {SentenceInfimum::entropy, SentenceInfimum::best_token}),
      .isa = isa};
  construct_copied(place, dtype,
                   [&]<NumberType T>() { return make_vocabulary_attention_model<T>(data, options); });
}

double entropy(std::size_t vocabulary, nb::handle tokens, nb::handle first, nb::handle probabilities,
               nb::handle first_next, nb::handle next, nb::handle labels) {
  const SentenceData data = data_of(vocabulary, tokens, first, probabilities, first_next, next, labels);
  data.validate();
  return data.entropy();
}

}  // namespace

void add_vocabulary_attention(nb::module_& m) {
  nb::class_<VocabularyAttention, AnyModel>(
      m, "VocabularyAttention", nb::type_slots(model_slots),
      "Attention with a vocabulary head. Use softstep.VocabularyAttention.")
      .def("__init__", &construct, "vocabulary"_a, "tokens"_a, "first"_a, "probabilities"_a, "first_next"_a,
           "next"_a, "labels"_a, nb::kw_only(), "mixing"_a = "softmax", "directions"_a.none() = nb::none(),
           "values"_a.none() = nb::none(), "has_feed_forward"_a = false, "feed_forward"_a.none() = nb::none(),
           "infimum"_a = "entropy", "dtype"_a = "float64", "isa"_a = "",
           nb::sig("def __init__(self, vocabulary: int, tokens: ArrayLike, first: ArrayLike, probabilities: "
                   "ArrayLike, first_next: ArrayLike, next: ArrayLike, labels: ArrayLike, *, mixing: str = "
                   "'softmax', directions: ArrayLike | None = None, values: ArrayLike | None = None, "
                   "has_feed_forward: bool = False, feed_forward: ArrayLike | None = None, infimum: str = "
                   "'entropy', dtype: str = 'float64', isa: str = '') -> None"));
  m.def("sentence_entropy", &entropy, "vocabulary"_a, "tokens"_a, "first"_a, "probabilities"_a,
        "first_next"_a, "next"_a, "labels"_a,
        nb::sig("def sentence_entropy(vocabulary: int, tokens: ArrayLike, first: ArrayLike, probabilities: "
                "ArrayLike, first_next: ArrayLike, next: ArrayLike, labels: ArrayLike) -> float"),
        "What SentenceData.entropy calls.");
}

}  // namespace softstep::python
