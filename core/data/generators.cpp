// The data generators of the mathematics, and initial weights. Each generator says in which order it draws
// from the stream of random_stream.h; tokens are drawn sample by sample, token by token, coordinate by
// coordinate.

#include <cmath>
#include <new>
#include <numeric>

#include "core/data/checked_size.h"
#include "core/data/finite.h"
#include "core/data/generated_samples.h"
#include "core/data/random_stream.h"
#include "core/data/text.h"
#include "softstep/dataset.h"
#include "softstep/trainer.h"

namespace softstep {
namespace {

using data::RandomStream;
using data::SampleSink;

void require_positive(const char* name, double x) {
  if (!(x > 0.0 && std::isfinite(x)))
    throw InvalidArgument(name, data::number_text(x) + " (need a positive finite number)");
}

void require_non_negative(const char* name, double x) {
  if (!(x >= 0.0 && std::isfinite(x)))
    throw InvalidArgument(name, data::number_text(x) + " (need 0 or a positive finite number)");
}

void require_at_least(const char* name, std::size_t value, std::size_t least) {
  if (value < least)
    throw InvalidArgument(name, std::to_string(value) + " (need at least " + std::to_string(least) + ")");
}

// Room for the samples, labels +1, -1, +1, ... and a zero decoder.
DatasetParts<double> blank(const GeneratorOptions& o, SampleSink& sink) {
  require_at_least("n_samples", o.n_samples, 1);
  require_at_least("n_tokens", o.n_tokens, 1);
  require_at_least("dim", o.dim, 1);
  const std::size_t limit = data::max_bytes / sizeof(double);
  std::size_t size = 0;
  if (!data::multiply(o.n_samples, o.n_tokens, limit, size) || !data::multiply(size, o.dim, limit, size))
    throw InvalidArgument("n_samples", std::to_string(o.n_samples) + " samples of " +
                                           std::to_string(o.n_tokens) + " tokens of dimension " +
                                           std::to_string(o.dim) + " do not fit in memory");
  DatasetParts<double> parts;
  parts.n_samples = o.n_samples;
  parts.n_tokens = o.n_tokens;
  parts.dim = o.dim;
  sink.begin(o.n_samples, o.n_tokens * o.dim);
  parts.labels.resize(o.n_samples);
  for (std::size_t i = 0; i < o.n_samples; ++i) parts.labels[i] = i % 2 == 0 ? 1 : -1;
  parts.decoder.resize(o.dim);
  return parts;
}

// Per sample: the position of the signal token, index(T); then the noise tokens, sigma normal() each
// coordinate. Scores are mu^2 for the signal token and N(0, 2 mu^2 sigma^2) for noise: opt_i is the
// best-scoring token, which for large noise need not be the signal token. equal_scores replaces the first two
// coordinates of the noise by their mean, the exact projection orthogonal to u = mu (e1 - e2).
DatasetParts<double> signal_noise(const GeneratorOptions& o, RandomStream& stream, SampleSink& sink) {
  require_positive("signal", o.signal);
  require_non_negative("noise", o.noise);
  require_at_least("dim", o.dim, 2);
  DatasetParts<double> parts = blank(o, sink);
  const double sigma = o.noise == 0.0 ? 1.0 / std::sqrt(static_cast<double>(o.dim)) : o.noise;
  parts.decoder[0] = o.signal;
  parts.decoder[1] = -o.signal;
  for (std::size_t i = 0; i < o.n_samples; ++i) {
    double* token = sink.next();
    const std::size_t signal_position = stream.index(o.n_tokens);
    for (std::size_t t = 0; t < o.n_tokens; ++t, token += o.dim) {
      if (t == signal_position) {
        token[parts.labels[i] == 1 ? 0 : 1] = o.signal;
        continue;
      }
      for (std::size_t k = 0; k < o.dim; ++k) token[k] = sigma * stream.normal();
      if (o.equal_scores) token[0] = token[1] = 0.5 * (token[0] + token[1]);
    }
  }
  return parts;
}

// N(0, I) divided by its norm (drawn again in the case that all coordinates are zero).
void unit_vector(double* x, std::size_t dim, RandomStream& stream) {
  double norm = 0.0;
  while (norm == 0.0) {
    double squares = 0.0;
    for (std::size_t k = 0; k < dim; ++k) {
      x[k] = stream.normal();
      squares += x[k] * x[k];
    }
    norm = std::sqrt(squares);
  }
  for (std::size_t k = 0; k < dim; ++k) x[k] /= norm;
}

// The decoder; then per sample its tokens, its query and its label, sign().
DatasetParts<double> random_unit(const GeneratorOptions& o, RandomStream& stream, SampleSink& sink) {
  DatasetParts<double> parts = blank(o, sink);
  parts.queries.resize(o.n_samples * o.dim);
  unit_vector(parts.decoder.data(), o.dim, stream);
  for (std::size_t i = 0; i < o.n_samples; ++i) {
    double* tokens = sink.next();
    for (std::size_t t = 0; t < o.n_tokens; ++t) unit_vector(tokens + t * o.dim, o.dim, stream);
    unit_vector(&parts.queries[i * o.dim], o.dim, stream);
    parts.labels[i] = static_cast<std::int8_t>(stream.sign());
  }
  return parts;
}

// Per sample: the position of the optimal token, index(T); per token k = i T + t: its coordinate (step k of a
// Fisher-Yates shuffle of 0 .. d-1: exchange entries k and k + index(d - k), take entry k), then its sign().
// Tokens are +-a times different coordinate vectors and u = sum_i y_i x_i,opt, so that all inner products are
// exact: 0 between tokens, gamma a^2 at the optimal tokens and 0 at the others.
DatasetParts<double> orthogonal(const GeneratorOptions& o, RandomStream& stream, SampleSink& sink) {
  require_positive("signal", o.signal);
  DatasetParts<double> parts = blank(o, sink);
  const std::size_t n_rows = o.n_samples * o.n_tokens;
  if (o.dim < n_rows)
    throw InvalidArgument("dim", std::to_string(o.dim) +
                                     " (orthogonal tokens need at least n_samples * n_tokens = " +
                                     std::to_string(n_rows) + ")");
  std::vector<std::size_t> coordinate(o.dim);
  std::iota(coordinate.begin(), coordinate.end(), std::size_t{0});
  for (std::size_t i = 0; i < o.n_samples; ++i) {
    const std::size_t optimal = stream.index(o.n_tokens);
    double* tokens = sink.next();
    for (std::size_t t = 0; t < o.n_tokens; ++t) {
      const std::size_t k = i * o.n_tokens + t;
      std::swap(coordinate[k], coordinate[k + stream.index(o.dim - k)]);
      const double value = stream.sign() * o.signal;
      tokens[t * o.dim + coordinate[k]] = value;
      if (t == optimal) parts.decoder[coordinate[k]] = parts.labels[i] * value;
    }
  }
  return parts;
}

// Six points, each coordinate moved by 0.1 (2 uniform() - 1). Whatever the seed: optimal tokens are unique
// (scores at least 0.9 against at most 0.2) and the data are separable (the two queries are linearly
// independent and within a sample the differences x_opt - x_t have first coordinates of one sign).
DatasetParts<double> planar(const GeneratorOptions&, RandomStream& stream, SampleSink& sink) {
  DatasetParts<double> parts;
  parts.n_samples = 2;
  parts.n_tokens = 3;
  parts.dim = 2;
  constexpr double points[2][6] = {{-0.5, 1.0, 1.0, 0.5, 0.0, -1.0},     // y = +1, optimal: the second
                                   {0.8, -0.6, -0.1, -1.0, -1.0, 0.3}};  // y = -1, optimal: the third
  sink.begin(2, 6);
  for (const auto& sample : points) {
    double* tokens = sink.next();
    for (std::size_t k = 0; k < 6; ++k) tokens[k] = sample[k] + 0.1 * (2.0 * stream.uniform() - 1.0);
  }
  parts.labels = {1, -1};
  parts.decoder = {1.0, 0.0};
  return parts;
}

// Points: samples of one token, for logistic regression. A separating direction u, the decoder, of unit norm;
// then per sample a point x = sigma normal() each coordinate, whose part along u is replaced by y (|u . x| +
// mu): the margin of u is at least mu.
DatasetParts<double> separable(const GeneratorOptions& given, RandomStream& stream, SampleSink& sink) {
  GeneratorOptions o = given;
  o.n_tokens = 1;
  require_positive("signal", o.signal);
  require_non_negative("noise", o.noise);
  DatasetParts<double> parts = blank(o, sink);
  const double sigma = o.noise == 0.0 ? 1.0 / std::sqrt(static_cast<double>(o.dim)) : o.noise;
  unit_vector(parts.decoder.data(), o.dim, stream);
  for (std::size_t i = 0; i < o.n_samples; ++i) {
    double* x = sink.next();
    double along = 0.0;
    for (std::size_t k = 0; k < o.dim; ++k) {
      x[k] = sigma * stream.normal();
      along += parts.decoder[k] * x[k];
    }
    const double change = parts.labels[i] * (std::fabs(along) + o.signal) - along;
    for (std::size_t k = 0; k < o.dim; ++k) x[k] += change * parts.decoder[k];
  }
  return parts;
}

struct Generator {
  GeneratorInfo info;
  DatasetParts<double> (*make)(const GeneratorOptions&, RandomStream&, SampleSink&);
};

constexpr Generator rows[] = {
    {{"signal_noise", "one signal token per sample, the others Gaussian noise; the query is token 0"},
     signal_noise},
    {{"random_unit", "decoder, tokens and separate queries of unit norm, random labels"}, random_unit},
    {{"orthogonal",
      "mutually orthogonal tokens, for which the limit is known in closed form; needs d >= n T"},
     orthogonal},
    {{"planar", "two samples of three tokens in the plane: small enough to draw (sizes are fixed)"}, planar},
    {{"separable",
      "labelled points (one token each) that a hyperplane separates by a margin, for logistic regression"},
     separable},
};

}  // namespace

const std::vector<GeneratorInfo>& generators() {
  static const std::vector<GeneratorInfo> infos = [] {
    std::vector<GeneratorInfo> out;
    for (const Generator& generator : rows) out.push_back(generator.info);
    return out;
  }();
  return infos;
}

namespace data {

DatasetParts<double> draw_samples(const GeneratorOptions& options, SampleSink& sink) {
  std::string known;
  for (const Generator& generator : rows) {
    known += (known.empty() ? "" : ", ") + std::string(generator.info.name);
    if (options.generator != generator.info.name) continue;
    RandomStream stream(options.seed);
    try {
      return generator.make(options, stream, sink);
    } catch (const std::bad_alloc&) {
    }
    throw InvalidArgument("n_samples", std::to_string(options.n_samples) + " samples of " +
                                           std::to_string(options.n_tokens) + " tokens of dimension " +
                                           std::to_string(options.dim) + " do not fit in memory");
  }
  throw InvalidArgument("generator", data::name_text(options.generator) + " (known: " + known + ")");
}

}  // namespace data

namespace {

// All samples, one behind the other.
class Collected final : public SampleSink {
 public:
  void begin(std::size_t n_samples, std::size_t sample_size) override {
    tokens.resize(n_samples * sample_size);
    size_ = sample_size;
  }
  double* next() override { return tokens.data() + size_ * n_++; }
  std::vector<double> tokens;

 private:
  std::size_t size_ = 0, n_ = 0;
};

}  // namespace

Dataset<double> generate(const GeneratorOptions& options) {
  Collected samples;
  DatasetParts<double> parts = data::draw_samples(options, samples);
  parts.tokens = std::move(samples.tokens);
  return make_dataset(std::move(parts));
}

namespace {

void fill_normal(std::vector<double>& values, double std, std::uint64_t seed) {
  RandomStream stream(seed ^ 0x77656967687473);  // "weights"
  for (double& x : values) x = std * stream.normal();
  if (!data::all_finite(values.data(), values.size()))
    throw InvalidArgument("std", data::number_text(std) + " (times a normal number it overflows)");
}

}  // namespace

std::vector<double> normal_weights(std::size_t dim, double std, std::uint64_t seed) {
  require_at_least("dim", dim, 1);
  require_non_negative("std", std);
  std::size_t size = 0;
  const bool fits = data::multiply(dim, dim, data::max_bytes / sizeof(double), size);
  std::vector<double> weights;
  try {
    if (fits) weights.resize(size);
  } catch (const std::bad_alloc&) {
  }
  if (weights.empty())
    throw InvalidArgument("dim", std::to_string(dim) + " (dim x dim weights do not fit in memory)");
  fill_normal(weights, std, seed);
  return weights;
}

std::vector<double> normal_values(std::size_t size, double std, std::uint64_t seed) {
  require_non_negative("std", std);
  std::vector<double> values(size);
  fill_normal(values, std, seed);
  return values;
}

}  // namespace softstep
