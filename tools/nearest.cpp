#include "nearest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace softstep::program {

namespace {

std::string without_dashes(const std::string& word) {
  return word.substr(std::min(word.find_first_not_of('-'), word.size()));
}

// How many letters must be left out, put in, replaced or swapped with their neighbour (optimal string
// alignment).
std::size_t distance(const std::string& a, const std::string& b) {
  const std::size_t width = b.size() + 1;
  std::vector<std::size_t> d((a.size() + 1) * width);
  const auto at = [&](std::size_t i, std::size_t j) -> std::size_t& { return d[i * width + j]; };
  for (std::size_t i = 0; i <= a.size(); ++i)
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        at(i, j) = i + j;
        continue;
      }
      const std::size_t replaced = at(i - 1, j - 1) + (a[i - 1] == b[j - 1] ? 0 : 1);
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
    }
  return at(a.size(), b.size());
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  const std::string plain = without_dashes(word);
  std::string found;
  std::size_t least = std::max<std::size_t>(plain.size() / 3, 1) + 1;
  for (const std::string& other : known) {
    const std::size_t far = distance(plain, without_dashes(other));
    // A word of which nothing is left is no misspelling.
    if (far >= least || far >= plain.size()) continue;
    least = far;
    found = other;
  }
  return found;
}

std::string suggestion(const std::string& word, const std::vector<std::string>& known) {
  const std::string near = nearest(word, known);
  if (!near.empty()) return fmt::format(" (did you mean {}?)", near);
  return fmt::format(" (known: {})", fmt::join(known, ", "));
}

}  // namespace softstep::program
