// Data of next-token prediction: what they must be, their entropy, and examples.

#include <algorithm>
#include <cmath>
#include <new>
#include <numeric>

#include "core/data/checked_size.h"
#include "core/data/positive_weights.h"
#include "core/data/random_stream.h"
#include "core/data/text.h"
#include "core/data/token_numbers.h"
#include "softstep/error.h"
#include "softstep/next_token.h"

namespace softstep {
namespace {

void require_at_least(const char* name, std::size_t value, std::size_t least) {
  if (value < least)
    throw InvalidArgument(name, std::to_string(value) + " (need at least " + std::to_string(least) + ")");
}

void require_size(const char* name, std::size_t size, std::size_t wanted) {
  if (size != wanted)
    throw InvalidArgument(name, std::to_string(size) + " entries (need " + std::to_string(wanted) + ")");
}

void normalize(double* first, double* last) {
  const double sum = std::accumulate(first, last, 0.0);
  for (; first != last; ++first) *first /= sum;
}

}  // namespace

void NextTokenData::validate() const {
  require_at_least("vocabulary", vocabulary, 2);
  require_at_least("dim", dim, 1);
  const std::size_t n = n_contexts();
  require_at_least("probabilities", n, 1);
  data::require_weights("probabilities", probabilities);
  std::size_t size = 0;
  const std::size_t limit = data::max_bytes / sizeof(double);
  if (!data::multiply(n, dim, limit, size) || contexts.size() != size)
    throw InvalidArgument("contexts", std::to_string(contexts.size()) + " entries (need n_contexts * dim)");
  if (!data::multiply(vocabulary, dim, limit, size))
    throw InvalidArgument("vocabulary", std::to_string(vocabulary) + " (weights do not fit in memory)");
  for (std::size_t j = 0; j < n; ++j) {
    bool zero = true;
    for (std::size_t c = 0; c < dim; ++c) {
      const double h = contexts[j * dim + c];
      if (!std::isfinite(h))
        throw InvalidArgument("contexts", "context " + std::to_string(j) + " is not finite");
      zero = zero && h == 0.0;
    }
    if (zero) throw InvalidArgument("contexts", "context " + std::to_string(j) + " is zero");
  }
  require_size("first", first.size(), n + 1);
  if (first[0] != 0) throw InvalidArgument("first", "does not begin with 0");
  for (std::size_t j = 0; j < n; ++j)
    if (first[j + 1] <= first[j])
      throw InvalidArgument("first", "context " + std::to_string(j) + " has no support");
  require_size("tokens", tokens.size(), first[n]);
  require_size("labels", labels.size(), first[n]);
  data::require_weights("labels", labels);
  data::require_parts("labels", labels, first);
  for (std::size_t j = 0; j < n; ++j) {
    const auto bad = data::bad_token(tokens, first[j], first[j + 1], vocabulary);
    if (!bad) continue;
    const std::string where = "in the support of context " + std::to_string(j);
    throw InvalidArgument(
        "tokens", std::to_string(bad->token) +
                      (bad->is_twice ? " twice " + where
                                     : ' ' + where + " (vocabulary is " + std::to_string(vocabulary) + ")"));
  }
}

double NextTokenData::entropy() const {
  validate();
  const double all = std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  double entropy = 0.0;
  for (std::size_t j = 0; j < n_contexts(); ++j) {
    double sum = 0.0;
    for (std::size_t k = first[j]; k < first[j + 1]; ++k) sum += labels[k];
    for (std::size_t k = first[j]; k < first[j + 1]; ++k)
      entropy -= probabilities[j] / all * labels[k] / sum * std::log(labels[k] / sum);
  }
  return entropy;
}

NextTokenData next_token_example(std::size_t n_contexts, std::size_t vocabulary, std::size_t dim,
                                 std::size_t support_size, std::uint64_t seed) {
  require_at_least("n_contexts", n_contexts, 1);
  require_at_least("vocabulary", vocabulary, 2);
  if (dim < n_contexts)
    throw InvalidArgument("dim", std::to_string(dim) + " (need at least n_contexts = " +
                                     std::to_string(n_contexts) + ", for independent contexts)");
  if (support_size < 1 || support_size > vocabulary)
    throw InvalidArgument("support_size", std::to_string(support_size) +
                                              " (need 1 to vocabulary = " + std::to_string(vocabulary) + ")");
  std::size_t size = 0;
  if (!data::multiply(n_contexts, dim, data::max_bytes / sizeof(double), size))
    throw InvalidArgument("n_contexts", std::to_string(n_contexts) + " contexts do not fit in memory");
  data::RandomStream stream(seed);
  NextTokenData out;
  try {
    out.vocabulary = vocabulary;
    out.dim = dim;
    out.contexts.resize(size);
    out.first.push_back(0);
    for (std::size_t j = 0; j < n_contexts; ++j) {
      double* h = out.contexts.data() + j * dim;
      double squares = 0.0;
      for (std::size_t c = 0; c < dim; ++c) {
        h[c] = stream.normal();
        squares += h[c] * h[c];
      }
      for (std::size_t c = 0; c < dim; ++c) h[c] /= std::sqrt(squares);
      out.probabilities.push_back(0.5 + stream.uniform());
      std::vector<std::size_t> order(vocabulary);
      std::iota(order.begin(), order.end(), std::size_t{0});
      for (std::size_t k = 0; k < support_size; ++k) {
        std::swap(order[k], order[k + stream.index(vocabulary - k)]);
        out.tokens.push_back(order[k]);
      }
      for (std::size_t k = 0; k < support_size; ++k) out.labels.push_back(0.1 + stream.uniform());
      out.first.push_back(out.tokens.size());
      normalize(out.labels.data() + out.first[j], out.labels.data() + out.first[j + 1]);
    }
    normalize(out.probabilities.data(), out.probabilities.data() + n_contexts);
  } catch (const std::bad_alloc&) {
    throw InvalidArgument("n_contexts", std::to_string(n_contexts) + " contexts do not fit in memory");
  }
  return out;
}

}  // namespace softstep
