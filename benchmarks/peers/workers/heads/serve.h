#pragma once

// What both workers of attention share. `Server<T>(storage, threads).answer(fields)` gives the answer, or
// throws.

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "lines.h"
#include "softstep/attention.h"
#include "softstep/isa.h"
#include "softstep/version.h"

namespace softstep::peers {

/// What both servers of attention have in common: requests, and the case that is in force. `Own` has
/// load(fields), call(times), check(folder), and other(command, fields) for requests of its own.
template <class Own>
class CaseServer {
 public:
  CaseServer(StoredType storage, int threads) : storage_(storage), threads_(threads) {}

  std::string answer(const Fields& fields) {
    const std::string& command = fields.at(0);
    if (command == "version") return "{\"version\": \"" + std::string(version) + ", " + active_isa() + "\"}";
    if (command == "load") return own().load(fields);
    const std::string& what = fields.at(2);
    backward_ = what.rfind("both", 0) == 0;
    causal_ = what.find("-causal") != std::string::npos;
    if (command == "prepare") {
      own().call(1);
      return "{\"variant\": \"" + fields.at(1) + "\"}";
    }
    if (command == "check") return own().check(fields.at(3));
    if (command == "run")
      return timed(std::stod(fields.at(3)), [&](std::int64_t times) { return own().call(times); });
    return own().other(command, fields);
  }

 protected:
  [[noreturn]] static std::string refuse(const std::string& command) {
    throw std::runtime_error("unknown request " + command);
  }

  StoredType storage_;
  int threads_;
  bool backward_ = false, causal_ = false;
  double scale_ = 1.0;

 private:
  Own& own() { return static_cast<Own&>(*this); }
};

template <template <NumberType> class Server, NumberType T>
int serve(StoredType storage, int threads) {
  Server<T> server(storage, threads);
  return serve_lines(server);
}

/// The program TYPE THREADS.
template <template <NumberType> class Server>
int serve_program(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string type = argv[1];
  const int threads = std::atoi(argv[2]);
  if (type == "f64") return serve<Server, double>(StoredType::working, threads);
  const StoredType storage = type == "f16"    ? StoredType::f16
                             : type == "bf16" ? StoredType::bf16
                                              : StoredType::working;
  return serve<Server, float>(storage, threads);
}

}  // namespace softstep::peers
