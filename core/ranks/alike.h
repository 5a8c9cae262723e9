#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "core/ranks/in_order.h"
#include "softstep/error.h"

namespace softstep {

/// What must be the same on all ranks, and a text of up to 31 bytes that tells one value from another.
struct AlikeSetting {
  const char* name;
  std::string value;
};

/// Throws InvalidArgument on all ranks where a setting of one is not that of rank 0: they would come to other
/// results or decisions, which nobody would see, or wait for each other for ever.
template <std::size_t n>
void require_alike(Ranks* ranks, const AlikeSetting (&settings)[n]) {
  using Text = std::array<char, 32>;
  std::array<Text, n> mine{};
  for (std::size_t k = 0; k < n; ++k) settings[k].value.copy(mine[k].data(), mine[k].size() - 1);
  const std::vector<std::array<Text, n>> all = gathered(ranks, mine);
  for (std::size_t r = 1; r < all.size(); ++r)
    for (std::size_t k = 0; k < n; ++k)
      if (all[r][k] != all[0][k])
        throw InvalidArgument(settings[k].name, std::string(all[0][k].data()) + " on rank 0, and " +
                                                    all[r][k].data() + " on rank " + std::to_string(r) +
                                                    " (need the same on all ranks)");
}

}  // namespace softstep
