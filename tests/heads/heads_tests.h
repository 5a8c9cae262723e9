#pragma once

// A case on every instruction set, each result within its bound.

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "heads/heads_check.h"
#include "support/isas.h"

namespace softstep::test {

template <class T>
void check(const HeadsSetup& setup, const std::vector<int>& threads = {1});

}  // namespace softstep::test
