// The table "where others stop" of the README, printed and held to what the README says:
//   build/dev/tests/softstep_tests "[where_others_stop]"

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "support/textbook.h"
#include "trainer/runs.h"

using namespace softstep;
using softstep::test::run;
using softstep::test::signal_noise;
using softstep::test::Textbook;

namespace {

const std::vector<std::int64_t> steps = {10, 30, 100, 300, 1000, 3000, 10000};

template <class T>
std::vector<double> ours(const Dataset<double>& data, const std::string& rule,
                         const std::vector<double>& limit) {
  const Dataset<T> typed = convert<T>(data);
  std::vector<double> column;
  for (const std::int64_t step : steps)
    column.push_back(run(typed.view(), rule, step, limit).summary.last.one_minus_cos);
  return column;
}

template <class T>
std::vector<double> textbook(const Dataset<double>& data, const std::string& rule,
                             const std::vector<double>& limit) {
  const Dataset<T> typed = convert<T>(data);
  Textbook<T> layer(typed.view());
  std::vector<double> column;
  std::int64_t t = 0;
  for (const std::int64_t step : steps) {
    for (; t < step; ++t) layer.step(rule);
    const double one_minus_cos = compare_direction(layer.weights, limit).one_minus_cos;
    bool finite = true;
    for (const T w : layer.weights) finite = finite && std::isfinite(w);
    column.push_back(finite ? one_minus_cos : std::nan(""));
  }
  return column;
}

std::string cell(double x) {
  if (std::isnan(x)) return "NaN";
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", x);
  return text;
}

// The rows of README's table that begin with `| rule |`.
std::vector<std::vector<std::string>> readme_rows(const std::string& rule) {
  std::ifstream file(std::string(SOFTSTEP_SOURCE_DIR) + "/README.md");
  std::vector<std::vector<std::string>> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("| " + rule + " |", 0) != 0) continue;
    std::istringstream words(line);
    std::vector<std::string> cells;
    for (std::string word; words >> word;)
      if (word != "|") cells.push_back(word);
    rows.push_back(cells);
  }
  return rows;
}

}  // namespace

TEST_CASE("where others stop, as the README shows it", "[trainer][where_others_stop]") {
  const Dataset<double> data = signal_noise(0);
  const MaxMarginResult limit = solve_max_margin(data.view());
  REQUIRE(limit.status == MaxMarginStatus::optimal);
  std::printf(
      "| rule | step | softstep f32 | softstep f64 | textbook f32 | textbook f64 "
      "|\n|---|--:|--:|--:|--:|--:|\n");
  for (const char* rule : {"ngd", "polyak"}) {
    const std::vector<std::vector<double>> columns = {
        ours<float>(data, rule, limit.weights), ours<double>(data, rule, limit.weights),
        textbook<float>(data, rule, limit.weights), textbook<double>(data, rule, limit.weights)};
    const auto readme = readme_rows(rule);
    CHECK(readme.size() == steps.size());
    for (std::size_t k = 0; k < steps.size(); ++k) {
      std::printf("| %s | %lld |", rule, static_cast<long long>(steps[k]));
      for (const auto& column : columns) std::printf(" %s |", cell(column[k]).c_str());
      std::printf("\n");
      CHECK(std::fabs(columns[0][k] / columns[1][k] - 1.0) <= 0.05);
      if (k >= readme.size()) continue;
      REQUIRE(readme[k].size() == 6);
      CHECK(readme[k][1] == std::to_string(steps[k]));
      for (std::size_t c = 0; c < columns.size(); ++c) {
        INFO(rule << " at " << steps[k] << ", column " << c + 1);
        const bool is_nan = readme[k][2 + c] == "NaN";
        CHECK(is_nan == std::isnan(columns[c][k]));
        // Two digits are shown: at most 5 % apart, and as much for the last bits of another machine. The
        // textbook's figures after its end are rounding errors, of which only the size repeats.
        const double shown = std::strtod(readme[k][2 + c].c_str(), nullptr);
        if (!is_nan)
          CHECK(std::fabs(std::log(columns[c][k] / shown)) <= (c < 2 ? std::log(1.1) : std::log(3.0)));
      }
    }
  }
  std::fflush(stdout);
}
