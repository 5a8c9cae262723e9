#pragma once

// Runs the real program and looks at what it says, returns and leaves behind.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace softstep::test {

using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

struct Ran {
  int code = -1;         ///< exit code; 128 + signal if one killed it
  std::string out, err;  ///< what it wrote
};

/// A directory of its own for one test, removed with everything in it. The program runs inside it.
class Workplace {
 public:
  Workplace();
  ~Workplace();
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  /// Bytes of address space that the programs run from here on may have; 0: no limit.
  std::uint64_t address_space = 0;

  std::string path(const std::string& name) const { return (root_ / name).string(); }
  /// Names of all files and directories below, sorted.
  std::vector<std::string> contents() const;
  std::string read(const std::string& name) const;
  Json read_json(const std::string& name) const { return Json::parse(read(name)); }
  void write(const std::string& name, const std::string& bytes) const;

  /// Runs the program; `environment` entries ("NAME=value") are added. A signal is sent after `signal_after`
  /// seconds if that is positive.
  Ran run(const Arguments& arguments, const std::vector<std::string>& environment = {}, int signal = 0,
          double signal_after = 0.0) const;
  /// Runs it with the standard error on a terminal, whose contents are `err`. The signal, if there is one, is
  /// sent as soon as `when` has appeared there.
  Ran run_on_terminal(const Arguments& arguments, int signal = 0, const std::string& when = "") const;
  /// Runs it, requires exit code 0 and gives the results (adds --json).
  Json results(Arguments arguments) const;
  /// Bad input: exit code 2, nothing on the standard output, exactly one line on the standard error,
  /// beginning with "softstep: " and holding every one of `words`, and no file made, changed or removed.
  void require_bad_input(const Arguments& arguments, const std::vector<std::string>& words,
                         const std::vector<std::string>& environment = {}) const;

 private:
  std::filesystem::path root_;
};

/// One tensor of a safetensors file written by hand: what the header says, and the bytes.
struct RawTensor {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
  std::string bytes;
};
/// The file: 8 bytes of header size, the header, the tensors one after another.
std::string safetensors(const std::vector<RawTensor>& tensors);
/// The same with a header of one's own.
std::string safetensors(const std::string& header, const std::string& bytes);

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

/// Lines without their line breaks.
std::vector<std::string> lines(const std::string& text);
/// Fields of a row of CSV without quotation marks.
std::vector<std::string> fields(const std::string& row);

}  // namespace softstep::test
