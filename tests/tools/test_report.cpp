// softstep report: the page of each kind of directory.

#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <string>

#include "tools/report_check.h"

using namespace softstep::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the report of a comparison holds its figures, medians, references and settings", "[tools]") {
  const Workplace place;
  place.results({"generate", "--samples", "4", "--tokens", "3", "--dim", "10", "--out", "<b>&.safetensors"});
  const auto compared =
      place.run({"compare", "--data", "<b>&.safetensors", "--rules", "gd:step-size=20;polyak", "--init",
                 "normal:0.1", "--steps", "100", "--seeds", "2", "--out", "results"});
  INFO(compared.err);
  REQUIRE(compared.code == 0);
  const Json json = place.results({"report", "results/"});
  CHECK(json["report"] == "results/report.html");
  CHECK(json["kind"] == "comparison");
  CHECK(json["figures"] == 4);
  const std::string page = place.read("results/report.html");
  CHECK(json["bytes"] == page.size());

  require_self_contained(page);
  CHECK(occurrences(page, "<figure>") == 4);
  const std::vector<std::string> pictures = pictures_in(page);
  REQUIRE(pictures.size() == 4);
  CHECK(pictures[0] == place.read("results/loss_gap.svg"));
  CHECK(pictures[3] == place.read("results/one_minus_attention.svg"));
  CHECK(occurrences(page, "<figcaption>") == 4);
  CHECK(has(page, "&lt;b&gt;&amp;.safetensors"));
  CHECK(!has(page, "<b>"));
  const Json summary = place.read_json("results/summary.json");
  for (const Json& rule : summary["rules"]) CHECK(has(page, rule["label"].get<std::string>()));
  for (const char* word : {"Medians over 2 seeds", "max_iterations 2", "Max-margin solution of each seed",
                           "normal:0.1", "token_storage", "signal"}) {
    INFO(word);
    CHECK(has(page, word) == (std::string(word) != "signal"));  // a setting of the generators, not of a file
  }
  for (const char* key : {"isa", "softstep", "compiler"}) CHECK(has(page, summary[key].get<std::string>()));

  // The same directory gives the same page, wherever it is put.
  place.results({"report", "results", "--out", "page.html"});
  CHECK(place.read("page.html") == page);
}

TEST_CASE("the report of a sweep names the best step sizes", "[tools]") {
  const Workplace place;
  place.results({"sweep", "--samples", "4", "--tokens", "3", "--dim", "12", "--steps", "60", "--seeds", "2",
                 "--rules", "gd;polyak", "--step-sizes", "1e-9,2", "--out", "dir"});
  CHECK(place.results({"report", "dir"})["figures"] == 0);
  const std::string page = place.read("dir/report.html");
  require_self_contained(page);
  CHECK(has(page, "Best step size of each rule"));
  CHECK(has(page, "gd:step-size=1e-09"));
  CHECK(has(page, "gd:step-size=2"));
  CHECK(has(page, "never"));
}

TEST_CASE("the report of one reproduced entry holds its laws, tables and figures", "[tools]") {
  const Workplace place;
  write_entry(place, "out/rates", verdict("rates"));
  const Json json = place.results({"report", "out/rates"});
  CHECK(json["kind"] == "reproduction");
  CHECK(json["entries"] == Json::array({{{"name", "rates"}, {"passed", true}}}));
  const std::string page = place.read("out/rates/report.html");
  require_self_contained(page);
  for (const char* text :
       {"<h1>The law of rates</h1>", "a &lt; b &amp; c.", "slope &lt;1&gt;", "−0.4987", "−0.53 to −0.47",
        "✓ passed", "Slopes &amp; constants", "1.5 × 10<sup>−12</sup>",
        "<strong>One &quot;quoted&quot;</strong>", "alt=\"One &quot;quoted&quot;: Against the step.\"",
        "data.samples", "gd, ngd", "avx2", "gcc 12", "1.5"}) {
    INFO(text);
    CHECK(has(page, text));
  }
  CHECK(!has(page, "✗"));
  CHECK(!has(page, "<nav"));

  // The directory above, with nothing else in it, is the same report.
  place.results({"report", "out"});
  CHECK(place.read("out/report.html") == page);
}

TEST_CASE("the report of all entries begins with contents that say which failed", "[tools]") {
  const Workplace place;
  write_entry(place, "all/rates", verdict("rates"));
  write_entry(place, "all/joint", verdict("joint", false));
  place.write("all/verdict.json", Json::array({verdict("rates"), verdict("joint", false)}).dump());
  const Json json = place.results({"report", "all"});
  CHECK(json["figures"] == 4);
  CHECK(json["entries"][0]["name"] == "rates");  // in the order of the list
  CHECK(json["entries"][1]["passed"] == false);
  const std::string page = place.read("all/report.html");
  require_self_contained(page);
  CHECK(has(page, "1 of 2 entries passed"));
  CHECK(has(page, "<a href=\"#s2\">The law of joint</a>"));
  CHECK(has(page, "1 of 2 laws"));
  CHECK(page.find("<nav") < page.find("<section"));
  CHECK(occurrences(page, "<section") == 2);
  // Contents, heading and check.
  CHECK(occurrences(page, "✗ failed") == 3);

  place.write("all/verdict.json", R"(["joint", "rates"])");
  CHECK(place.results({"report", "all"})["entries"][0]["name"] == "joint");
}

// A browser runs and fetches nothing for a picture in an <img>; tests/structure/check_report.py looks at that
// in one.
TEST_CASE("a picture is in a report byte for byte, and as a picture only", "[tools]") {
  const Workplace place;
  const std::string acting =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"a()\"><script>b()</script></svg>\n";
  write_entry(place, "rates", verdict("rates"));
  place.write("rates/two.svg", acting);
  place.results({"report", "rates"});
  const std::string page = place.read("rates/report.html");
  require_self_contained(page);
  CHECK(pictures_in(page) == std::vector<std::string>{small_svg(), acting});
  // Of every length, since three bytes become four letters.
  for (const char* space : {"", " ", "  "}) {
    place.write("rates/two.svg", small_svg() + space);
    place.results({"report", "rates"});
    CHECK(pictures_in(place.read("rates/report.html")).at(1) == small_svg() + space);
  }
}

TEST_CASE("the report says what it wrote, and does not print text with --json -", "[tools]") {
  const Workplace place;
  write_entry(place, "rates", verdict("rates"));
  const Ran ran = place.run({"report", "rates", "--out", "page.html", "--json", "page.json"});
  CHECK(ran.code == 0);
  CHECK(ran.out.rfind("page.html: 2 figures, ", 0) == 0);
  CHECK(place.read_json("page.json")["report"] == "page.html");
  CHECK(!std::filesystem::exists(place.path("rates/report.html")));
}
