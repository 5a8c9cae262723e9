// --queries all: training, the max-margin problem and comparisons with every token as a query.

#include <catch2/catch_test_macros.hpp>
#include <string>

#include "tools/run_program.h"

using namespace softstep::test;

TEST_CASE("--queries all trains, solves and compares with every token as a query", "[tools]") {
  const Workplace place;
  place.results(
      {"generate", "--samples", "4", "--tokens", "3", "--dim", "20", "--seed", "1", "--out", "data"});
  const Json one = place.results({"solve", "--data", "data"});
  const Json all = place.results({"solve", "--data", "data", "--queries", "all", "--out", "W"});
  CHECK(one["queries"] == 4);
  CHECK(all["queries"] == 12);
  CHECK(all["constraints"] == 3 * one["constraints"].get<int>());
  const Json trained = place.results({"train", "--data", "data", "--queries", "all", "--rule", "ngd",
                                      "--steps", "3000", "--save-state", "S"});
  CHECK(trained["queries"] == 12);
  CHECK(trained["one_minus_cos"].get<double>() < 1e-4);
  // The same direction from the file, another one from one query.
  const Json from_file = place.results({"train", "--data", "data", "--queries", "all", "--rule", "ngd",
                                        "--steps", "3000", "--reference", "W"});
  CHECK(from_file["one_minus_cos"] == trained["one_minus_cos"]);
  const Json of_one = place.results({"train", "--data", "data", "--rule", "ngd", "--steps", "3000"});
  CHECK(of_one["weight_norm"] != trained["weight_norm"]);
  place.results({"train", "--data", "data", "--queries", "all", "--joint", "--rule", "ngd", "--steps", "20"});
  const Json compared = place.results({"compare",  "--generator", "signal_noise", "--samples", "4",
                                       "--tokens", "3",           "--dim",        "20",        "--queries",
                                       "all",      "--rules",     "ngd",          "--steps",   "50",
                                       "--seeds",  "1",           "--no-plots",   "--out",     "compared"});
  CHECK(compared.is_object());

  place.require_bad_input({"train", "--data", "data", "--queries", "some"}, {"--queries", "some", "all"});
  place.require_bad_input({"train", "--data", "data", "--queries", "all", "--form", "token-span"},
                          {"--form", "token-span"});
  place.require_bad_input({"train", "--data", "data", "--queries", "all", "--prompt"}, {"--prompt"});
  place.require_bad_input({"train", "--data", "data", "--queries", "all", "--model", "logistic"},
                          {"--queries"});
  // A state goes on with its own queries alone.
  place.require_bad_input({"train", "--data", "data", "--resume", "S", "--rule", "ngd"},
                          {"S: was saved with"});
}
