// softstep report: what is missing, damaged or cannot be put into a page is named in one line, and nothing is
// written.

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <functional>
#include <string>

#include "tools/report_check.h"

using namespace softstep::test;

namespace {

namespace fs = std::filesystem;

// The comparison of one small run, with pictures made by hand.
void write_comparison(const Workplace& place) {
  const Ran ran = place.run({"compare", "--samples", "3", "--tokens", "3", "--dim", "8", "--steps", "20",
                             "--seeds", "1", "--rules", "ngd", "--no-plots", "--out", "dir"});
  REQUIRE(ran.code == 0);
  for (const char* plot : {"loss_gap", "weight_norm", "one_minus_cos", "one_minus_attention"})
    place.write(std::string("dir/") + plot + ".svg", small_svg());
}

}  // namespace

TEST_CASE("a report of a directory that is none is refused", "[tools]") {
  const Workplace place;
  fs::create_directory(place.path("empty"));
  place.write("file", "x");
  place.require_bad_input({"report"}, {"DIR"});
  place.require_bad_input({"report", "nowhere"}, {"nowhere", "not there"});
  place.require_bad_input({"report", "file"}, {"file", "not a directory"});
  place.require_bad_input({"report", "empty"}, {"empty", "summary.json", "verdict.json"});
  place.require_bad_input({"report", "empty", "--frobnicate"}, {"--frobnicate"});
}

TEST_CASE("a report of a comparison with a file missing or damaged is refused", "[tools]") {
  const Workplace place;
  write_comparison(place);
  CHECK(place.run({"report", "dir"}).code == 0);
  fs::remove(place.path("dir/report.html"));

  const std::string summary = place.read("dir/summary.json");
  const auto refused = [&](const std::string& file, const std::string& bytes,
                           const std::vector<std::string>& words) {
    INFO(file << ": " << bytes.substr(0, 60));
    const std::string before = place.read("dir/" + file);
    place.write("dir/" + file, bytes);
    std::vector<std::string> all = words;
    all.push_back("dir/" + file);
    place.require_bad_input({"report", "dir"}, all);
    place.write("dir/" + file, before);
  };
  refused("summary.json", "", {"damaged"});
  refused("summary.json", summary.substr(0, summary.size() / 2), {"damaged"});
  refused("summary.json", "[]", {"damaged"});
  refused("summary.json", "\xff", {"damaged"});
  using Change = std::function<void(Json&)>;
  const std::vector<std::pair<std::string, Change>> changes = {
      {"rules", [](Json& json) { json.erase("rules"); }},
      {"rules", [](Json& json) { json["rules"] = 3; }},
      {"rules[0].label", [](Json& json) { json["rules"][0]["label"] = 3; }},
      {"rules[0].median.log10_gap", [](Json& json) { json["rules"][0]["median"].erase("log10_gap"); }},
      {"rules[0].median.weight_norm", [](Json& json) { json["rules"][0]["median"]["weight_norm"] = "much"; }},
      {"rules[0].runs[0].status", [](Json& json) { json["rules"][0]["runs"][0].erase("status"); }},
      {"references[0].margin", [](Json& json) { json["references"][0].erase("margin"); }},
      {"data.name", [](Json& json) { json["data"] = Json::object(); }},
      {"softstep", [](Json& json) { json.erase("softstep"); }},
  };
  for (const auto& [where, change] : changes) {
    Json json = Json::parse(summary);
    change(json);
    refused("summary.json", json.dump(), {where});
  }
  refused("weight_norm.svg", "", {"damaged"});
  refused("weight_norm.svg", small_svg().substr(0, small_svg().size() - 8), {"damaged"});

  fs::remove(place.path("dir/one_minus_cos.svg"));
  place.require_bad_input({"report", "dir"}, {"dir/one_minus_cos.svg", "not there", "tools/plot"});
}

TEST_CASE("a report does not replace what it reads, nor go where it cannot", "[tools]") {
  const Workplace place;
  write_comparison(place);
  place.require_bad_input({"report", "dir", "--out", "dir/summary.json"}, {"--out", "dir/summary.json"});
  place.require_bad_input({"report", "dir", "--out", "dir/loss_gap.svg"}, {"--out", "dir/loss_gap.svg"});
  place.require_bad_input({"report", "dir", "--out", "none/page.html"}, {"--out", "none"});
  place.require_bad_input({"report", "dir", "--out", "dir"}, {"--out", "directory"});
  place.require_bad_input({"report", "dir", "--out", "a.html", "--json", "a.html"}, {"--json", "a.html"});
}

TEST_CASE("a verdict that is damaged or contradicts itself is refused", "[tools]") {
  const Workplace place;
  using Change = std::function<void(Json&)>;
  const std::vector<std::pair<std::string, Change>> changes = {
      {"name", [](Json& json) { json.erase("name"); }},
      {"passed", [](Json& json) { json["passed"] = "yes"; }},
      {"passed is true", [](Json& json) { json["checks"][1]["passed"] = false; }},
      {"checks[0].measured", [](Json& json) { json["checks"][0]["measured"] = "0.5"; }},
      {"checks[1].expected", [](Json& json) { json["checks"][1]["expected"] = Json::array(); }},
      {"tables[0].rows[1]", [](Json& json) { json["tables"][0]["rows"][1] = {1}; }},
      {"figures[0].file", [](Json& json) { json["figures"][0]["file"] = "../one.svg"; }},
      {"three.svg", [](Json& json) { json["figures"][1]["file"] = "three.svg"; }},
      {"machine.isa", [](Json& json) { json["machine"] = Json::object(); }},
      {"seconds", [](Json& json) { json.erase("seconds"); }},
      {"configuration", [](Json& json) { json["configuration"] = 1; }},
  };
  for (const auto& [where, change] : changes) {
    Json json = verdict("rates");
    change(json);
    write_entry(place, "rates", json);
    place.require_bad_input({"report", "rates"}, {"rates/", where});
  }
  write_entry(place, "rates", verdict("rates"));
  for (const char* list : {"[]", "[3]", "[\"..\"]", "[\"a/b\"]", "[{}]"}) {
    place.write("verdict.json", list);
    place.require_bad_input({"report", "."}, {"./verdict.json"});
  }
  place.write("verdict.json", R"(["rates", "joint"])");
  place.require_bad_input({"report", "."}, {"./joint/verdict.json", "not there"});
}

TEST_CASE("a picture that is none, or is cut off, is refused", "[tools]") {
  const Workplace place;
  write_entry(place, "rates", verdict("rates"));
  const std::string good = small_svg();
  for (const std::string& svg :
       {std::string(), std::string(" "), std::string("text"), std::string("<html></html>"),
        good.substr(0, good.size() / 2), good.substr(0, good.size() - 2), good + "x", std::string("</svg>"),
        good.substr(good.size() - 6)}) {
    INFO(svg);
    place.write("rates/two.svg", svg);
    place.require_bad_input({"report", "rates"}, {"rates/two.svg", "damaged"});
  }
}
