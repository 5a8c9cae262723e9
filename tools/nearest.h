#pragma once

#include <string>
#include <vector>

namespace softstep::program {

/// The known word that `word` is most likely a misspelling of; empty if none is near. Near are words that a
/// few letters left out, put in, replaced or swapped with their neighbour lead to: one, and one more for each
/// three letters beyond the first three. Leading dashes do not count.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

/// " (did you mean X?)", or " (known: A, B, C)" if none is near.
std::string suggestion(const std::string& word, const std::vector<std::string>& known);

}  // namespace softstep::program
