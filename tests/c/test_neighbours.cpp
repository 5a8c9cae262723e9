// Models of neighbouring papers through the C face: the bits of the C++ face, in both precisions.

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "c/c_problem.h"
#include "softstep/diagonal_attention.h"
#include "softstep/gated.h"
#include "softstep/induction.h"
#include "softstep/train_state.h"
#include "softstep/variational.h"
#include "softstep/vocabulary_attention.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// Loss and gradients at drawn blocks, from both faces. Destroys the model of C.
template <class T>
void require_same(softstep_status status, softstep_model* c, const Model<T>& model) {
  INFO(softstep_last_message());
  REQUIRE(status == SOFTSTEP_OK);
  std::vector<std::vector<T>> at, found;
  for (const BlockShape& block : model.blocks()) {
    const std::vector<double> drawn = normal_values(block.size(), 0.5, at.size() + 1);
    at.emplace_back(drawn.begin(), drawn.end());
    found.emplace_back(block.size());
  }
  const auto space = model.make_workspace();
  Evaluation<T> expected;
  model.evaluate(views_of(at), expected, *space);
  std::vector<const void*> blocks;
  std::vector<void*> gradients;
  for (std::size_t k = 0; k < at.size(); ++k) {
    blocks.push_back(at[k].data());
    gradients.push_back(found[k].data());
  }
  std::vector<double> exponents(at.size());
  std::size_t n_blocks = 0;
  REQUIRE(softstep_model_n_blocks(c, &n_blocks) == SOFTSTEP_OK);
  REQUIRE(n_blocks == at.size());
  softstep_workspace* own = nullptr;
  REQUIRE(softstep_workspace_create(c, &own) == SOFTSTEP_OK);
  softstep_evaluation got{};
  got.struct_size = sizeof got;
  REQUIRE(softstep_evaluate(c, own, blocks.data(), SOFTSTEP_WANT_ALL, nullptr, 0, &got, gradients.data(),
                            exponents.data()) == SOFTSTEP_OK);
  CHECK(got.loss == expected.loss);
  CHECK(got.loss_gap.mantissa == expected.loss_gap.mantissa);
  CHECK(got.loss_gap.exponent == expected.loss_gap.exponent);
  for (std::size_t k = 0; k < at.size(); ++k) {
    INFO(model.blocks()[k].name);
    CHECK(found[k] == expected.gradients[k].values);
    CHECK(exponents[k] == expected.gradients[k].exponent);
  }
  softstep_workspace_destroy(own);
  softstep_model_destroy(c);
}

// check.operator()<T>(type) in both precisions.
template <class Check>
void in_both_precisions(Check check) {
  check.template operator()<double>(SOFTSTEP_F64);
  check.template operator()<float>(SOFTSTEP_F32);
}

}  // namespace

TEST_CASE("Sizes of data that no memory holds are refused by the name that the caller knows, in C", "[c]") {
  const CProblem problem;
  const softstep_batch batch = problem.batch();
  constexpr std::size_t large = std::size_t{1} << 62;
  const double numbers[] = {1, 2, 3, 4};
  const std::size_t indices[] = {0, 1, 2};
  const auto argument_of = [](softstep_status status) {
    return std::string(status == SOFTSTEP_BAD_ARGUMENT ? softstep_last_argument() : softstep_last_message());
  };
  softstep_model* model = nullptr;
  softstep_relu_options relu{};
  relu.struct_size = sizeof relu;
  relu.n_neurons = large;
  relu.outer = numbers;
  CHECK(argument_of(softstep_relu_model_create(&batch, &relu, &model)) == "options.n_neurons");
  const std::int8_t label = 1;
  softstep_gaussian_clusters clusters{};
  clusters.struct_size = sizeof clusters;
  clusters.dim = clusters.n_clusters = 1;
  clusters.means = clusters.probabilities = numbers;
  clusters.labels = &label;
  CHECK(argument_of(softstep_relu_population_model_create(&clusters, large, numbers, SOFTSTEP_F64, nullptr,
                                                          &model)) == "n_neurons");
  softstep_in_context_options in_context{};
  in_context.struct_size = sizeof in_context;
  in_context.spectrum = numbers;
  in_context.dim = large;
  CHECK(argument_of(softstep_in_context_model_create(&in_context, &model)) == "options.dim");
  CHECK(model == nullptr);

  softstep_multiclass_data classes{};
  classes.struct_size = sizeof classes;
  classes.n_classes = large;
  classes.dim = classes.n_samples = 2;
  classes.features = numbers;
  classes.classes = indices;
  double margin = 0.0;
  CHECK(argument_of(softstep_multiclass_margin(&classes, numbers, "frobenius", 2.0, &margin)) ==
        "data.n_classes");
  softstep_margin_certificate* certificate = nullptr;
  REQUIRE(softstep_margin_certificate_create(2, 2, &certificate) == SOFTSTEP_OK);
  CHECK(argument_of(softstep_margin_certificate_add_multiclass(certificate, &classes, numbers)) ==
        "data.n_classes");
  softstep_margin_certificate_destroy(certificate);

  CHECK(argument_of(softstep_solve_next_token_max_margin(SOFTSTEP_F64, numbers, large, 2, 2, indices, indices,
                                                         nullptr, nullptr, nullptr)) == "n");
  softstep_batch many = batch;
  many.n_samples = large / 4;
  CHECK(argument_of(softstep_solve_max_margin_with_ties(&many, indices, indices, nullptr, nullptr,
                                                        nullptr)) == "batch.n_samples");
}

TEST_CASE("Attention with a vocabulary head in C", "[c]") {
  SentenceData data;
  data.vocabulary = 3;
  data.dim = 2;
  data.tokens = normal_values(10, 1.0, 7);
  data.first = {0, 2, 5};
  data.probabilities = {1, 2};
  data.first_next = {0, 1, 3};
  data.next = {0, 1, 2};
  data.labels = {1, 1, 3};
  softstep_sentence_data in{};
  in.struct_size = sizeof in;
  in.vocabulary = data.vocabulary;
  in.dim = data.dim;
  in.n_sentences = 2;
  in.tokens = data.tokens.data();
  in.first = data.first.data();
  in.probabilities = data.probabilities.data();
  in.first_next = data.first_next.data();
  in.next = data.next.data();
  in.labels = data.labels.data();
  double entropy = 0.0;
  REQUIRE(softstep_sentence_entropy(&in, &entropy) == SOFTSTEP_OK);
  CHECK(entropy == data.entropy());
  const std::vector<double> directions = normal_values(8, 1.0, 8);
  const std::vector<double> values = normal_values(6, 1.0, 9);
  const std::vector<double> forward = normal_values(6, 1.0, 10);
  in_both_precisions([&]<class T>(softstep_type type) {
    for (int part = 0; part < 3; ++part) {
      VocabularyAttentionOptions options;
      softstep_vocabulary_options of{};
      of.struct_size = sizeof of;
      of.type = type;
      if (part > 0) {
        options.mixing = TokenMixing::linear;
        of.mixing = "linear";
        options.has_feed_forward = true;
        of.has_feed_forward = 1;
      }
      if (part > 1) {
        options.mixing = TokenMixing::softmax;
        of.mixing = "softmax";
        options.infimum = SentenceInfimum::best_token;
        of.infimum = "best token";
        options.directions = directions;
        of.directions = directions.data();
        of.n_directions = 2;
        options.values = values;
        of.values = values.data();
        options.feed_forward = forward;
        of.feed_forward = forward.data();
      }
      softstep_model* model = nullptr;
      const softstep_status status = softstep_vocabulary_attention_model_create(&in, &of, &model);
      require_same(status, model, *make_vocabulary_attention_model<T>(data, options));
    }
  });
}

TEST_CASE("Gated regression in C", "[c]") {
  MultitaskRegression data;
  data.spectrum = {1, 0.5, 0.25};
  data.n_examples = {3, 2, 4};
  data.correlations = {0.25, 0.5, 0.75};
  data.noise = 0.1;
  softstep_multitask_regression in{};
  in.struct_size = sizeof in;
  in.dim = in.n_tasks = 3;
  in.spectrum = data.spectrum.data();
  in.n_examples = data.n_examples.data();
  in.correlations = data.correlations.data();
  in.noise = data.noise;
  std::vector<double> weights(3);
  double loss = 0.0;
  REQUIRE(softstep_multitask_weights(&in, weights.data()) == SOFTSTEP_OK);
  CHECK(weights == multitask_weights(data));
  REQUIRE(softstep_multitask_loss(&in, weights.data(), &loss) == SOFTSTEP_OK);
  CHECK(loss == multitask_loss(data, weights));
  const std::vector<double> gates = {0.5, 0.875};
  in_both_precisions([&]<class T>(softstep_type type) {
    for (const ExampleWeights kind :
         {ExampleWeights::gated, ExampleWeights::free, ExampleWeights::constant}) {
      GatedOptions options;
      options.weights = kind;
      const bool given = kind == ExampleWeights::constant;
      if (given) options.gates = gates;
      softstep_model* model = nullptr;
      const softstep_status status = softstep_gated_model_create(
          &in, to_string(kind), given ? gates.data() : nullptr, type, nullptr, &model);
      require_same(status, model, *make_gated_model<T>(data, options));
    }
  });
}

TEST_CASE("The induction head in C", "[c]") {
  const InductionData data = induction_data(6, 5, 0.5, 1.5, 3);
  std::vector<double> sequences(30), targets(6);
  REQUIRE(softstep_induction_generate(6, 5, 0.5, 1.5, 3, sequences.data(), targets.data()) == SOFTSTEP_OK);
  CHECK(sequences == data.sequences);
  CHECK(targets == data.targets);
  softstep_induction_data in{};
  in.struct_size = sizeof in;
  in.length = 5;
  in.n_samples = 6;
  in.sequences = sequences.data();
  in.targets = targets.data();
  const std::vector<double> blocks = {0.1, 0.2, 0.3, 0.4};
  for (const InductionScores scores : {InductionScores::product, InductionScores::single}) {
    double four_gram = 0.0, induction = 0.0;
    REQUIRE(softstep_induction_parts(&in, 0.5, 1.5, blocks.data(), to_string(scores), &four_gram,
                                     &induction) == SOFTSTEP_OK);
    const InductionParts parts = induction_parts(data, 0.5, 1.5, blocks, scores);
    CHECK(four_gram == parts.four_gram);
    CHECK(induction == parts.induction);
    in_both_precisions([&]<class T>(softstep_type type) {
      InductionOptions options;
      options.scores = scores;
      softstep_model* model = nullptr;
      const softstep_status status =
          softstep_induction_model_create(&in, to_string(scores), type, nullptr, &model);
      require_same(status, model, *make_induction_model<T>(data, options));
    });
  }
}

TEST_CASE("Models of batches in C: drawn weights, and diagonal K and Q", "[c]") {
  const CProblem problem;
  const softstep_batch batch = problem.batch();
  for (const char* loss : {"logistic", "exponential"}) {
    for (const DiagonalForm form : {DiagonalForm::factored, DiagonalForm::combined}) {
      DiagonalAttentionOptions options;
      options.form = form;
      options.loss = parse_loss(loss);
      options.optimal_loss = OptimalLoss::value;
      options.optimal_loss_value = 0.125;
      softstep_diagonal_options of{};
      of.struct_size = sizeof of;
      of.form = to_string(form);
      of.loss = loss;
      of.optimal_loss = "value";
      of.optimal_loss_value = 0.125;
      softstep_model* model = nullptr;
      const softstep_status status = softstep_diagonal_attention_model_create(&batch, &of, &model);
      require_same(status, model, *make_diagonal_attention_model(problem.data.view(), options));
    }
  }
  VariationalOptions options;
  options.loss = Loss::exponential;
  options.rank = 3;
  softstep_variational_options of{};
  of.struct_size = sizeof of;
  of.loss = "exponential";
  of.rank = 3;
  softstep_model* model = nullptr;
  const softstep_status status = softstep_variational_model_create(&batch, &of, &model);
  require_same(status, model, *make_variational_model(problem.data.view(), options));
}
