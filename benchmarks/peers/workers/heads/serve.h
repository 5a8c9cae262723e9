#pragma once

// The protocol of worker.py in C++: requests a line each on the standard input, fields separated by tabs,
// answered by a line of JSON each. `Server<T>(storage, threads).answer(fields)` gives the answer, or throws.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "softstep/attention.h"
#include "softstep/isa.h"
#include "softstep/version.h"

namespace softstep::peers {

using Fields = std::vector<std::string>;

/// The time of a call, measured over about `wanted` seconds: a line of JSON. `call(n)` makes n calls and
/// returns the seconds they took. The first guess of the number of calls may be far off: then it is corrected
/// once.
template <class Call>
std::string timed(double wanted, Call call) {
  double each = call(1);
  std::int64_t calls = 1;
  for (int attempt = 0; attempt < 2; ++attempt) {
    calls = std::max<std::int64_t>(1, std::llround(wanted / each));
    const double elapsed = call(calls);
    each = elapsed / static_cast<double>(calls);
    if (elapsed > 0.5 * wanted) break;
  }
  char text[100];
  std::snprintf(text, sizeof text, "{\"us\": %.17g, \"calls\": %lld}", 1e6 * each,
                static_cast<long long>(calls));
  return text;
}

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
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    Fields fields;
    for (std::string field; std::getline(in, field, '\t');) fields.push_back(field);
    try {
      std::puts(server.answer(fields).c_str());
    } catch (const std::exception& error) {
      std::string text = error.what();
      std::replace(text.begin(), text.end(), '"', '\'');
      std::printf("{\"error\": \"%s\"}\n", text.c_str());
    }
    std::fflush(stdout);
  }
  return 0;
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
