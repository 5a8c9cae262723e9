#include "tools/report_check.h"

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <filesystem>
#include <set>

namespace softstep::test {

namespace {

// What stands between `before` and the next `after`, each time. Not by std::regex, which goes one call deeper
// with every character and runs out of stack in a picture.
std::vector<std::string> all_between(const std::string& text, const std::string& before, char after) {
  std::vector<std::string> found;
  for (std::size_t at = text.find(before); at != std::string::npos; at = text.find(before, at)) {
    at += before.size();
    found.push_back(text.substr(at, text.find(after, at) - at));
  }
  return found;
}

}  // namespace

void require_self_contained(const std::string& page) {
  CHECK(page.rfind("<!DOCTYPE html>\n<html lang=\"en\">", 0) == 0);
  CHECK(page.substr(page.size() - 8) == "</html>\n");
  CHECK(page.find("name=\"viewport\"") != std::string::npos);
  for (const char* word : {"://", "<script", "<iframe", "<object", "@import", "@font-face", "<svg", "<?xml",
                           "xmlns", "xlink", "javascript:"}) {
    INFO("must not be in the page: " << word);
    CHECK(page.find(word) == std::string::npos);
  }
  std::set<std::string> ids;
  for (const std::string& id : all_between(page, " id=\"", '"')) {
    INFO("id " << id);
    CHECK(ids.insert(id).second);
  }
  std::vector<std::string> targets = all_between(page, "href=\"", '"');
  for (const std::string& target : all_between(page, "url(", ')')) targets.push_back(target);
  for (const std::string& target : all_between(page, " src=\"", '"')) targets.push_back(target);
  for (const std::string& target : targets) {
    // The icon that a browser would else ask for, and the pictures.
    if (target == "data:," || target.rfind("data:image/svg+xml;base64,", 0) == 0) continue;
    INFO("reference " << target);
    REQUIRE(!target.empty());
    CHECK(target[0] == '#');
    CHECK(ids.count(target.substr(1)) == 1);
  }
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

std::string small_svg() {
  return R"svg(<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="40pt" height="30pt" viewBox="0 0 40 30"
     xmlns="http://www.w3.org/2000/svg" version="1.1">
 <metadata><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:x rdf:resource="http://a/b"/></rdf:RDF></metadata>
 <defs><style type="text/css">*{stroke-linejoin: round} .a, #one {fill: url(#paint)}</style></defs>
 <!-- a <comment> & more -->
 <defs><path id="glyph" d="M 0 0
L 1 1"/><clipPath id="clip"><rect width="40" height="30"/></clipPath><linearGradient id="paint"/></defs>
 <g id="one" class="a b" clip-path="url(#clip)"><use xlink:href="#glyph" x="1" style="fill: url('#paint')"/></g>
 <text x="1" y="20">x &lt; &#233; &amp; <![CDATA[<y>]]></text>
</svg>
)svg";
}

std::vector<std::string> pictures_in(const std::string& page) {
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::string> pictures;
  for (const std::string& text : all_between(page, "<img src=\"data:image/svg+xml;base64,", '"')) {
    std::string bytes;
    std::uint32_t group = 0;
    int n_bits = 0;
    for (const char c : text) {
      if (c == '=') break;
      const std::size_t digit = digits.find(c);
      REQUIRE(digit != std::string::npos);
      group = group << 6 | static_cast<std::uint32_t>(digit);
      n_bits += 6;
      if (n_bits < 8) continue;
      n_bits -= 8;
      bytes += static_cast<char>(group >> n_bits & 0xFFU);
    }
    pictures.push_back(bytes);
  }
  return pictures;
}

Json verdict(const std::string& name, bool passed) {
  return {
      {"name", name},
      {"title", "The law of " + name},
      {"summary", "Fitted over two decades: a < b & c."},
      {"passed", passed},
      {"configuration", {{"data", {{"model", "signal_noise"}, {"samples", 10}}}, {"rules", {"gd", "ngd"}}}},
      {"checks",
       {{{"law", "slope <1>"},
         {"expected", -0.5},
         {"measured", -0.4987},
         {"lowest", -0.53},
         {"highest", -0.47},
         {"passed", true}},
        {{"law", "no NaN"},
         {"expected", "none"},
         {"measured", nullptr},
         {"lowest", nullptr},
         {"highest", nullptr},
         {"passed", passed}}}},
      {"tables",
       {{{"title", "Slopes & constants"},
         {"columns", {"rule", "slope", "reached"}},
         {"rows", {{"gd", 1.5e-12, true}, {"ngd", nullptr, false}}}}}},
      {"figures",
       {{{"file", "one.svg"}, {"title", "One \"quoted\""}, {"caption", "Against the step."}},
        {{"file", "two.svg"}, {"title", "Two"}, {"caption", ""}}}},
      {"version", "0.1.0"},
      {"machine", {{"isa", "avx2"}, {"threads", 2}, {"compiler", "gcc 12"}}},
      {"seconds", 1.5}};
}

void write_entry(const Workplace& place, const std::string& directory, const Json& verdict) {
  std::filesystem::create_directories(place.path(directory));
  place.write(directory + "/verdict.json", verdict.dump());
  place.write(directory + "/one.svg", small_svg());
  place.write(directory + "/two.svg", small_svg());
}

}  // namespace softstep::test
