#pragma once

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

#include "softstep/error.h"

namespace softstep::test {

/// Requires that body() throws InvalidArgument about `argument`, which may be empty, in one line that holds
/// every word.
template <class Body>
void require_refused(const std::string& argument, const std::vector<std::string>& words, Body body) {
  INFO("expected to be refused: " << argument);
  try {
    body();
  } catch (const InvalidArgument& error) {
    const std::string text = error.what();
    INFO("message: " << text);
    CHECK(error.argument() == argument);
    CHECK(text.find('\n') == std::string::npos);
    CHECK(text.starts_with(argument.empty() ? "" : argument + ": "));
    CHECK_FALSE(text.starts_with(":"));
    for (const std::string& word : words) {
      INFO("expected in it: " << word);
      CHECK(text.find(word) != std::string::npos);
    }
    return;
  }
  FAIL_CHECK("accepted");
}

}  // namespace softstep::test
