// softstep train with models of several blocks, and softstep fit: what they answer, leave behind and refuse.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "softstep/dataset.h"
#include "tools/run_program.h"

using namespace softstep::test;

namespace {

void make_data(const Workplace& place) {
  for (const char* seed : {"1", "2"})
    place.results({"generate", "--samples", "8", "--tokens", "4", "--dim", "12", "--seed", seed, "--out",
                   std::string("data") + seed});
}

Arguments train(const Arguments& more, const std::string& steps = "200", const std::string& rule = "ngd") {
  Arguments arguments = {"train", "--data", "data1", "--rule", rule, "--steps", steps};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Arguments fit(const Arguments& more, const std::string& test = "data2", const std::string& batch_size = "3") {
  Arguments arguments = {"fit",     "--train",      "data1",    "--test",    test,
                         "--rules", "sgd;sngd",     "--epochs", "3",         "--seeds",
                         "2",       "--batch-size", batch_size, "--no-plots"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("train answers for every model, with the decoder's columns in joint training", "[tools]") {
  const Workplace place;
  make_data(place);
  const Json joint = place.results(train({"--joint", "--trace", "T.csv", "--out", "W"}));
  CHECK(joint["model"] == "joint");
  for (const char* key : {"log10_loss", "accuracy", "decoder_norm", "decoder_one_minus_cos"}) {
    INFO(key);
    REQUIRE(joint[key].is_number());
  }
  CHECK(joint["lstar"] == "zero");
  const std::string head = lines(place.read("T.csv")).at(0);
  for (const char* column :
       {"log10_loss", "decoder_norm", "log10_decoder_gradient_norm", "decoder_one_minus_cos"})
    CHECK(head.find(column) != std::string::npos);
  CHECK(place.results(train({"--factored", "3", "--init", "normal:0.1"}))["rank"] == 3);
  CHECK(place.results(train({"--prompt"}))["model"] == "prompt");
  CHECK(place.results(train({"--model", "logistic"}))["model"] == "logistic");
  CHECK(place.results(train({"--batch-size", "3"}))["batch_size"] == 3);
}

TEST_CASE("a model's run taken up again ends where one that never stopped does", "[tools]") {
  const Workplace place;
  make_data(place);
  const Json whole = place.results(train({"--joint", "--batch-size", "3"}, "40"));
  place.results(train({"--joint", "--batch-size", "3", "--save-state", "S"}, "15"));
  const Json rest = place.results(train({"--joint", "--batch-size", "3", "--resume", "S"}, "25"));
  for (const char* key : {"step", "log10_loss", "weight_norm", "decoder_norm", "decoder_one_minus_cos"})
    CHECK(rest[key] == whole[key]);
}

TEST_CASE("train refuses models that do not fit in one line", "[tools]") {
  const Workplace place;
  make_data(place);
  place.require_bad_input(train({"--factored", "3"}), {"--init", "stationary"});
  place.require_bad_input(train({"--factored", "13", "--init", "normal:0.1"}), {"--factored", "13", "12"});
  place.require_bad_input(train({"--factored", "3", "--prompt"}), {"--prompt"});
  place.require_bad_input(train({"--joint", "--lstar", "optimal"}), {"--lstar", "zero"});
  place.require_bad_input(train({"--batch-size", "9"}), {"--batch-size", "9", "8"});
  place.require_bad_input(train({"--batch-size", "0"}), {"--batch-size", "0"});
  place.require_bad_input(train({"--decoder-rule", "gd"}), {"--decoder-rule", "--joint"});
  place.require_bad_input(train({"--model", "logistic", "--joint"}), {"--joint"});
  place.require_bad_input(train({"--model", "logistic", "--decoder", "data1"}), {"--decoder", "logistic"});
  place.require_bad_input(train({"--model", "logistic", "--precision", "f32", "--token-storage", "f16"}),
                          {"--token-storage", "logistic"});
  place.require_bad_input(train({"--joint", "--normalization", "joint"}, "200", "sign"),
                          {"normalization", "sign"});
}

namespace {

// Three classes of two points each in the plane.
void make_classes(const Workplace& place) {
  const std::vector<double> features = {2, 0.1, 2, -0.1, -1, 2, -1.2, 1.8, -1, -2, -0.9, -2.2};
  place.write("classes", safetensors({{"features", "F64", {6, 2}, bytes_of(features)},
                                      {"classes", "U8", {6}, std::string({0, 0, 1, 1, 2, 2})}}));
}

Arguments train_classes(const Arguments& more, const std::string& steps = "200") {
  Arguments arguments = {"train",  "--data", "classes", "--model", "multiclass",
                         "--rule", "ngd",    "--steps", steps};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("train fits points of several classes, and comes to their largest margin", "[tools]") {
  const Workplace place;
  make_classes(place);
  const Json plain = place.results(train_classes({"--out", "W", "--trace", "T.csv"}));
  CHECK(plain["model"] == "multiclass");
  CHECK(plain["classes"] == 3);
  CHECK(plain["accuracy"] == 1.0);
  CHECK(plain["loss_function"] == "cross entropy");
  CHECK(plain["lstar"] == "zero");
  CHECK(plain["one_minus_cos"].is_null());
  CHECK(lines(place.read("T.csv")).size() > 10);
  const std::vector<softstep::NamedTensor> written = softstep::load_tensors(place.path("W"));
  REQUIRE(written.size() == 1);
  CHECK(written[0].name == "weights");
  CHECK(written[0].shape == std::vector<std::size_t>{3, 2});
  const Json solved = place.results(train_classes({"--reference", "solve"}, "20000"));
  CHECK(solved["references"]["weights"]["status"] == "optimal");
  CHECK(solved["one_minus_cos"].get<double>() <= 1e-6);
  CHECK(std::fabs(solved["margin"].get<double>() / solved["references"]["weights"]["margin"].get<double>() -
                  1.0) <= 1e-3);
  CHECK(place.results(train_classes({"--precision", "f32", "--batch-size", "2"}))["batch_size"] == 2);
  const Json whole = place.results(train_classes({"--init", "normal:0.1"}, "40"));
  place.results(train_classes({"--init", "normal:0.1", "--save-state", "S"}, "15"));
  const Json rest = place.results(train_classes({"--resume", "S"}, "25"));
  for (const char* key : {"step", "log10_loss", "weight_norm", "margin"}) CHECK(rest[key] == whole[key]);
}

TEST_CASE("train refuses what does not go with several classes in one line", "[tools]") {
  const Workplace place;
  make_classes(place);
  make_data(place);
  for (const Arguments& more : {Arguments{"--joint"},
                                {"--prompt"},
                                {"--loss", "exponential"},
                                {"--lstar", "zero"},
                                {"--queries", "all"},
                                {"--decoder", "data1"},
                                {"--stop-one-minus-cos", "0.1"}})
    place.require_bad_input(train_classes(more), {more[0], "--model multiclass"});
  place.require_bad_input(train_classes({"--token-storage", "f16", "--precision", "f32"}),
                          {"--token-storage", "--model multiclass"});
  place.require_bad_input(train_classes({"--factored", "1", "--init", "normal:1"}),
                          {"--factored", "--model multiclass"});
  place.require_bad_input(train_classes({"--reference", "data1"}), {"--reference", "data1"});
  place.require_bad_input(train_classes({"--form", "token-span"}), {"--form", "token-span"});
  place.require_bad_input(train_classes({"--batch-size", "7"}), {"--batch-size", "7", "6"});
  place.require_bad_input({"train", "--data", "data1", "--model", "multiclass"}, {"data1", "features"});
  place.require_bad_input({"train", "--data", "classes"}, {"classes", "tokens"});
}

TEST_CASE("fit writes curves by epoch and a verdict", "[tools]") {
  const Workplace place;
  make_data(place);
  const Json verdict = place.results(fit({"--out", "dir"}));
  CHECK(verdict["passed"] == true);
  CHECK(place.read_json("dir/verdict.json") == verdict);
  // Two rules, two seeds, the start and three epochs.
  CHECK(lines(place.read("dir/fit.csv")).size() == 1 + 2 * 2 * 4);
  // The same for any number of threads but for the time it took.
  const Json again = place.results(fit({"--out", "two", "--threads", "2"}));
  CHECK(again["checks"] == verdict["checks"]);
}

TEST_CASE("fit goes through the weights of train, in mini-batches and with all samples", "[tools]") {
  const Workplace place;
  make_data(place);
  // 3 steps an epoch, one run after the other; and one step, side by side.
  const auto [batch_size, steps] = GENERATE(std::pair("3", 3), std::pair("8", 1));
  place.results({"fit",      "--train",     "data1",   "--test",     "data2",  "--rules",    "gd;sngd",
                 "--epochs", "3",           "--seeds", "11",         "--init", "normal:0.1", "--batch-size",
                 batch_size, "--precision", "f64",     "--no-plots", "--out",  "dir"});
  const std::vector<std::string> rows = lines(place.read("dir/fit.csv"));
  REQUIRE(rows.size() == 1 + 2 * 11 * 4);
  const std::vector<std::string> names = fields(rows[0]);
  const auto entry = [&](std::size_t row, const std::string& name) {
    const auto at = std::find(names.begin(), names.end(), name) - names.begin();
    return std::stod(fields(rows[row]).at(static_cast<std::size_t>(at)));
  };
  // Side by side sums are in another order: three of at most 12 + 4 + 8 terms in a step, so 3 * 3 * 24 *
  // 2^-53 = 2.4e-14 after three steps. A factor of 40 is left for what later steps make of it.
  const double bound = 1e-12;
  for (const std::size_t seed : {0, 10})
    for (const int epoch : {1, 3}) {
      const Json one = place.results(train({"--joint", "--init", "normal:0.1", "--seed", std::to_string(seed),
                                            "--precision", "f64", "--batch-size", batch_size},
                                           std::to_string(epoch * steps), "gd"));
      const std::size_t row = 1 + 4 * seed + static_cast<std::size_t>(epoch);
      INFO("seed " << seed << ", epoch " << epoch << ": " << rows[row]);
      CHECK(entry(row, "step") == static_cast<double>(epoch * steps));
      CHECK(std::fabs(entry(row, "train_loss") - std::pow(10.0, one["log10_loss"].get<double>())) <= bound);
      CHECK(std::fabs(entry(row, "weight_norm") - one["weight_norm"].get<double>()) <= bound);
      CHECK(std::fabs(entry(row, "decoder_norm") - one["decoder_norm"].get<double>()) <= bound);
    }
}

TEST_CASE("fit says when the accuracy asked for is not there", "[tools]") {
  const Workplace place;
  make_data(place);
  // Steps too small to tell the samples of the other set apart.
  const Ran ran = place.run({"fit",
                             "--train",
                             "data1",
                             "--test",
                             "data2",
                             "--rules",
                             "sgd:step-size=1e-6",
                             "--init",
                             "zero",
                             "--epochs",
                             "1",
                             "--seeds",
                             "1",
                             "--batch-size",
                             "8",
                             "--no-plots",
                             "--out",
                             "dir",
                             "--expect-accuracy",
                             "1"});
  CHECK(ran.code == 1);
  const Json verdict = place.read_json("dir/verdict.json");
  CHECK(verdict["passed"] == false);
  CHECK(verdict["checks"].back()["lowest"] == 1.0);
  CHECK(verdict["checks"].back()["measured"] < 1.0);
}

TEST_CASE("fit refuses what does not fit", "[tools]") {
  const Workplace place;
  make_data(place);
  place.results({"generate", "--dim", "13", "--out", "wide"});
  place.require_bad_input(fit({"--out", "dir"}, "wide"), {"--test", "13", "12"});
  place.require_bad_input(fit({"--out", "dir"}, "data2", "9"), {"--batch-size", "9", "8"});
  place.require_bad_input(fit({"--out", "dir", "--expect-accuracy", "2"}), {"--expect-accuracy", "2"});
  place.require_bad_input(fit({"--out", "dir", "--init", "data1"}), {"--init"});
}
