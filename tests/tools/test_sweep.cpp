// softstep sweep: rules times step sizes times seeds.

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>

#include "tools/run_program.h"

using namespace softstep::test;

namespace {

Arguments sweep(const Arguments& more) {
  Arguments all = {"sweep", "--samples", "4",  "--tokens", "3", "--dim",
                   "12",    "--steps",   "60", "--seeds",  "2"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

}  // namespace

TEST_CASE("sweep runs every rule with every step size it takes, and names the best", "[tools]") {
  const Workplace place;
  const Json json = place.results(sweep(
      {"--rules", "gd:step-size=3;ngd;polyak", "--step-sizes", "0.1,2", "--threads", "2", "--out", "dir"}));
  REQUIRE(json["rules"].size() == 4);
  CHECK(json["rules"][0]["label"] == "gd:step-size=3");
  CHECK(json["rules"][1]["options"]["step-size"] == 0.1);
  CHECK(json["rules"][2]["options"]["step-size"] == 2.0);
  CHECK(json["rules"][3]["rule"] == "polyak");
  CHECK(place.contents() == std::vector<std::string>{"dir", "dir/summary.json", "dir/sweep.csv"});
  CHECK(lines(place.read("dir/sweep.csv")).size() == 1 + 4 * 2);
  CHECK(lines(place.read("dir/sweep.csv"))[0].rfind("rule,step_size,seed,status,steps,", 0) == 0);

  REQUIRE(json["best"].size() == 3);
  for (const Json& best : json["best"]) {
    if (best["label"].is_null()) continue;
    // No other size of the rule gets to that level in fewer steps.
    for (const Json& rule : json["rules"]) {
      if (rule["rule"] != best["rule"]) continue;
      double total = 0.0;
      bool reached = true;
      for (const Json& run : rule["runs"]) {
        bool found = false;
        for (const Json& crossing : run["time_to"])
          if (crossing["one_minus_cos"] == best["one_minus_cos"]) {
            total += crossing["step"].get<double>();
            found = true;
          }
        reached = reached && found;
      }
      if (reached) CHECK(total / 2.0 >= best["steps"].get<double>());
    }
  }
}

TEST_CASE("a cell of a sweep is the run that train makes, for any number of threads", "[tools]") {
  const Workplace place;
  const Json one =
      place.results(sweep({"--rules", "ngd", "--step-sizes", "0.5,2", "--threads", "1", "--out", "one"}));
  const Json two =
      place.results(sweep({"--rules", "ngd", "--step-sizes", "0.5,2", "--threads", "2", "--out", "two"}));
  place.results({"generate", "--samples", "4", "--tokens", "3", "--dim", "12", "--seed", "1", "--out",
                 "d.safetensors"});
  const Json run =
      place.results({"train", "--data", "d.safetensors", "--rule", "ngd:step-size=2", "--steps", "60"});
  // Runs side by side have W within 4 (n + d + 2) u (1 + |W|) < 1e-12 of that of train
  // (softstep/train_many.h), and none of these figures follows W with more than 1000 times its own size.
  for (const char* key : {"loss", "log10_gap", "weight_norm", "one_minus_cos", "margin"}) {
    const Json& cell = one["rules"][1]["runs"][1][key];
    const auto value = cell.get<double>(), wanted = run[key].get<double>();
    INFO(key);
    CHECK(std::fabs(value - wanted) <= 1e-9 * std::fabs(wanted));
    CHECK(two["rules"][1]["runs"][1][key] == cell);
  }
}

TEST_CASE("a sweep with bad step sizes leaves nothing behind", "[tools]") {
  const Workplace place;
  for (const char* sizes : {"", "1,,2", "1,x", "0", "-1", "nan", "inf", "1e400", "1, 2"})
    place.require_bad_input(sweep({"--step-sizes", sizes, "--out", "dir"}),
                            {"--step-sizes", "positive number"});
  place.require_bad_input(sweep({"--step-sizes", "1,1.0", "--out", "dir"}), {"--step-sizes", "twice"});
  for (const char* rules : {"polyak", "sps_plus;momo", "ngd:step-size=3;polyak"})
    place.require_bad_input(sweep({"--rules", rules, "--step-sizes", "1,2", "--out", "dir"}),
                            {"--step-sizes", "no rule", rules});
  place.require_bad_input(sweep({"--rules", "ngd;ngd", "--out", "dir"}), {"--rules", "twice"});
  place.require_bad_input(sweep({"--rules", "nosuch", "--out", "dir"}), {"nosuch", "polyak"});
  place.require_bad_input(sweep({"--data", "none.safetensors", "--out", "dir"}), {"--samples", "--data"});
  place.require_bad_input({"sweep", "--data", "d.safetensors", "--generator", "planar", "--out", "dir"},
                          {"--data", "--generator"});
  place.require_bad_input({"sweep"}, {"--out"});
}
