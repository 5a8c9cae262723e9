// Headers of tensor files: as strict as the reference reader, in time and memory that grow with their length
// alone.

#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstring>

#include "refused.h"
#include "softstep/dataset.h"
#include "tools/run_program.h"

using namespace softstep;
using namespace softstep::test;

namespace {

const std::string weights_text = R"("weights":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]})";

void refuse(const std::string& file, const std::vector<std::string>& words) {
  const Workplace place;
  place.write("bad", file);
  std::string message;
  try {
    load_weights(place.path("bad"), 1);
    FAIL_CHECK("accepted");
  } catch (const InvalidArgument& error) {
    message = std::string(error.what()).substr(place.path("bad").size());
  }
  INFO(message.substr(0, 1000));
  CHECK(message.size() < 500);
  for (const char c : message) CHECK((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
  for (const std::string& word : words) {
    INFO("expected in it: " << word);
    CHECK(message.find(word) != std::string::npos);
  }
}

void refuse_header(const std::string& header, const std::vector<std::string>& words) {
  refuse(safetensors(header, std::string(8, '\0')), words);
}

std::vector<double> weights_of(const std::string& header, std::size_t n_bytes = 8) {
  const Workplace place;
  place.write("good", safetensors(header, std::string(n_bytes, '\0')));
  return load_weights(place.path("good"), 1);
}

double seconds_to_read(std::size_t n_tensors) {
  std::string header = "{" + weights_text;
  for (std::size_t k = 0; k < n_tensors; ++k)
    header += ",\"extra_" + std::to_string(k) + R"(":{"dtype":"F32","shape":[0],"data_offsets":[8,8]})";
  const Workplace place;
  place.write("many", safetensors(header + "}", std::string(8, '\0')));
  double best = 1e9;
  for (int k = 0; k < 3; ++k) {
    const auto start = std::chrono::steady_clock::now();
    load_weights(place.path("many"), 1);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

long peak_kilobytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

}  // namespace

TEST_CASE("a header is read in time that grows with its length, not with its square", "[data]") {
  // Eight times as many tensors: 8 times as long, 8.6 times with the logarithm of sorting. A square takes 64
  // times.
  const double few = seconds_to_read(5000), many = seconds_to_read(40000);
  INFO(few << " s and " << many << " s");
  CHECK(many <= 24 * few);
}

TEST_CASE("nothing but spaces may follow the JSON of a header, and no NUL is in it", "[data]") {
  CHECK(weights_of("{" + weights_text + "}   ") == std::vector<double>{0.0});
  refuse_header("{" + weights_text + "}" + std::string(1, '\0'), {"NUL"});
  refuse_header("{" + weights_text + "}" + std::string("\0garbage", 8), {"NUL"});
  refuse_header("{" + weights_text + "}garbage", {"not JSON"});
  refuse_header("{" + weights_text + "}{}", {"not JSON"});
  refuse_header("{" + weights_text + ",}", {"not JSON"});
  refuse_header("{" + weights_text, {"not JSON"});
  refuse_header("{/* */" + weights_text + "}", {"not JSON"});
  refuse_header("\xef\xbb\xbf{" + weights_text + "}", {"no safetensors file"});
  refuse_header("{" + weights_text + R"(,"__metadata__":{},"__metadata__":{}})", {"`__metadata__` twice"});
  refuse_header("{" + weights_text + R"(,"__metadata__":{"k":"a","k":"b"}})", {"`k` twice"});
  refuse_header("{" + weights_text + R"(,"__metadata__":{"k":{}}})", {"`k`", "not a string"});
  refuse_header("{" + weights_text + R"(,"__metadata__":["k"]})", {"__metadata__", "object"});
}

TEST_CASE("tensors of other types do not matter unless they are asked for", "[data]") {
  CHECK(weights_of("{" + weights_text + R"(,"a":{"dtype":"F4","shape":[3,2],"data_offsets":[8,11]})" +
                       R"(,"b":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[11,14]})" +
                       R"(,"c":{"dtype":"F8_E4M3FNUZ","shape":[2],"data_offsets":[14,16]})" +
                       R"(,"d":{"dtype":"Q2_K","shape":[7,9],"data_offsets":[16,20]}})",
                   20) == std::vector<double>{0.0});
  // With a type of its own of the file as a member that nobody knows.
  CHECK(weights_of(R"({"weights":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8],"strides":[1,1]}})") ==
        std::vector<double>{0.0});
  refuse_header(R"({"weights":{"dtype":"Q2_K","shape":[1,1],"data_offsets":[0,8]}})", {"`Q2_K`", "need F64"});
  refuse_header(R"({"weights":{"dtype":"F4","shape":[1,16],"data_offsets":[0,8]}})", {"`F4`", "need F64"});
  refuse_header(R"({"weights":{"dtype":"F4","shape":[15],"data_offsets":[0,8]}})", {"end at a byte"});
  refuse_header(R"({"weights":{"dtype":"F4","shape":[14],"data_offsets":[0,8]}})", {"8 bytes", "need 7"});
  // What holds for every type: the bytes are there, and no others.
  refuse_header("{" + weights_text + R"(,"d":{"dtype":"Q2_K","shape":[7,9],"data_offsets":[8,12]}})",
                {"`d`", "outside"});
  refuse_header(R"({"d":{"dtype":"Q2_K","shape":[7,9],"data_offsets":[4,8]}})", {"0 to 4", "no tensor"});
}

TEST_CASE("messages about a header are short, and hold no character that a terminal would act on", "[data]") {
  std::string ones = "1";
  for (int k = 1; k < 400000; ++k) ones += ",1";
  refuse_header(R"({"weights":{"dtype":"F64","shape":[)" + ones + R"(],"data_offsets":[0,8]}})",
                {"64 dimensions"});
  ones.resize(2 * 64 - 1);
  refuse_header(R"({"weights":{"dtype":"F64","shape":[)" + ones + R"(],"data_offsets":[0,8]}})",
                {"(64 dimensions)"});
  const std::string name = "\\u001b[2J\\u0007\\u009b2J\\u202egnp.exe\\u2066";
  refuse_header("{\"" + name + R"(":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})",
                {"`?[2J??2J?gnp.exe?`"});
  refuse_header("{\"" + std::string(300000, 'n') + R"(":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})",
                {"nnn...`"});
  // Cut between two characters, never within one.
  std::string long_name(79, 'n');
  refuse_header("{\"" + long_name + "\u00e9\u00e9" + R"(":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})",
                {"nnn...`"});
  refuse_header(
      R"({"weights":{"dtype":")" + std::string(300000, 'D') + R"(","shape":[1],"data_offsets":[0,8]}})",
      {"DDD...`"});
  refuse_header(R"({"weights":{"dtype":"\u001b]0;x","shape":[1],"data_offsets":[0,8]}})", {"`?]0;x`"});
}

TEST_CASE("a nest of brackets takes no memory", "[data]") {
  const std::size_t size = 60'000'000;
  const std::string start = R"({"weights":{"dtype":"F64","shape":)";
  std::string file = safetensors(start + std::string(size - start.size(), '['), std::string(8, '\0'));
  const Workplace place;
  place.write("nest", file);
  std::string().swap(file);
  // Each level cost 20 bytes before: 1.2 GB.
  const long before = peak_kilobytes();
  require_refused(place.path("nest"), {"nested"}, [&] { load_weights(place.path("nest"), 1); });
  CHECK(peak_kilobytes() - before <=
        static_cast<long>(2 * size / 1024));  // of which the mapped file is one half
}

TEST_CASE("files of other kinds are called that", "[data]") {
  refuse("tokens,labels\n1,2\n3,4\n", {"no safetensors file"});
  refuse("PK\x03\x04 and the rest of an archive of NumPy", {"no safetensors file"});
  refuse("\x93NUMPY\x01\x00 and the rest of an array", {"no safetensors file"});
  refuse("\x89HDF\r\n\x1a\n and the rest", {"no safetensors file"});
  refuse(std::string(100, '\0'), {"no safetensors file"});
  refuse("{\"json\": true, \"and\": \"more\"}", {"no safetensors file"});
}
