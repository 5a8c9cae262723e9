// A generator that is told to stop removes what it has begun, and leaves older files as they were.

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <string>
#include <vector>

#include "softstep/large_data.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

// 100 MB, each number drawn twice: for a second or so.
const Arguments generate_much = {"generate", "--samples", "5000", "--tokens", "40", "--dim", "60"};

Arguments with(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("generate that is interrupted leaves nothing behind", "[faults]") {
  int n_interrupted = 0;
  for (const Arguments& more : {Arguments{}, Arguments{"--shards", "3"}})
    for (int at = 1; at <= 8; ++at) {
      const Workplace place;
      place.write("g.safetensors", "older");
      place.write("g.safetensors.index.json", "older");
      const std::vector<std::string> before = place.contents();
      const int signal = at % 2 == 0 ? SIGINT : SIGTERM;
      const Ran ran =
          place.run(with(with(generate_much, {"--out", "g.safetensors"}), more), {}, signal, 0.2 * at);
      if (ran.code == 0) break;  // it was done before the signal came
      ++n_interrupted;
      INFO(0.2 * at << " s: " << ran.err);
      CHECK(ran.code == 128 + signal);
      CHECK(ran.out.empty());
      CHECK(ran.err == "softstep: note: interrupted; nothing was written\n");
      CHECK(place.contents() == before);
      CHECK(place.read("g.safetensors") == "older");
      CHECK(place.read("g.safetensors.index.json") == "older");
    }
  CHECK(n_interrupted >= 2);
}

TEST_CASE("a generator is asked once for each sample whether it goes on, in both passes", "[faults]") {
  const GeneratorOptions options{.n_samples = 9, .n_tokens = 40, .dim = 1000, .seed = 3};  // 3 MB
  for (const std::size_t n_shards : {0u, 3u}) {
    const Workplace place;
    const std::string path = place.path("g.safetensors");
    const auto made_after = [&](int n_times) {
      int n_asked = 0;
      const GeneratedFiles made =
          generate_files(options, path, StoredType::f64, n_shards, [&] { return n_asked++ < n_times; });
      CHECK(n_asked == std::min(n_times + 1, 18));
      return made.files.size();
    };
    for (int n_times = 0; n_times < 18; ++n_times) {
      INFO("stops after " << n_times);
      CHECK(made_after(n_times) == 0);
      CHECK(place.contents().empty());
    }
    CHECK(made_after(18) == (n_shards == 0 ? 1 : n_shards + 1));
  }
}
