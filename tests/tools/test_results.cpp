// What each command answers: documented keys, files that the next command reads, runs that can be taken up.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <csignal>

#include "softstep/softstep.h"
#include "tools/run_program.h"

using namespace softstep;
using softstep::test::Arguments;
using softstep::test::fields;
using softstep::test::Json;
using softstep::test::lines;
using softstep::test::Workplace;

namespace {

const char* const trace_columns =
    "step,loss,log10_gap,weight_norm,log10_gradient_norm,step_length,one_minus_cos,min_optimal_attention,"
    "log10_one_minus_optimal_attention,seconds";

void require_keys(const Json& json, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    INFO("key " << key);
    CHECK(json.contains(key));
  }
}

// A small data set in the workplace.
void make_data(const Workplace& place, const std::string& name = "data.safetensors",
               const Arguments& more = {}) {
  Arguments arguments = {"generate", "--samples", "5", "--tokens", "4", "--dim", "12", "--out", name};
  arguments.insert(arguments.end(), more.begin(), more.end());
  place.results(arguments);
}

}  // namespace

TEST_CASE("info names version, instruction sets and threads", "[tools]") {
  const Workplace place;
  const Json json = place.results({"info"});
  require_keys(json, {"version", "isas", "threads", "compiler", "libraries"});
  CHECK(json["version"] == version);
  CHECK(json["isas"]["active"] == active_isa());
  for (const IsaInfo& isa : isas()) {
    bool listed = false;
    for (const Json& name : json["isas"]["runnable"]) listed = listed || name == isa.name;
    CHECK(listed == isa.runnable);
  }
  for (const Json& name : json["isas"]["runnable"])
    CHECK(Json::parse(place.run({"info", "--json", "-"}, {"SOFTSTEP_ISA=" + name.get<std::string>()})
                          .out)["isas"]["active"] == name);
}

TEST_CASE("every generator writes every type, and it is read as it was written", "[tools]") {
  const Workplace place;
  for (const GeneratorInfo& generator : generators())
    for (const char* type : {"f64", "f32", "f16", "bf16"}) {
      std::vector<std::string> arguments = {"generate", "--generator", generator.name, "--seed",          "9",
                                            "--dtype",  type,          "--out",        "data.safetensors"};
      const auto take = [&](const char* option, const char* size) {
        arguments.insert(arguments.end(), {option, size});
      };
      const bool is_planar = std::string(generator.name) == "planar";  // its sizes are fixed
      if (!is_planar) take("--samples", "3"), take("--dim", "20");
      if (!is_planar && std::string(generator.name) != "separable") take("--tokens", "4");
      const Json json = place.results(arguments);
      CHECK(json["bytes"] == std::filesystem::file_size(place.path("data.safetensors")));
      GeneratorOptions options;
      options.generator = generator.name;
      options.n_samples = 3;
      options.n_tokens = 4;
      options.dim = 20;
      options.seed = 9;
      const Dataset<double> made = generate(options),
                            read = load_dataset<double>(place.path("data.safetensors"));
      const BatchView<double>&a = made.view(), &b = read.view();
      REQUIRE(a.total_tokens() * a.dim == b.total_tokens() * b.dim);
      // Relative rounding of the type: 2^-53, 2^-24, 2^-11, 2^-8, and below the normal range of f16 2^-25 in
      // all.
      const double u = type[1] == '6'               ? 0.0
                       : std::string(type) == "f32" ? 0x1p-24
                       : std::string(type) == "f16" ? 0x1p-11
                                                    : 0x1p-8;
      for (std::size_t k = 0; k < a.total_tokens() * a.dim; ++k)
        if (!(std::fabs(a.tokens[k] - b.tokens[k]) <=
              u * std::fabs(a.tokens[k]) + (u == 0.0 ? 0.0 : 0x1p-25)))
          FAIL(generator.name << ' ' << type << " token element " << k);
    }
  CHECK(stored_type(place.path("data.safetensors")) == StoredType::bf16);
}

TEST_CASE("solve writes the max-margin weights with their certificate", "[tools]") {
  const Workplace place;
  make_data(place);
  const Json json = place.results({"solve", "--data", "data.safetensors", "--out", "W.safetensors"});
  require_keys(json,
               {"status", "norm", "margin", "duality_gap", "kkt_residual", "support", "sweeps", "seconds"});
  CHECK(json["status"] == "optimal");
  CHECK(json["duality_gap"].get<double>() <= 1e-10);
  CHECK(json["kkt_residual"].get<double>() <= 1e-10);
  const std::vector<double> w = load_weights(place.path("W.safetensors"), 12);
  const Dataset<double> data = load_dataset<double>(place.path("data.safetensors"));
  const double margin = normalized_margin(data.view(), score_tokens(data.view()), w);
  CHECK(std::fabs(margin / json["margin"].get<double>() - 1.0) <= 1e-12);
  CHECK(std::fabs(margin * json["norm"].get<double>() - 1.0) <= 1e-9);
}

TEST_CASE("train answers with every documented key, a trace and weights", "[tools]") {
  const Workplace place;
  // Data on which a Polyak step with c = 1 leaves every sample at its optimal token.
  make_data(place, "data.safetensors", {"--seed", "1"});
  for (const RuleInfo& rule : step_rules())
    for (const char* precision : {"f64", "f32"}) {
      INFO(rule.name << ' ' << precision);
      const Json json = place.results({"train", "--data", "data.safetensors", "--rule", rule.name, "--steps",
                                       "200", "--precision", precision, "--trace", "T.csv", "--out",
                                       "W.safetensors", "--threads", "2"});
      require_keys(json, {"status",
                          "rule",
                          "precision",
                          "isa",
                          "threads",
                          "threads_used",
                          "steps",
                          "seconds",
                          "setup_seconds",
                          "steps_per_second",
                          "loss",
                          "log10_gap",
                          "weight_norm",
                          "log10_gradient_norm",
                          "one_minus_cos",
                          "angle",
                          "margin",
                          "certified_share",
                          "min_optimal_attention",
                          "log10_one_minus_optimal_attention"});
      CHECK(json["status"] == "max_iterations");
      // At most what is true, but for the solver's duality gap of 1e-10; nothing of a margin below 0.
      const double share = json["margin"].get<double>() / json["reference"]["margin"].get<double>();
      CHECK(json["certified_share"].is_null() == !(share > 0.0));
      if (share > 0.0) CHECK(json["certified_share"].get<double>() <= share * (1.0 + 1e-9));
      CHECK(json["rule"] == rule.name);
      CHECK(json["precision"] == precision);
      CHECK(json["steps"] == 200);
      CHECK(json["threads"] == 2);
      CHECK(json["threads_used"] == 1);  // steps of a microsecond
      const std::vector<std::string> rows = lines(place.read("T.csv"));
      REQUIRE(rows.size() >= 3);
      CHECK(rows[0] == trace_columns);
      for (const std::string& row : rows) CHECK(fields(row).size() == fields(rows[0]).size());
      CHECK(fields(rows[1])[0] == "0");
      CHECK(fields(rows.back())[0] == "200");
      CHECK(std::stod(fields(rows.back())[2]) == json["log10_gap"].get<double>());
      const std::vector<double> w = load_weights(place.path("W.safetensors"), 12);
      CHECK(frobenius_norm(w) == json["weight_norm"].get<double>());
    }
}

TEST_CASE("train certifies its share of the largest margin, or says nothing of it", "[tools]") {
  const Workplace place;
  make_data(place);
  const Json json =
      place.results({"train", "--data", "data.safetensors", "--rule", "ngd", "--steps", "3000"});
  CHECK(json["certified_share"].get<double>() > 0.9);
  // W_mm with a norm beyond the largest double: its margin depends on the direction alone.
  place.results({"solve", "--data", "data.safetensors", "--out", "W.safetensors"});
  std::vector<double> w = load_weights(place.path("W.safetensors"), 12);
  const double largest = matrix_norm(w, 12, 12, MatrixNorm::max);
  for (double& x : w) x *= 1.7e308 / largest;
  save_weights(place.path("huge.safetensors"), w, 12);
  const auto ran = place.run({"train", "--data", "data.safetensors", "--init", "huge.safetensors", "--rule",
                              "gd", "--steps", "1", "--json", "huge.json"});
  CHECK(ran.code == 1);  // not_finite
  const Json huge = place.read_json("huge.json");
  CHECK(huge["weight_norm"].is_null());
  CHECK(huge["certified_share"].get<double>() > 0.0);
  CHECK(huge["certified_share"].get<double>() <= 1.0);
}

TEST_CASE("train compares with the reference it is given", "[tools]") {
  const Workplace place;
  make_data(place);
  place.results({"solve", "--data", "data.safetensors", "--out", "W.safetensors"});
  const Arguments train = {"train", "--data", "data.safetensors", "--steps", "100", "--reference"};
  const auto with = [&](const char* reference) {
    Arguments arguments = train;
    arguments.emplace_back(reference);
    return place.results(arguments);
  };
  CHECK(with("solve")["one_minus_cos"] == with("W.safetensors")["one_minus_cos"]);
  CHECK(with("none")["one_minus_cos"].is_null());
}

TEST_CASE("a training run taken up again gives the same weights", "[tools]") {
  const Workplace place;
  make_data(place);
  const auto train = [&](Arguments more) {
    Arguments arguments = {"train", "--data", "data.safetensors", "--rule", "ngd:schedule-power=0.5"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return place.results(arguments);
  };
  train({"--steps", "90", "--out", "whole.safetensors"});
  train({"--steps", "40", "--save-state", "state.safetensors"});
  const Json rest = train({"--steps", "50", "--resume", "state.safetensors", "--save-state",
                           "state.safetensors", "--out", "W.safetensors"});
  CHECK(rest["step"] == 90);
  CHECK(place.read("whole.safetensors") == place.read("W.safetensors"));
}

TEST_CASE("data that cannot be separated, stationary runs and ties end by name", "[tools]") {
  const Workplace place;
  const auto data = [&](std::vector<double> tokens, std::uint64_t n_tokens) {
    const std::uint64_t n = tokens.size() / n_tokens / 2;
    place.write("data.safetensors",
                test::safetensors({{"tokens", "F64", {n, n_tokens, 2}, test::bytes_of(tokens)},
                                   {"labels", "I8", {n}, std::string(n, '\1')},
                                   {"decoder", "F64", {2}, test::bytes_of<double>({1, 0})}}));
  };
  // The optimal token is there twice.
  data({1, 0, 1, 0, 0, 1}, 3);
  auto ran = place.run({"solve", "--data", "data.safetensors", "--out", "W.safetensors", "--json", "S.json"});
  CHECK(ran.code == 1);
  CHECK(place.read_json("S.json")["status"] == "not_separable");
  CHECK(place.read_json("S.json")["unique_optimal_tokens"] == false);
  CHECK(!std::filesystem::exists(place.path("W.safetensors")));
  // Two different tokens share the best score: reported, and trained all the same.
  data({1, 0, 1, 1, 0, 1}, 3);
  ran = place.run({"train", "--data", "data.safetensors", "--steps", "10"});
  CHECK(ran.code == 0);
  CHECK(ran.err.find("not unique") != std::string::npos);
  // One token each.
  data({1, 0, 0, 1}, 1);
  CHECK(place.results({"train", "--data", "data.safetensors", "--steps", "10"})["status"] == "stationary");
  CHECK(place.results({"solve", "--data", "data.safetensors"})["status"] == "no_constraints");
}

TEST_CASE("compare writes summary, traces and plots for every rule and seed", "[tools]") {
  const Workplace place;
  const auto ran = place.run({"compare", "--generator", "signal_noise", "--samples", "4", "--tokens", "3",
                              "--dim", "10", "--rules", "gd:step-size=20;ngd:step-size=1;polyak", "--steps",
                              "100", "--seeds", "3", "--out", "results"});
  INFO(ran.err);
  CHECK(ran.code == 0);
  const Json json = place.read_json("results/summary.json");
  REQUIRE(json["rules"].size() == 3);
  CHECK(json["references"].size() == 3);
  for (const Json& rule : json["rules"]) {
    REQUIRE(rule["runs"].size() == 3);
    CHECK(ran.out.find(rule["label"].get<std::string>()) != std::string::npos);
    for (const Json& run : rule["runs"]) {
      require_keys(run, {"seed", "status", "steps", "steps_per_second", "log10_gap", "weight_norm",
                         "one_minus_cos", "min_optimal_attention", "time_to"});
      CHECK(run["status"] == "max_iterations");
    }
    require_keys(rule["median"], {"log10_gap", "one_minus_cos", "seconds_to"});
  }
  const std::vector<std::string> rows = lines(place.read("results/trace.csv"));
  CHECK(rows[0] == std::string("rule,seed,") + trace_columns);
  CHECK(rows.size() > 9 * 30);
  for (const char* plot : {"loss_gap", "weight_norm", "one_minus_cos", "one_minus_attention"}) {
    CHECK(place.read(std::string("results/") + plot + ".svg").find("<svg") != std::string::npos);
    CHECK(place.read(std::string("results/") + plot + ".png").substr(1, 3) == "PNG");
  }
  // The same comparison gives the same figures for any number of runs at a time.
  const auto again = place.run({"compare",
                                "--generator",
                                "signal_noise",
                                "--samples",
                                "4",
                                "--tokens",
                                "3",
                                "--dim",
                                "10",
                                "--rules",
                                "gd:step-size=20;ngd:step-size=1;polyak",
                                "--steps",
                                "100",
                                "--seeds",
                                "3",
                                "--out",
                                "again",
                                "--threads",
                                "1",
                                "--no-plots"});
  CHECK(again.code == 0);
  const std::vector<std::string> others = lines(place.read("again/trace.csv"));
  REQUIRE(rows.size() == others.size());
  for (std::size_t k = 0; k < rows.size(); ++k)  // all but the last column, the seconds
    CHECK(rows[k].substr(0, rows[k].rfind(',')) == others[k].substr(0, others[k].rfind(',')));
  CHECK(!std::filesystem::exists(place.path("again/loss_gap.svg")));
}

TEST_CASE("check measures every instruction set that can run", "[tools]") {
  const Workplace place;
  const Json json = place.results({"check"});
  CHECK(json["ok"] == true);
  for (const IsaInfo& isa : isas()) {
    std::size_t n_rows = 0;
    for (const Json& row : json["rows"]) n_rows += row["isa"] == isa.name ? 1 : 0;
    CHECK((n_rows > 0) == isa.runnable);
  }
}

TEST_CASE("an interrupted run keeps what it has", "[tools]") {
  const Workplace place;
  make_data(place);
  const auto ran = place.run({"train", "--data", "data.safetensors", "--steps", "1e12", "--out",
                              "W.safetensors", "--json", "S.json"},
                             {}, SIGINT, 0.7);
  CHECK(ran.code == 128 + SIGINT);
  CHECK(place.read_json("S.json")["status"] == "interrupted");
  CHECK(load_weights(place.path("W.safetensors"), 12).size() == 144);
}
