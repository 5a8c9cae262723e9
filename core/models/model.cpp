// What every model has without saying so, and the checks in front of what it says.

#include "softstep/model.h"

#include <cmath>
#include <string>

#include "softstep/error.h"
#include "softstep/isa.h"

namespace softstep {

template <NumberType T>
std::span<T> BlockGradient<T>::room(std::size_t size) {
  if (into.empty()) {
    values.resize(size);
    return values;
  }
  if (into.size() != size)
    throw InvalidArgument("into",
                          std::to_string(into.size()) + " entries (need " + std::to_string(size) + ")");
  return into;
}

template <NumberType T>
bool BlockGradient<T>::plain(std::span<T> out) const {
  const std::span<const T> from = mantissa();
  if (out.size() != from.size())
    throw InvalidArgument("out",
                          std::to_string(out.size()) + " entries (need " + std::to_string(from.size()) + ")");
  // In two factors, so that a mantissa far from 1 is not lost to an exponent that makes up for it.
  const double half = std::exp(0.5 * exponent);
  bool vanished = norm != 0.0;
  for (std::size_t k = 0; k < from.size(); ++k) {
    out[k] = from[k] == T(0) ? T(0) : static_cast<T>(static_cast<double>(from[k]) * half * half);
    if (!(out[k] == T(0))) vanished = false;
  }
  return vanished;
}

template <NumberType T>
std::vector<Observable> Model<T>::observables() const {
  std::vector<Observable> out;
  for (std::size_t k = 0; k < blocks().size(); ++k)
    out.push_back({blocks()[k].name, blocks()[k].n_rows, blocks()[k].n_cols, k, 1});
  return out;
}

template <NumberType T>
std::vector<double> Model<T>::observe(Point<double> at, std::size_t k) const {
  const std::size_t n = observables().size();
  if (k >= n)
    throw InvalidArgument("k", std::to_string(k) + " (the model has " + std::to_string(n) + " observables)");
  check_blocks(at, "at");
  return observe_at(at, k);
}

template <NumberType T>
std::vector<double> Model<T>::observe_at(Point<double> at, std::size_t k) const {
  const std::size_t which = observables()[k].first_block;
  if (which >= at.size())
    throw InvalidArgument("observables", "number " + std::to_string(k) + " is made of block " +
                                             std::to_string(which) + " (the model has " +
                                             std::to_string(at.size()) + ")");
  const std::span<const double> block = at[which];
  return {block.begin(), block.end()};
}

template <NumberType T>
std::string Model<T>::isa() const {
  return active_isa();
}

template <NumberType T>
void Model<T>::check(Point<T> at, const char* name) const {
  check_blocks(at, name);
}

template <NumberType T>
template <NumberType U>
void Model<T>::check_blocks(Point<U> at, const char* name) const {
  const std::vector<BlockShape>& shapes = blocks();
  if (at.size() != shapes.size())
    throw InvalidArgument(name,
                          std::to_string(at.size()) + " blocks (need " + std::to_string(shapes.size()) + ")");
  for (std::size_t k = 0; k < shapes.size(); ++k) {
    if (at[k].data() == nullptr && shapes[k].size() != 0)
      throw InvalidArgument(name, "block " + shapes[k].name + " is null");
    if (at[k].size() != shapes[k].size())
      throw InvalidArgument(name, "block " + shapes[k].name + " has " + std::to_string(at[k].size()) +
                                      " entries (need " + std::to_string(shapes[k].size()) + ")");
  }
}

template <NumberType T>
void Model<T>::check(SampleSet samples) const {
  if (samples.is_all()) return;
  if (samples.indices.empty()) throw InvalidArgument("samples", "0 of them (need at least 1)");
  if (samples.indices.size() > n_samples())
    throw InvalidArgument("samples", std::to_string(samples.indices.size()) + " of them (the model has " +
                                         std::to_string(n_samples()) + ")");
  for (const std::size_t i : samples.indices)
    if (i >= n_samples())
      throw InvalidArgument("samples",
                            std::to_string(i) + " (need 0 to " + std::to_string(n_samples() - 1) + ")");
}

template <NumberType T>
void Model<T>::evaluate(Point<T> at, Evaluation<T>& out, Workspace& space, unsigned want,
                        SampleSet samples) const {
  check(at, "at");
  check(samples);
  evaluate_at(at, out, space, want, samples);
}

template <NumberType T>
void Model<T>::evaluate(Point<T> at, Evaluation<T>& out, unsigned want, SampleSet samples) {
  if (own_ == nullptr) own_ = make_workspace();
  evaluate(at, out, *own_, want, samples);
}

template <NumberType T>
void Model<T>::evaluate(const std::vector<std::vector<T>>& at, Evaluation<T>& out, unsigned want,
                        SampleSet samples) {
  evaluate(Point<T>(views_of(at)), out, want, samples);
}

template <NumberType T>
void Model<T>::evaluate(std::span<const T> block, Evaluation<T>& out, unsigned want, SampleSet samples) {
  evaluate(Point<T>(&block, 1), out, want, samples);
}

template <NumberType T>
void Model<T>::hessian_product(Point<T> at, Point<T> direction, std::vector<BlockGradient<T>>& out,
                               Workspace& space, SampleSet samples) const {
  check(at, "at");
  check(direction, "direction");
  check(samples);
  hessian_product_at(at, direction, out, space, samples);
}

template <NumberType T>
void Model<T>::hessian_product_at(Point<T>, Point<T>, std::vector<BlockGradient<T>>&, Workspace&,
                                  SampleSet) const {
  throw NotSupported("hessian_product", "this model has none");
}

template struct BlockGradient<float>;
template struct BlockGradient<double>;
template class Model<float>;
template class Model<double>;

}  // namespace softstep
