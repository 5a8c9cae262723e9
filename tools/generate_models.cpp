#include "generate_models.h"

#include <fmt/format.h>

#include <algorithm>

#include "file_models.h"
#include "softstep/error.h"
#include "softstep/induction.h"
#include "softstep/train_state.h"

namespace softstep::program {

std::vector<std::string> sizes_of_model_data(const std::string& kind) {
  if (kind == "relu" || kind == "variational") return {"--samples", "--dim"};
  if (kind == "vocabulary") return {"--samples", "--tokens", "--dim"};
  if (kind == "induction") return {"--samples", "--tokens"};
  return {};
}

namespace {

void need_at_least(const char* option, std::size_t value, std::size_t least, const std::string& kind) {
  if (value < least)
    throw InvalidArgument(option, fmt::format("{} (--model-kind {} needs at least {})", value, kind, least));
}

// Labels that no linear model gives: y = sign(x_1 x_2).
std::vector<NamedTensor> crossed_points(const ModelDataSizes& of, std::uint64_t seed, StoredType type) {
  need_at_least("--dim", of.dim, 2, "relu");
  NamedTensor features{
      "features", {of.n_samples, of.dim}, normal_values(of.n_samples * of.dim, 1.0, seed), type};
  NamedTensor labels{"labels", {of.n_samples}, {}, StoredType::f64};
  for (std::size_t i = 0; i < of.n_samples; ++i)
    labels.values.push_back(features.values[i * of.dim] * features.values[i * of.dim + 1] < 0.0 ? -1.0 : 1.0);
  return {features, labels};
}

// Unit vectors; after a sentence comes the token behind the one with the largest number, in a circle.
std::vector<NamedTensor> largest_token(const ModelDataSizes& of, std::uint64_t seed, StoredType type) {
  need_at_least("--dim", of.dim, 2, "vocabulary");
  NamedTensor tokens{"tokens", {of.n_samples, of.n_tokens, of.dim}, {}, type};
  NamedTensor next{"next", {of.n_samples}, {}, StoredType::f64};
  tokens.values.assign(of.n_samples * of.n_tokens * of.dim, 0.0);
  // The largest of d normal numbers is each of them alike.
  const std::vector<double> draws = normal_values(tokens.values.size(), 1.0, seed);
  for (std::size_t i = 0; i < of.n_samples; ++i) {
    std::size_t largest = 0;
    for (std::size_t t = 0; t < of.n_tokens; ++t) {
      const auto from = draws.begin() + static_cast<std::ptrdiff_t>((i * of.n_tokens + t) * of.dim);
      const auto token =
          static_cast<std::size_t>(std::max_element(from, from + static_cast<std::ptrdiff_t>(of.dim)) - from);
      tokens.values[(i * of.n_tokens + t) * of.dim + token] = 1.0;
      largest = std::max(largest, token);
    }
    next.values.push_back(static_cast<double>((largest + 1) % of.dim));
  }
  return {tokens, next, {"vocabulary", {1}, {static_cast<double>(of.dim)}, StoredType::f64}};
}

}  // namespace

std::vector<NamedTensor> model_data(const std::string& kind, const ModelDataSizes& of, std::uint64_t seed,
                                    StoredType type) {
  if (kind == "relu") return crossed_points(of, seed, type);
  if (kind == "variational")
    return {{"features", {of.n_samples, of.dim}, normal_values(of.n_samples * of.dim, 1.0, seed), type},
            {"targets", {of.n_samples}, normal_values(of.n_samples, 1.0, seed + 1), type}};
  if (kind == "vocabulary") return largest_token(of, seed, type);
  if (kind == "induction") {
    need_at_least("--tokens", of.n_tokens, 3, kind);
    const InductionData data = induction_data(of.n_samples, of.n_tokens, 1.0, 1.0, seed);
    return {{"sequences", {of.n_samples, of.n_tokens}, data.sequences, type},
            {"targets", {of.n_samples}, data.targets, type}};
  }
  // Those by moments alone have the numbers of their entries of `reproduce`.
  if (kind == "relu_population")
    return {{"means", {3, 2}, {0.225, 0.3, 0.225, -0.3, -0.375, 0.0}, type},
            {"probabilities", {3}, {0.25, 0.25, 0.5}, type},
            {"labels", {3}, {1.0, 1.0, -1.0}, StoredType::f64},
            {"sigma", {1}, {0.1}, type}};
  if (kind == "gated")
    return {{"spectrum", {6}, {0.3, 0.58, 0.86, 1.14, 1.42, 1.7}, type},
            {"examples", {3}, {8.0, 8.0, 8.0}, StoredType::f64},
            {"correlations", {3}, {0.2, 0.5, 0.9}, type},
            {"noise", {1}, {0.1}, type}};
  return {{"spectrum", {4}, {0.4, 0.3, 0.2, 0.1}, type}, {"examples", {1}, {31.0}, StoredType::f64}};
}

}  // namespace softstep::program
