#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

namespace softstep::data {

/// A token that may not be in a list: beyond the vocabulary, or there twice.
struct BadToken {
  std::size_t token;
  bool is_twice;
};

/// The largest of entries begin to end - 1 where that is beyond the vocabulary, else the least that is there
/// twice. There is one entry at least. Sorted, and not marked in a list of the vocabulary, which may be far
/// larger than the data.
inline std::optional<BadToken> bad_token(const std::vector<std::size_t>& tokens, std::size_t begin,
                                         std::size_t end, std::size_t vocabulary) {
  std::vector<std::size_t> sorted(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                  tokens.begin() + static_cast<std::ptrdiff_t>(end));
  std::sort(sorted.begin(), sorted.end());
  if (sorted.back() >= vocabulary) return BadToken{sorted.back(), false};
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) return BadToken{*twice, true};
  return std::nullopt;
}

}  // namespace softstep::data
