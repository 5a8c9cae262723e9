// softstep train --model-kind: models on files of their own, what they answer and refuse, and the files that
// softstep generate makes for them.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "softstep/softstep.h"
#include "tools/run_program.h"

using namespace softstep::test;
using softstep::NamedTensor;
using softstep::StoredType;

namespace {

struct Kind {
  std::string name;
  Arguments generate, train;  // beside name, data, rule and steps
};
// From starts that are no stationary points.
const std::vector<Kind> kinds = {{"relu", {"--samples", "12", "--dim", "3"}, {"--neurons", "5"}},
                                 {"relu_population", {}, {"--neurons", "4"}},
                                 {"variational", {"--samples", "4", "--dim", "6"}, {"--rank", "3"}},
                                 {"vocabulary", {"--samples", "9", "--tokens", "4", "--dim", "5"}, {}},
                                 {"gated", {}, {}},
                                 {"induction", {"--samples", "20", "--tokens", "6"}, {}},
                                 {"in_context", {}, {"--heads", "4"}}};

Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

void make_data(const Workplace& place, const Kind& kind, const std::string& file = "data") {
  place.results(with({"generate", "--model-kind", kind.name, "--seed", "3", "--out", file}, kind.generate));
}

Arguments train(const Kind& kind, const Arguments& more, const std::string& steps = "30") {
  return with({"train", "--data", "data", "--model-kind", kind.name, "--rule", "ngd", "--step-size", "0.1",
               "--steps", steps},
              with(kind.train, more));
}

const Arguments start = {"--init", "normal:0.3", "--seed", "5"};

// Of the library's own run from the same start.
double loss_of(const softstep::Model<double>& model) {
  softstep::TrainState<double> state = softstep::normal_state(model, 0.3, 5);
  softstep::TrainerOptions options;
  options.rules = {softstep::parse_rule("ngd:step-size=0.1")};
  options.n_steps = 30;
  return softstep::train(model, state, options).last.loss;
}

void save(const Workplace& place, const std::vector<NamedTensor>& tensors, const std::string& file = "data") {
  softstep::save_tensors(place.path(file), tensors);
}

NamedTensor tensor(const std::string& name, const std::vector<std::size_t>& shape,
                   const std::vector<double>& values) {
  return {name, shape, values, StoredType::f64};
}

}  // namespace

TEST_CASE("every kind trains from its file, and says its blocks", "[tools]") {
  for (const Kind& kind : kinds) {
    INFO(kind.name);
    const Workplace place;
    make_data(place, kind);
    const Json run = place.results(train(kind, with(start, {"--trace", "T.csv", "--out", "W"})));
    CHECK(run["model"] == kind.name);
    CHECK(run["status"] == "max_iterations");
    CHECK(run["lstar"] == "model");
    CHECK(run["loss"].is_number());
    CHECK(!run["loss_function"].get<std::string>().empty());
    const std::vector<NamedTensor> written = softstep::load_tensors(place.path("W"));
    for (const auto& [name, shape] : run["blocks"].items()) {
      INFO(name);
      std::size_t found = 0;
      for (const NamedTensor& one : written)
        if (one.name == name) {
          ++found;
          std::size_t size = 1;
          for (const Json& n : shape) size *= n.get<std::size_t>();
          CHECK(one.values.size() == size);
        }
      CHECK(found == 1);
    }
    CHECK(lines(place.read("T.csv")).size() > 10);
    // The short and the long name of the option are one.
    Arguments same = train(kind, start);
    for (std::string& word : same)
      if (word == "--model-kind") word = "--model";
    CHECK(place.results(same)["loss"] == run["loss"]);
  }
}

TEST_CASE("a run of every kind is taken up again with the same bits", "[tools]") {
  for (const Kind& kind : kinds) {
    INFO(kind.name);
    const Workplace place;
    make_data(place, kind);
    const Json whole = place.results(train(kind, start, "40"));
    place.results(train(kind, with(start, {"--save-state", "S"}), "15"));
    const Json rest = place.results(train(kind, {"--resume", "S"}, "25"));
    place.results(train(kind, with(start, {"--checkpoint", "kept", "--checkpoint-every", "10"}), "20"));
    const Json later =
        place.results(train(kind, with(start, {"--checkpoint", "kept", "--resume", "kept"}), "40"));
    for (const char* key : {"step", "loss", "log10_gap", "weight_norm", "log10_gradient_norm"}) {
      INFO(key);
      CHECK(rest[key] == whole[key]);
      CHECK(later[key] == whole[key]);
    }
    // Data of another seed, or of another kind, are not those of the state.
    if (!kind.generate.empty()) {
      place.results(
          with({"generate", "--model-kind", kind.name, "--seed", "4", "--out", "data"}, kind.generate));
      place.require_bad_input(train(kind, {"--resume", "S"}), {"S"});
    }
  }
}

TEST_CASE("the program trains what the library trains", "[tools]") {
  const auto run = [](const Workplace& place, const Kind& kind) {
    return place.results(train(kind, start))["loss"].get<double>();
  };
  {
    const Workplace place;
    make_data(place, kinds[5]);
    const auto model = softstep::make_induction_model<double>(softstep::induction_data(20, 6, 1.0, 1.0, 3));
    CHECK(run(place, kinds[5]) == loss_of(*model));
  }
  {
    const Workplace place;
    save(place, {tensor("spectrum", {2}, {1.0, 0.5}), tensor("examples", {2}, {3, 4}),
                 tensor("correlations", {2}, {0.5, 0.9}), tensor("gates", {1}, {0.25})});
    softstep::MultitaskRegression data{{1.0, 0.5}, {3, 4}, {0.5, 0.9}, 0.0};
    const Kind constant = {"gated", {}, {"--variant", "constant"}};
    softstep::GatedOptions options;
    options.weights = softstep::ExampleWeights::constant;
    options.gates = {0.25};
    CHECK(run(place, constant) == loss_of(*softstep::make_gated_model<double>(data, options)));
    options = {};
    CHECK(run(place, {"gated", {}, {}}) == loss_of(*softstep::make_gated_model<double>(data, options)));
  }
  {
    const Workplace place;
    save(place, {tensor("spectrum", {3}, {1.0, 0.5, 0.25}), tensor("examples", {1}, {7})});
    softstep::InContextOptions options;
    options.form = softstep::HeadForm::merged;
    options.n_heads = 2;
    CHECK(run(place, {"in_context", {}, {"--variant", "merged", "--heads", "2"}}) ==
          loss_of(*softstep::make_in_context_model<double>({{1.0, 0.5, 0.25}, 7}, options)));
    options = {};
    options.n_heads = 2;
    options.rank = 2;
    // As many heads as three dimensions need.
    CHECK(run(place, {"in_context", {}, {"--rank", "2"}}) ==
          loss_of(*softstep::make_in_context_model<double>({{1.0, 0.5, 0.25}, 7}, options)));
  }
  {
    // Sentences of two and of one token; the first has two next tokens.
    const Workplace place;
    save(place, {tensor("tokens", {3, 2}, {1, 0, 0.5, 1, 0, 2}), tensor("offsets", {3}, {0, 2, 3}),
                 tensor("next", {3}, {0, 2, 1}), tensor("next_offsets", {3}, {0, 2, 3}),
                 tensor("next_probabilities", {3}, {0.25, 0.75, 1}), tensor("probabilities", {2}, {2, 1}),
                 tensor("vocabulary", {1}, {4})});
    softstep::SentenceData data;
    data.vocabulary = 4;
    data.dim = 2;
    data.tokens = {1, 0, 0.5, 1, 0, 2};
    data.first = {0, 2, 3};
    data.probabilities = {2, 1};
    data.first_next = {0, 2, 3};
    data.next = {0, 2, 1};
    data.labels = {0.25, 0.75, 1};
    softstep::VocabularyAttentionOptions options;
    CHECK(run(place, {"vocabulary", {}, {}}) ==
          loss_of(*softstep::make_vocabulary_attention_model<double>(data, options)));
    options.mixing = softstep::TokenMixing::linear;
    CHECK(run(place, {"vocabulary", {}, {"--variant", "linear"}}) ==
          loss_of(*softstep::make_vocabulary_attention_model<double>(data, options)));
  }
  {
    const Workplace place;
    const std::vector<double> x = {1, 2, -1, 0.5, 0.25, -3};
    const std::vector<std::int8_t> y = {1, -1, 1};
    softstep::BatchView<double> batch;
    batch.tokens = x.data();
    batch.labels = y.data();
    batch.n_samples = 3;
    batch.n_tokens = 1;
    batch.dim = 2;
    softstep::ReluOptions relu;
    relu.outer = {1, -1, 0.5};
    relu.n_neurons = 3;
    relu.loss = softstep::Loss::exponential;
    save(place, {tensor("features", {3, 2}, x), tensor("labels", {3}, {1, -1, 1}),
                 tensor("outer", {3}, {1, -1, 0.5})});
    CHECK(run(place, {"relu", {}, {"--loss", "exponential"}}) ==
          loss_of(*softstep::make_relu_model(batch, relu)));
    softstep::VariationalOptions variational;
    variational.loss = softstep::Loss::exponential;
    CHECK(run(place, {"variational", {}, {}}) ==
          loss_of(*softstep::make_variational_model(batch, variational)));
    const std::vector<double> targets = {0.5, 2, -1};
    batch.labels = nullptr;
    batch.targets = targets.data();
    relu.loss = variational.loss = softstep::Loss::squared;
    save(place, {tensor("features", {3, 2}, x), tensor("targets", {3}, targets),
                 tensor("outer", {3}, {1, -1, 0.5})});
    CHECK(run(place, {"relu", {}, {}}) == loss_of(*softstep::make_relu_model(batch, relu)));
    CHECK(run(place, {"variational", {}, {}}) ==
          loss_of(*softstep::make_variational_model(batch, variational)));
  }
}

TEST_CASE("diagonal keys and queries train from a data set", "[tools]") {
  const Workplace place;
  place.results(
      {"generate", "--samples", "8", "--tokens", "4", "--dim", "12", "--seed", "1", "--out", "data"});
  const Kind diagonal = {"diagonal", {}, {}};
  const Json run = place.results(train(diagonal, with(start, {"--out", "W"}), "200"));
  CHECK(run["variant"] == "factored");
  CHECK(run["blocks"]["keys"] == Json({12, 1}));
  CHECK(run["blocks"]["queries"] == Json({12, 1}));
  CHECK(run["lstar"] == "optimal");
  CHECK(run["min_optimal_attention"].get<double>() > 0.9);
  CHECK(place.results(train({"diagonal", {}, {"--variant", "combined"}}, {}))["blocks"]["weights"] ==
        Json({12, 1}));
  place.require_bad_input(train(diagonal, {"--queries", "all"}), {"--queries", "diagonal"});
  place.require_bad_input(train(diagonal, {"--joint"}), {"--joint", "diagonal"});
  place.require_bad_input(train(diagonal, {"--reference", "solve"}), {"--reference", "diagonal"});
  place.require_bad_input(train(diagonal, {"--variant", "merged"}), {"--variant", "merged", "combined"});
}

TEST_CASE("train refuses data and options that a kind does not have in one line", "[tools]") {
  const Workplace place;
  for (const Kind& kind : kinds) {
    INFO(kind.name);
    make_data(place, kind);
    for (const Arguments& more : {Arguments{"--joint"},
                                  {"--prompt"},
                                  {"--queries", "all"},
                                  {"--decoder", "data"},
                                  {"--lstar", "zero"},
                                  {"--reference", "solve"},
                                  {"--stop-one-minus-cos", "0.1"}})
      place.require_bad_input(train(kind, more), {more[0], kind.name});
    if (kind.name != "relu" && kind.name != "variational")
      place.require_bad_input(train(kind, {"--loss", "exponential"}), {"--loss", kind.name});
  }
  const auto refused = [&](const Kind& kind, const std::vector<NamedTensor>& tensors,
                           const std::vector<std::string>& words) {
    save(place, tensors);
    place.require_bad_input(train(kind, {}), words);
  };
  const NamedTensor spectrum = tensor("spectrum", {2}, {1, 0.5}), examples = tensor("examples", {2}, {3, 4}),
                    correlations = tensor("correlations", {2}, {0.5, 0.9});
  const Kind constant = {"gated", {}, {"--variant", "constant"}};
  // Gates outside (0, 1].
  for (const double gate : {0.0, -0.5, 1.5, std::nan("")})
    refused(constant, {spectrum, examples, correlations, tensor("gates", {1}, {gate})}, {"gates"});
  refused(constant, {spectrum, examples, correlations}, {"gates", "spectrum"});
  refused(constant, {spectrum, examples, correlations, tensor("gates", {2}, {1, 1})},
          {"gates", "[2]", "[1]"});
  refused(kinds[4], {spectrum, tensor("examples", {2}, {3, 4.5}), correlations}, {"examples", "4.5"});
  refused(kinds[4], {spectrum, examples, tensor("correlations", {2}, {0.5, 1.5})}, {"correlations", "1.5"});
  refused(kinds[4], {tensor("spectrum", {2}, {1, 0}), examples, correlations}, {"spectrum", "0"});
  refused(kinds[4], {tensor("features", {1, 1}, {1})}, {"spectrum", "features"});
  // Tokens out of the vocabulary.
  const NamedTensor tokens = tensor("tokens", {2, 1, 2}, {1, 0, 0, 1});
  refused(kinds[3], {tokens, tensor("next", {2}, {0, 4}), tensor("vocabulary", {1}, {3})},
          {"next", "4", "3"});
  refused(kinds[3], {tokens, tensor("next", {2}, {0, -1})}, {"next", "-1"});
  refused(kinds[3], {tokens, tensor("next", {3}, {0, 1, 1})}, {"next", "[3]", "[2]"});
  refused(kinds[3], {tokens, tensor("next", {2}, {0, 1}), tensor("values", {3, 2}, {1, 2, 3, 4, 5, 6})},
          {"values", "[3, 2]", "[2, 2]"});
  refused(kinds[3],
          {tensor("tokens", {2, 2}, {1, 0, 0, 1}), tensor("offsets", {3}, {0, 2, 2}),
           tensor("next", {2}, {0, 1})},
          {"offsets", "2"});
  // Points without labels, or with others than -1 and 1.
  const NamedTensor features = tensor("features", {2, 2}, {1, 0, 0, 1});
  refused(kinds[0], {features}, {"labels", "targets"});
  refused(kinds[0], {features, tensor("labels", {2}, {1, 0})}, {"labels", "0"});
  refused(kinds[0], {features, tensor("labels", {2}, {1, 1}), tensor("targets", {2}, {1, 1})},
          {"labels", "targets"});
  refused({"relu", {}, {}}, {features, tensor("labels", {2}, {1, -1})}, {"--neurons", "outer"});
  refused(kinds[0], {features, tensor("labels", {2}, {1, -1}), tensor("outer", {2}, {1, 1})},
          {"--neurons", "5", "2"});
  refused({"variational", {}, {"--loss", "logistic"}}, {features, tensor("labels", {2}, {1, -1})},
          {"--loss", "logistic"});
  refused({"variational", {}, {"--loss", "exponential"}}, {features, tensor("targets", {2}, {1, -1})},
          {"--loss", "exponential"});
  refused({"variational", {}, {}},
          {tensor("features", {2, 1}, {1, HUGE_VAL}), tensor("targets", {2}, {1, 2})},
          {"features", "finite"});
  // Heads whose rank does not reach the dimension.
  refused({"in_context", {}, {"--heads", "2"}},
          {tensor("spectrum", {3}, {1, 1, 1}), tensor("examples", {1}, {5})}, {"--heads", "2", "3"});
  refused({"in_context", {}, {"--variant", "merged", "--rank", "2"}},
          {tensor("spectrum", {3}, {1, 1, 1}), tensor("examples", {1}, {5})}, {"--rank", "merged"});
  refused(kinds[5], {tensor("sequences", {2, 2}, {1, 2, 3, 4}), tensor("targets", {2}, {1, 2})},
          {"length", "2"});
  // Options of other kinds.
  make_data(place, kinds[4]);
  place.require_bad_input(train(kinds[4], {"--neurons", "3"}), {"--neurons", "gated"});
  place.require_bad_input(train(kinds[4], {"--heads", "3"}), {"--heads", "gated"});
  place.require_bad_input(train(kinds[4], {"--variant", "separate"}), {"--variant", "separate", "free"});
  place.require_bad_input({"train", "--data", "data", "--rank", "3"}, {"--rank", "attention"});
  // Sizes that do not fit are told of their options, and not of the file.
  save(place, {tensor("spectrum", {3}, {1, 1, 1}), tensor("examples", {1}, {5})});
  const Kind in_context = {"in_context", {}, {}};
  const std::string no_room = "do not fit in memory";
  place.require_bad_input(train(in_context, {"--rank", "1e18"}), {"softstep: --rank: 1e18 (", no_room});
  place.require_bad_input(train(in_context, {"--heads", "1e18"}), {"softstep: --heads: 1e18 (", no_room});
  place.require_bad_input(train(in_context, {"--heads", "4", "--rank", "1e18"}),
                          {"softstep: --rank: 1e18 (", no_room});
  place.require_bad_input(train(in_context, {"--variant", "merged", "--heads", "1e18"}),
                          {"softstep: --heads: 1e18 (", no_room});
  save(place, {features, tensor("labels", {2}, {1, -1})});
  place.require_bad_input(train({"relu", {}, {}}, {"--neurons", "1e18"}),
                          {"softstep: --neurons: 1e18 (", no_room});
  place.require_bad_input(train({"variational", {}, {}}, {"--rank", "1e18"}),
                          {"softstep: --rank: 1e18 (the factor does not fit"});
}

TEST_CASE("rules that need L* are refused where the loss is unbounded below", "[tools]") {
  const Workplace place;
  make_data(place, kinds[1]);
  for (const std::string rule : {"polyak", "sps", "alig"})
    place.require_bad_input({"train", "--data", "data", "--model-kind", "relu_population", "--neurons", "4",
                             "--init", "normal:0.1", "--rule", rule},
                            {rule, "unbounded"});
}

TEST_CASE("generate makes files for models and refuses sizes that they do not have", "[tools]") {
  const Workplace place;
  const Json made = place.results(
      {"generate", "--model-kind", "induction", "--samples", "3", "--tokens", "4", "--out", "data"});
  CHECK(made["model"] == "induction");
  CHECK(made["tensors"]["sequences"] == Json({3, 4}));
  const auto bad = [&](const Arguments& more, const std::vector<std::string>& words) {
    place.require_bad_input(with({"generate", "--out", "other"}, more), words);
  };
  bad({"--model-kind", "gated", "--samples", "3"}, {"--samples", "gated"});
  bad({"--model-kind", "relu", "--generator", "planar"}, {"--generator", "relu"});
  bad({"--model-kind", "relu", "--shards", "2"}, {"--shards", "relu"});
  bad({"--model-kind", "relu", "--dim", "1"}, {"--dim", "1"});
  bad({"--model-kind", "induction", "--tokens", "2"}, {"--tokens", "2"});
  bad({"--model-kind", "diagonal"}, {"--model-kind", "diagonal"});
}
