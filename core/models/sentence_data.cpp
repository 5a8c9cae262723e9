// Sentences and what follows them: what is refused, and their entropy.

#include <cmath>
#include <numeric>
#include <string>

#include "core/data/positive_weights.h"
#include "core/data/text.h"
#include "core/data/token_numbers.h"
#include "softstep/error.h"
#include "softstep/vocabulary_attention.h"

namespace softstep {
namespace {

// Entries first[i] .. first[i+1]-1 of `total` for each of n sentences.
void require_offsets(const char* name, const std::vector<std::size_t>& first, std::size_t n,
                     std::size_t total) {
  if (first.size() != n + 1)
    throw InvalidArgument(
        name, std::to_string(first.size()) + " entries (need n + 1 = " + std::to_string(n + 1) + ")");
  if (first[0] != 0 || first[n] != total)
    throw InvalidArgument(name, "from " + std::to_string(first[0]) + " to " + std::to_string(first[n]) +
                                    " (need 0 to " + std::to_string(total) + ")");
  for (std::size_t i = 0; i < n; ++i)
    if (first[i] >= first[i + 1])
      throw InvalidArgument(name, "sentence " + std::to_string(i) + ": " + std::to_string(first[i]) + " to " +
                                      std::to_string(first[i + 1]) + " (need at least one entry)");
}

}  // namespace

void SentenceData::validate() const {
  if (vocabulary < 2) throw InvalidArgument("vocabulary", std::to_string(vocabulary) + " (need at least 2)");
  if (dim < 1) throw InvalidArgument("dim", std::to_string(dim) + " (need at least 1)");
  const std::size_t n = n_sentences();
  if (n < 1) throw InvalidArgument("probabilities", "no entries (need at least 1)");
  data::require_weights("probabilities", probabilities);
  if (tokens.size() % dim != 0)
    throw InvalidArgument("tokens", std::to_string(tokens.size()) +
                                        " entries (need a multiple of dim = " + std::to_string(dim) + ")");
  require_offsets("first", first, n, tokens.size() / dim);
  for (std::size_t k = 0; k < tokens.size(); ++k)
    if (!std::isfinite(tokens[k]))
      throw InvalidArgument("tokens", "token " + std::to_string(k / dim) + " is not finite");
  require_offsets("first_next", first_next, n, next.size());
  if (labels.size() != next.size())
    throw InvalidArgument("labels", std::to_string(labels.size()) + " entries (need " +
                                        std::to_string(next.size()) + ", as `next`)");
  data::require_weights("labels", labels);
  data::require_parts("labels", labels, first_next);
  for (std::size_t i = 0; i < n; ++i)
    if (const auto bad = data::bad_token(next, first_next[i], first_next[i + 1], vocabulary))
      throw InvalidArgument("next",
                            "sentence " + std::to_string(i) + ": token " + std::to_string(bad->token) +
                                (bad->is_twice ? " twice (need distinct ones)"
                                               : " (need 0 to " + std::to_string(vocabulary - 1) + ")"));
}

double SentenceData::entropy() const {
  validate();
  const double all = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  double out = 0.0;
  for (std::size_t i = 0; i < n_sentences(); ++i) {
    double sum = 0.0;
    for (std::size_t k = first_next[i]; k < first_next[i + 1]; ++k) sum += labels[k];
    for (std::size_t k = first_next[i]; k < first_next[i + 1]; ++k)
      out -= probabilities[i] / all * (labels[k] / sum) * std::log(labels[k] / sum);
  }
  return out;
}

}  // namespace softstep
