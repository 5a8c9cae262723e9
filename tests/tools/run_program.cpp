#include "tools/run_program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>

extern char** environ;

namespace softstep::test {

namespace fs = std::filesystem;

Workplace::Workplace() {
  std::string name = (fs::temp_directory_path() / "softstep_test.XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
  root_ = name;
}

Workplace::~Workplace() {
  std::error_code error;
  fs::remove_all(root_, error);
}

std::vector<std::string> Workplace::contents() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(root_))
    names.push_back(entry.path().lexically_relative(root_).string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string Workplace::read(const std::string& name) const {
  std::ifstream file(path(name), std::ios::binary);
  if (!file) throw std::runtime_error("no file " + name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void Workplace::write(const std::string& name, const std::string& bytes) const {
  std::ofstream file(path(name), std::ios::binary);
  file << bytes;
  if (!file.flush()) throw std::runtime_error("cannot write " + name);
}

namespace {

const char* program() {
#ifndef SOFTSTEP_PROGRAM
  SKIP("built without the program");
  return "";
#else
  return SOFTSTEP_PROGRAM;
#endif
}

std::string slurp(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  fs::remove(name);
  return text.str();
}

// Starts the program in the directory `place`, with its outputs in `out` and on the descriptor `err`.
pid_t start(const fs::path& place, const Arguments& arguments, const std::vector<std::string>& environment,
            const std::string& out, int err, std::uint64_t address_space = 0) {
  std::vector<std::string> words = {program()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables = environment;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.emplace_back(*variable);
  std::vector<char*> envp;
  for (std::string& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);

  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child == 0) {
    const bool ready = chdir(place.c_str()) == 0 && dup2(open("/dev/null", O_RDONLY), 0) >= 0 &&
                       dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1) >= 0 &&
                       dup2(err, 2) >= 0;
    const rlimit limit{address_space, address_space};
    const bool limited = address_space == 0 || setrlimit(RLIMIT_AS, &limit) == 0;
    if (ready && limited) execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  return child;
}

int code_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Ran Workplace::run(const Arguments& arguments, const std::vector<std::string>& environment, int signal,
                   double signal_after) const {
  // The captured output lies outside the workplace, whose contents are looked at.
  const std::string out = root_.string() + ".out", err = root_.string() + ".err";
  const int descriptor = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const pid_t child = start(root_, arguments, environment, out, descriptor, address_space);
  close(descriptor);
  if (signal_after > 0.0) {
    std::this_thread::sleep_for(std::chrono::duration<double>(signal_after));
    kill(child, signal);
  }
  Ran ran;
  ran.code = code_of(child);
  ran.out = slurp(out);
  ran.err = slurp(err);
  return ran;
}

Ran Workplace::run_on_terminal(const Arguments& arguments, int signal, const std::string& when) const {
  const std::string out = root_.string() + ".out";
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
    throw std::runtime_error("no terminal to run the program on");
  const int its_side = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
  const pid_t child = start(root_, arguments, {}, out, its_side);
  close(its_side);
  Ran ran;
  bool sent = signal == 0;
  char bytes[4096];
  // Reading fails once the program has closed its side.
  for (ssize_t n = 0; (n = ::read(terminal, bytes, sizeof bytes)) > 0;) {
    ran.err.append(bytes, static_cast<std::size_t>(n));
    if (sent || ran.err.find(when) == std::string::npos) continue;
    kill(child, signal);
    sent = true;
  }
  close(terminal);
  ran.code = code_of(child);
  ran.out = slurp(out);
  return ran;
}

Json Workplace::results(Arguments arguments) const {
  arguments.insert(arguments.end(), {"--json", "-"});
  const Ran ran = run(arguments);
  INFO("standard error: " << ran.err);
  REQUIRE(ran.code == 0);
  return Json::parse(ran.out);
}

namespace {

// Everything below a directory with its bytes: what must not change.
std::map<std::string, std::string> snapshot(const Workplace& place) {
  std::map<std::string, std::string> all;
  for (const std::string& name : place.contents())
    all[name] = fs::is_regular_file(place.path(name)) ? place.read(name) : "";
  return all;
}

}  // namespace

void Workplace::require_bad_input(const Arguments& arguments, const std::vector<std::string>& words,
                                  const std::vector<std::string>& environment) const {
  std::string line = "softstep";
  for (const std::string& argument : arguments) line += " " + argument;
  const auto before = snapshot(*this);
  const Ran ran = run(arguments, environment);
  INFO(line);
  INFO("standard error: " << ran.err);
  CHECK(ran.code == 2);
  CHECK(ran.out.empty());
  CHECK(ran.err.rfind("softstep: ", 0) == 0);
  CHECK(std::count(ran.err.begin(), ran.err.end(), '\n') == 1);
  CHECK((!ran.err.empty() && ran.err.back() == '\n'));
  for (const std::string& word : words) {
    INFO("expected in it: " << word);
    CHECK(ran.err.find(word) != std::string::npos);
  }
  CHECK(snapshot(*this) == before);
}

std::string safetensors(const std::string& header, const std::string& bytes) {
  std::string file(8, '\0');
  const std::uint64_t size = header.size();
  std::memcpy(file.data(), &size, 8);
  return file + header + bytes;
}

std::string safetensors(const std::vector<RawTensor>& tensors) {
  Json header = Json::object();
  std::string bytes;
  for (const RawTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {bytes.size(), bytes.size() + tensor.bytes.size()}}};
    bytes += tensor.bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return safetensors(text, bytes);
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.push_back(line);
  return result;
}

std::vector<std::string> fields(const std::string& row) {
  std::vector<std::string> out;
  std::istringstream stream(row);
  for (std::string field; std::getline(stream, field, ',');) out.push_back(field);
  return out;
}

}  // namespace softstep::test
