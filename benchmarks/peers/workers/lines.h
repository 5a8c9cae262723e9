#pragma once

// The protocol of worker.py in C++: requests a line each on the standard input, fields separated by tabs,
// answered by a line of JSON each.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace softstep::peers {

using Fields = std::vector<std::string>;

/// Answers requests until there are no more: by `server.answer(fields)`, or by what it throws.
template <class Server>
int serve_lines(Server& server) {
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

}  // namespace softstep::peers
