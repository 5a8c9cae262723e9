#include "data.h"

#include <map>
#include <memory>
#include <tuple>

namespace softstep::bench {
namespace {
using Key = std::tuple<std::size_t, std::size_t, std::size_t>;
Key key_of(const Shape& s) { return {s.n_samples, s.n_tokens, s.dim}; }
}  // namespace

template <>
const Dataset<double>& signal_noise(const Shape& shape) {
  static std::map<Key, Dataset<double>> known;
  const auto [entry, is_new] = known.try_emplace(key_of(shape));
  if (is_new) {
    GeneratorOptions options;
    options.n_samples = shape.n_samples;
    options.n_tokens = shape.n_tokens;
    options.dim = shape.dim;
    entry->second = generate(options);
  }
  return entry->second;
}

template <>
const Dataset<float>& signal_noise(const Shape& shape) {
  static std::map<Key, Dataset<float>> known;
  const auto [entry, is_new] = known.try_emplace(key_of(shape));
  if (is_new) entry->second = convert<float>(signal_noise<double>(shape));
  return entry->second;
}

template <class T>
Layer<T>::Layer(const BatchView<T>& data)
    : batch(&data),
      gradient(data.n_samples * data.dim),
      scores(together * data.n_tokens),
      weights(together * data.n_tokens) {
  // Tokens have a norm near 1 and v_j a deviation of 5 / sqrt(3): scores deviate by 3.
  projected = uniform<T>(data.n_samples * data.dim, -5, 5, 2);
  const TokenScores of_tokens = score_tokens(data);
  gaps.assign(of_tokens.gaps.begin(), of_tokens.gaps.end());
  optimal = of_tokens.optimal;
}

template <class T>
Layer<T>& layer(const Shape& shape) {
  static Key key;
  static std::unique_ptr<Layer<T>> kept;
  if (!kept || key != key_of(shape)) {
    key = key_of(shape);
    kept = std::make_unique<Layer<T>>(signal_noise<T>(shape).view());
  }
  return *kept;
}

template struct Layer<float>;
template struct Layer<double>;
template Layer<float>& layer(const Shape&);
template Layer<double>& layer(const Shape&);

}  // namespace softstep::bench
