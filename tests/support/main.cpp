// Catch2 with two questions of our own: does every test carry the tag of its room (ctest runs the suite room
// by room, so one without would never run), and did the kernel tests run on the instruction sets that were
// expected?

#include <algorithm>
#include <catch2/catch_session.hpp>
#include <catch2/catch_test_case_info.hpp>
#include <catch2/interfaces/catch_interfaces_registry_hub.hpp>
#include <catch2/interfaces/catch_interfaces_testcase.hpp>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "support/isas.h"

namespace {

// ".../tests/simd/test_exp.cpp" -> "simd"
std::string room_of(const std::string& file) {
  const auto end = file.rfind('/');
  const auto begin = end == std::string::npos ? end : file.rfind('/', end - 1);
  return begin == std::string::npos ? "" : file.substr(begin + 1, end - begin - 1);
}

int count_tests_without_room_tag() {
  int bad = 0;
  for (const Catch::TestCaseHandle& test : Catch::getRegistryHub().getTestCaseRegistry().getAllTests()) {
    const Catch::TestCaseInfo& info = test.getTestCaseInfo();
    const std::string room = room_of(info.lineInfo.file);
    const bool has_tag = std::any_of(info.tags.begin(), info.tags.end(), [&](const Catch::Tag& tag) {
      return std::string(tag.original.data(), tag.original.size()) == room;
    });
    if (has_tag) continue;
    ++bad;
    std::printf("%s:%zu: \"%s\" lacks the tag [%s], so ctest would not run it\n", info.lineInfo.file,
                info.lineInfo.line, info.name.c_str(), room.c_str());
  }
  return bad;
}

// Prints which instruction sets ran; returns the number of expected ones that did not.
int report_isas(const std::string& expected) {
  const auto& ran = softstep::test::recorded_isas();
  std::string ran_names, absent_names;
  std::size_t n = 0;
  const softstep::simd::Isa* table = softstep::simd::isa_table(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (ran.count(table[i].name) != 0) ran_names += std::string(" ") + table[i].name;
    if (!table[i].runnable) absent_names += std::string(" ") + table[i].name;
  }
  std::printf("instruction sets run:%s; cannot run here:%s\n",
              ran_names.empty() ? " none" : ran_names.c_str(),
              absent_names.empty() ? " none" : absent_names.c_str());
  int missing = 0;
  std::stringstream names(expected);
  for (std::string name; std::getline(names, name, ',');) {
    if (name.empty() || ran.count(name) != 0) continue;
    ++missing;
    std::printf("instruction set %s was expected to run and did not\n", name.c_str());
  }
  if (ran.empty()) {
    ++missing;
    std::printf("no instruction set was tested\n");
  }
  return missing;
}

}  // namespace

int main(int argc, char** argv) {
  Catch::Session session;
  bool check_isas = false;
  std::string expected;
  // Our own option is taken out before Catch2 reads the rest.
  std::vector<const char*> rest;
  const std::string option = "--expect-isas=";
  for (int i = 0; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind(option, 0) == 0) {
      check_isas = true;
      expected = argument.substr(option.size());
    } else {
      rest.push_back(argv[i]);
    }
  }
  const int bad_arguments = session.applyCommandLine(static_cast<int>(rest.size()), rest.data());
  if (bad_arguments != 0) return bad_arguments;
  if (count_tests_without_room_tag() != 0) return 3;

  std::printf("seed %u (repeat with --rng-seed %u)\n", session.config().rngSeed(),
              session.config().rngSeed());
  std::fflush(stdout);
  const int failed = session.run();
  if (check_isas || !softstep::test::recorded_isas().empty()) {
    const int missing = report_isas(expected);
    if (check_isas && missing != 0) return 4;
  }
  return failed;
}
