#include "mpi/program/any_order.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "mpi/program/planted.h"
#include "mpi/program/runs.h"
#include "softstep/softstep.h"

namespace softstep::test {
namespace {

template <class T>
AttentionModel<T> model_of(const Case& a, const BatchView<T>& batch, std::shared_ptr<Ranks> ranks) {
  AttentionOptions layer = a.layer;
  layer.ranks = std::move(ranks);
  return AttentionModel<T>(batch, layer);
}

template <class T>
double plain(const BlockGradient<T>& gradient, std::size_t k) {
  return static_cast<double>(gradient.mantissa()[k]) * std::exp(gradient.exponent);
}

template <class T>
void count(bool good, const char* wrong, const Case& a, const Ranks& ranks, Counts& out) {
  ++out.n;
  if (good) return;
  ++out.n_wrong;
  std::printf("rank %zu of %zu: %s, %s: sums in any order %s\n", ranks.rank(), ranks.size(), a.name.c_str(),
              sizeof(T) == sizeof(float) ? "float" : "double", wrong);
}

// Two sums of the same terms in two orders differ by 2 (n - 1) u times the sum of their sizes. The terms of a
// gradient are those of the samples, G = sum_i G_i / n; a block of double sums is rounded to T once more.
template <class T>
void agrees(const Case& a, const BatchView<T>& whole, const BatchView<T>& part,
            const std::shared_ptr<Ranks>& ranks, Counts& out) {
  AttentionModel<T> alone = model_of<T>(a, whole, nullptr), together = model_of<T>(a, part, ranks);
  const TrainState<T> state = normal_state(alone, 0.05, 7);
  Evaluation<T> expected, found, of_sample;
  alone.evaluate(state.blocks, expected);
  together.evaluate(state.blocks, found);
  std::size_t n_terms = 0;
  for (std::size_t i = 0; i < whole.n_samples; ++i)
    n_terms += a.queries.empty() ? 1 : a.queries == "all" ? whole.tokens_of(i) : 3;
  std::vector<double> sizes(expected.gradients.size());
  for (std::size_t i = 0; i < whole.n_samples; ++i) {
    alone.evaluate(state.blocks, of_sample, want_gradient, {.indices = std::span(&i, 1)});
    for (std::size_t b = 0; b < sizes.size(); ++b)
      sizes[b] += of_sample.gradients[b].norm * std::exp(of_sample.gradients[b].exponent) /
                  static_cast<double>(whole.n_samples);
  }
  const double u = static_cast<double>(std::numeric_limits<T>::epsilon()) / 2.0;
  bool good = found.accuracy == expected.accuracy;
  for (std::size_t b = 0; b < sizes.size(); ++b) {
    double squares = 0.0;
    for (std::size_t k = 0; k < expected.gradients[b].mantissa().size(); ++k)
      squares += std::pow(plain(found.gradients[b], k) - plain(expected.gradients[b], k), 2);
    good = good && std::sqrt(squares) <= 2.02 * static_cast<double>(n_terms) * u * sizes[b];
  }
  const double u64 = std::numeric_limits<double>::epsilon() / 2.0, n = static_cast<double>(whole.n_samples);
  good = good && std::fabs(found.loss - expected.loss) <= 2.0 * n * u64 * expected.loss;
  count<T>(good, "are not those of one process", a, *ranks, out);
}

// Whether all ranks have these bytes.
bool all_have(MpiRanks& ranks, const std::vector<unsigned char>& bytes) {
  std::vector<unsigned char> first = bytes;
  std::size_t size = bytes.size();
  ranks.broadcast(std::as_writable_bytes(std::span(&size, 1)), 0);
  first.resize(size);
  ranks.broadcast(std::as_writable_bytes(std::span(first)), 0);
  return first == bytes;
}

template <class T>
void run_alike(const Case& a, const BatchView<T>& whole, const BatchView<T>& part, MpiRanks& mpi,
               const std::shared_ptr<Ranks>& ranks, Counts& out) {
  const Ended once = run<T>(a, part, ranks), again = run<T>(a, part, ranks);
  const bool of_one = mpi.size() > 1 || once.bytes == run<T>(a, whole, nullptr).bytes;
  const bool good = all_have(mpi, once.bytes) && has_run(once) && once.bytes == again.bytes && of_one;
  count<T>(good, "have other bits on another rank or in another run", a, *ranks, out);
}

template <class T>
void compare(const Case& a, const std::shared_ptr<MpiRanks>& mpi, const std::string& plant, Counts& out) {
  const Dataset<T> data = data_of<T>(a);
  std::vector<std::int64_t> query_offsets;
  const BatchView<T> part =
      part_of(data.view(), share_of_rank(data.view().n_samples, mpi->rank(), mpi->size()), query_offsets);
  std::shared_ptr<Ranks> ranks = mpi;
  if (!plant.empty()) ranks = std::make_shared<Planted>(mpi, plant, sizeof(T));
  agrees<T>(a, data.view(), part, ranks, out);
  run_alike<T>(a, data.view(), part, *mpi, ranks, out);
}

}  // namespace

Counts sum_in_any_order(const std::shared_ptr<MpiRanks>& mpi, const std::string& plant) {
  Counts out;
  mpi->set_sum_order(SumOrder::any);
  for (const Case& a : cases()) {
    compare<float>(a, mpi, plant, out);
    compare<double>(a, mpi, plant, out);
  }
  mpi->set_sum_order(SumOrder::samples);
  return out;
}

}  // namespace softstep::test
