// A file appears complete or not at all, and an older one stays as it was.

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <limits>

#include "refused.h"
#include "softstep/dataset.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

const std::vector<double> weights = {1, 2, 3, 4};

mode_t mode_of(const std::string& path) {
  struct stat info = {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  return info.st_mode & 0777;
}

void refuse_target(const std::string& path, const std::vector<std::string>& words) {
  require_refused(path, words, [&] { save_weights(path, weights, 2); });
  require_refused(path, words, [&] { save_tensors(path, {{"x", {1}, {1}, StoredType::f64}}); });
  require_refused(path, words, [&] { save_dataset(path, generate({}), StoredType::f64); });
}

}  // namespace

TEST_CASE("targets that cannot be written are refused and nothing is left behind", "[data]") {
  const Workplace place;
  place.write("file", "old");
  std::filesystem::create_directory(place.path("directory"));
  const std::vector<std::string> before = place.contents();
  refuse_target(place.path("missing/w"), {"cannot be written", "No such file"});
  refuse_target(place.path("file/w"), {"cannot be written", "Not a directory"});
  refuse_target(place.path("directory"), {"cannot be written", "Is a directory"});
  refuse_target(place.path("new/"), {"cannot be written"});
  refuse_target(place.path(std::string(300, 'x')), {"cannot be written", "name too long"});
  refuse_target("/proc/softstep", {"cannot be written"});  // nobody may create files there
  require_refused("path", {"empty"}, [] { save_weights("", weights, 2); });
  CHECK(place.contents() == before);
  CHECK(place.read("file") == "old");
}

TEST_CASE("a directory or file without write permission is refused", "[data]") {
  if (geteuid() == 0) SKIP("root may write everywhere");
  const Workplace place;
  std::filesystem::create_directory(place.path("d"));
  place.write("f", "old");
  chmod(place.path("d").c_str(), 0500);
  chmod(place.path("f").c_str(), 0400);  // test_output_files.cpp asks the same as root
  refuse_target(place.path("d/w"), {"cannot be written", "Permission denied"});
  refuse_target(place.path("f"), {"cannot be written", "read-only"});
  CHECK(place.read("f") == "old");
}

TEST_CASE("a write that fails half-way leaves the old file and no other", "[data]") {
  const Workplace place;
  place.write("w", "old");
  GeneratorOptions options;
  options.n_samples = 200;  // several megabytes: more than the buffer
  options.n_tokens = 50;
  const Dataset<double> data = generate(options);

  // The operating system refuses to let any file grow beyond 1.5 MB. (Nothing is reported in between: that
  // might be written to a file.)
  struct rlimit old = {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  std::string message;
  const struct rlimit small = {1'500'000, old.rlim_max};
  const bool limited = setrlimit(RLIMIT_FSIZE, &small) == 0;
  try {
    save_dataset(place.path("w"), data, StoredType::f64);
  } catch (const InvalidArgument& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  REQUIRE(limited);
  CHECK(message.find("cannot be written: File too large") != std::string::npos);
  CHECK(place.contents() == std::vector<std::string>{"w"});
  CHECK(place.read("w") == "old");

  // A value that does not fit, found when much is already written.
  std::vector<double> large(1'000'000, 1.0);
  large.back() = 1e6;
  require_refused(place.path("w"), {"`x`", "1000000", "F16"}, [&] {
    save_tensors(place.path("w"), {{"x", {large.size()}, large, StoredType::f16}});
  });
  CHECK(place.contents() == std::vector<std::string>{"w"});
  CHECK(place.read("w") == "old");

  save_dataset(place.path("w"), data, StoredType::f64);
  CHECK(place.contents() == std::vector<std::string>{"w"});
  CHECK(load_dataset<double>(place.path("w")).view().n_samples == 200);
}

TEST_CASE("permissions are those of any new file, or of the file replaced; links are followed", "[data]") {
  const Workplace place;
  place.write("ordinary", "x");
  save_weights(place.path("new"), weights, 2);
  CHECK(mode_of(place.path("new")) == mode_of(place.path("ordinary")));
  chmod(place.path("ordinary").c_str(), 0640);
  save_weights(place.path("ordinary"), weights, 2);
  CHECK(mode_of(place.path("ordinary")) == 0640);

  std::filesystem::create_directory(place.path("d"));
  place.write("d/target", "old");
  std::filesystem::create_symlink("d/target", place.path("link"));
  save_weights(place.path("link"), weights, 2);
  CHECK(std::filesystem::is_symlink(place.path("link")));
  CHECK(load_weights(place.path("d/target"), 2) == weights);
  CHECK(place.contents().size() == 5);
}

TEST_CASE("arguments that do not fit together are refused before a file is touched", "[data]") {
  const Workplace place;
  const std::string path = place.path("w");
  using Tensors = std::vector<NamedTensor>;
  const auto refuse = [&](const Tensors& tensors, const std::vector<std::string>& words,
                          const std::vector<std::pair<std::string, std::string>>& metadata = {}) {
    require_refused(path, words, [&] { save_tensors(path, tensors, metadata); });
  };
  refuse({{"x", {2, 2}, {1, 2, 3}, StoredType::f64}}, {"`x`", "3 values", "[2, 2]"});
  refuse({{"x", {1ull << 40, 1ull << 40}, {}, StoredType::f64}}, {"`x`", "too large"});
  refuse({{"x", {1}, {1}, StoredType::f64}, {"x", {1}, {1}, StoredType::f32}}, {"`x`", "twice"});
  refuse({{"__metadata__", {1}, {1}, StoredType::f64}}, {"reserved"});
  refuse({{"\xff", {1}, {1}, StoredType::f64}}, {"UTF-8"});
  refuse({}, {"`k` twice"}, {{"k", "1"}, {"k", "2"}});
  refuse({}, {"UTF-8"}, {{"k", "\xc3"}});
  require_refused("weights", {"4", "3"}, [&] { save_weights(path, weights, 3); });
  require_refused("weights", {"4"}, [&] { save_weights(path, weights, (std::size_t{1} << 32) + 2); });
  // load_weights() would not take them back.
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()})
    require_refused("weights", {"row 1, column 0", "finite"}, [&] {
      save_weights(path, {1.0, 2.0, bad, 4.0}, 2);
    });

  std::vector<double> tokens = {1, std::numeric_limits<double>::quiet_NaN()};
  const std::vector<std::int8_t> labels = {1};
  BatchView<double> view;
  view.tokens = tokens.data();
  view.n_samples = view.n_tokens = 1;
  view.dim = 2;
  view.labels = labels.data();
  require_refused("tokens", {"nan"},
                  [&] { save_dataset(path, Dataset<double>(view, nullptr), StoredType::f64); });
  require_refused("n_samples", {"0"}, [&] { save_dataset(path, Dataset<double>(), StoredType::f64); });

  // Neither a file nor the parts of a data set have targets.
  const double targets[] = {0.5};
  tokens[1] = 2.0;
  view.targets = targets;
  for (const std::int8_t* beside : {labels.data(), static_cast<const std::int8_t*>(nullptr)}) {
    view.labels = beside;
    const Dataset<double> data(view, nullptr);
    require_refused("targets", {"labels"}, [&] { save_dataset(path, data, StoredType::f64); });
    require_refused("targets", {"labels"}, [&] { convert<float>(data); });
    CHECK(convert<double>(data).view().targets == targets);
  }
  CHECK(place.contents().empty());
}
