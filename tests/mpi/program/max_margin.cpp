#include "mpi/program/max_margin.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <limits>
#include <vector>

#include "core/isa/active_isa.h"
#include "core/max_margin/constraints/chosen_tokens.h"
#include "core/max_margin/constraints/constraint_rows.h"
#include "core/max_margin/solver_ranks.h"
#include "mpi/program/planted.h"
#include "softstep/softstep.h"

namespace softstep::test {
namespace {

struct Problem {
  std::string name;
  MaxMarginStatus ending = MaxMarginStatus::optimal;
  std::size_t n = 37, n_tokens = 12, dim = 104;
  std::string queries = {};  // several, all
  bool ragged = false, choose = false;
  std::size_t distinct = none;       // the samples from here on nearly repeat the first ones
  std::size_t opposite_from = none;  // these samples' decoder asks for what the others' forbids
  std::size_t equal_in = none;       // this sample has a token that equals the optimal one
  std::size_t stop_at = 0;           // the last rank's callback says no after so many sweeps
  MaxMarginOptions options = {};
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
};

template <class T>
Dataset<T> data_of(const Problem& a) {
  const auto base = generate({.n_samples = a.n, .n_tokens = a.n_tokens, .dim = a.dim, .seed = 11});
  const BatchView<double>& view = base.view();
  const std::vector<std::size_t> optimal = score_tokens(view).optimal;
  DatasetParts<T> parts;
  parts.n_samples = a.n;
  parts.dim = a.dim;
  if (!a.ragged) parts.n_tokens = a.n_tokens;
  if (a.ragged) parts.offsets.push_back(0);
  for (std::size_t i = 0; i < a.n; ++i) {
    const std::size_t n_of = a.ragged ? 1 + i % a.n_tokens : a.n_tokens;
    const std::size_t source = i >= a.opposite_from ? i - a.opposite_from : i % a.distinct;
    const double jitter = i == source ? 0.0 : a.distinct == Problem::none ? 0.0 : 1e-7;
    for (std::size_t t = 0; t < n_of; ++t)
      for (std::size_t j = 0; j < a.dim; ++j) {
        double value = view.sample(source)[t * a.dim + j] + jitter * view.sample(i)[t * a.dim + j];
        if (i == a.equal_in && t == (optimal[i] + 1) % n_of) value = view.sample(i)[optimal[i] * a.dim + j];
        parts.tokens.push_back(static_cast<T>(value));
      }
    if (a.ragged) parts.offsets.push_back(parts.offsets.back() + static_cast<std::int64_t>(n_of));
    parts.labels.push_back(i >= a.opposite_from ? static_cast<std::int8_t>(-view.labels[source])
                                                : view.labels[source]);
    if (a.queries == "several") {
      if (i == 0) parts.query_offsets.push_back(0);
      const std::size_t m = 1 + i % 3;
      for (std::size_t q = 0; q < m; ++q) parts.query_index.push_back(static_cast<std::int64_t>(q % n_of));
      parts.query_offsets.push_back(parts.query_offsets.back() + static_cast<std::int64_t>(m));
    } else if (a.queries.empty()) {
      for (std::size_t j = 0; j < a.dim; ++j)
        parts.queries.push_back(static_cast<T>(view.query(source, 0)[j] + jitter * view.query(i, 0)[j]));
    }
  }
  parts.all_tokens_are_queries = a.queries == "all";
  for (std::size_t k = 0; k < a.dim; ++k) parts.decoder.push_back(static_cast<T>(view.decoder[k]));
  return make_dataset<T>(std::move(parts));
}

template <class T>
MaxMarginResult solved(const Problem& a, const BatchView<T>& batch, std::size_t first_sample,
                       const std::shared_ptr<Ranks>& ranks) {
  MaxMarginOptions options = a.options;
  options.ranks = ranks;
  if (a.choose)
    for (std::size_t i = 0; i < batch.n_samples; ++i)
      options.selected.push_back((first_sample + i) % batch.tokens_of(i));
  if (a.stop_at != 0 && (ranks == nullptr || ranks->rank() + 1 == ranks->size()))
    options.progress = [&](std::size_t sweeps, double, double) { return sweeps < a.stop_at; };
  return solve_max_margin(batch, options);
}

std::vector<unsigned char> bytes_of_result(const MaxMarginResult& result) {
  std::vector<unsigned char> bytes;
  append(bytes, result.weights);
  append(bytes, result.multipliers);
  append(bytes, std::vector<double>{result.norm, result.margin, result.duality_gap, result.kkt_residual,
                                    result.certificate});
  append(bytes, std::vector<std::size_t>{static_cast<std::size_t>(result.status), result.n_constraints,
                                         result.n_support, result.sweeps,
                                         static_cast<std::size_t>(result.unique_optimal_tokens)});
  return bytes;
}

template <class T>
bool is_same(const Problem& a, const std::shared_ptr<MpiRanks>& mpi, const std::string& plant) {
  const Dataset<T> data = data_of<T>(a);
  const MaxMarginResult alone = solved(a, data.view(), 0, nullptr);
  std::vector<std::int64_t> query_offsets;
  const SampleRange mine = share_of_rank(a.n, mpi->rank(), mpi->size());
  const BatchView<T> part = part_of(data.view(), mine, query_offsets);
  std::shared_ptr<Ranks> ranks = mpi;
  if (!plant.empty()) ranks = std::make_shared<Planted>(mpi, plant, sizeof(double));
  const MaxMarginResult together = solved(a, part, mine.begin, ranks);
  const bool same = alone.status == a.ending && bytes_of_result(alone) == bytes_of_result(together);
  if (!same)
    std::printf("rank %zu of %zu: solve, %s, %s: %s after %zu sweeps, alone %s after %zu\n", mpi->rank(),
                mpi->size(), a.name.c_str(), sizeof(T) == sizeof(float) ? "float" : "double",
                to_string(together.status), together.sweeps, to_string(alone.status), alone.sweeps);
  return same;
}

// What decisions hang on and answers seldom show: the cost of a product, and whose query an exact row has.
bool has_the_same_rows(const Problem& a, const std::shared_ptr<MpiRanks>& mpi) {
  const Dataset<double> data = data_of<double>(a);
  std::vector<std::int64_t> query_offsets;
  const BatchView<double> part =
      part_of(data.view(), share_of_rank(a.n, mpi->rank(), mpi->size()), query_offsets);
  const auto look = [](const BatchView<double>& batch, Ranks* ranks) {
    const TokenScores tokens = chosen_tokens(batch, {});
    ConstraintRows<double> rows(batch, tokens, resolve_isa("").kernels<double>(), 1, ranks);
    std::vector<double> out = {rows.product_cost(), static_cast<double>(rows.n_rows()),
                               static_cast<double>(rows.exponent())};
    const ExactRows exact = rows_of_all(rows.of_ranks(), batch.dim, [&](std::size_t k) {
      const auto after = std::upper_bound(tokens.first.begin(), tokens.first.end(), k);
      const auto row = static_cast<std::size_t>(after - tokens.first.begin()) - 1;
      const double* z = data::BatchRows<double>(batch).query(row);
      const std::vector<double> query(z, z + batch.dim);
      return ExactRow{query, query, query, row};
    });
    for (std::size_t k = 0; k < rows.n_rows(); ++k) {
      const ExactRow row = exact(k);
      out.push_back(static_cast<double>(row.sample));
      out.insert(out.end(), row.query.begin(), row.query.end());
    }
    return out;
  };
  const bool same = look(data.view(), nullptr) == look(part, mpi.get());
  if (!same) std::printf("rank %zu: solve, %s: the rows of another map\n", mpi->rank(), a.name.c_str());
  return same;
}

std::vector<Problem> problems() {
  return {
      {.name = "few queries, in a basis of their own"},
      {.name = "few rows, by their Gram matrix", .n = 9},
      {.name = "few rows of several queries", .n = 9, .n_tokens = 6, .queries = "several"},
      {.name = "few rows in few dimensions", .n = 14, .n_tokens = 9, .dim = 24},
      {.name = "few rows without a margin",
       .ending = MaxMarginStatus::not_separable,
       .n = 9,
       .opposite_from = 8},
      {.name = "the axes", .dim = 60},
      {.name = "three threads", .n_tokens = 40, .dim = 300, .options = {.n_threads = 3}},
      {.name = "ragged, some with one token", .ragged = true},
      {.name = "several queries a sample", .queries = "several"},
      {.name = "all tokens are queries", .n_tokens = 4, .queries = "all"},
      {.name = "chosen tokens", .choose = true},
      {.name = "one token a sample", .ending = MaxMarginStatus::no_constraints, .n_tokens = 1},
      {.name = "nearly equal samples, finished by the exact method",
       .n = 120,
       .n_tokens = 4,
       .dim = 8,
       .distinct = 6},
      {.name = "no margin: two samples ask for opposites",
       .ending = MaxMarginStatus::not_separable,
       .opposite_from = 36},
      {.name = "no margin: many samples in few dimensions",
       .ending = MaxMarginStatus::not_separable,
       .dim = 3},
      {.name = "a token that equals the optimal one",
       .ending = MaxMarginStatus::not_separable,
       .equal_in = 30},
      {.name = "out of sweeps", .ending = MaxMarginStatus::max_sweeps, .options = {.max_sweeps = 5}},
      {.name = "the last rank stops", .ending = MaxMarginStatus::interrupted, .stop_at = 4},
  };
}

// A call that is to throw on every rank, naming the argument.
bool throws(const char* what, const std::string& argument, const std::function<void()>& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    if (error.argument() == argument) return true;
    std::printf("%s: %s\n", what, error.what());
    return false;
  }
  std::printf("%s: nothing was thrown\n", what);
  return false;
}

Counts refusals(const std::shared_ptr<MpiRanks>& mpi) {
  const Problem a;
  const Dataset<double> data = data_of<double>(a);
  std::vector<std::int64_t> query_offsets;
  const BatchView<double> part =
      part_of(data.view(), share_of_rank(a.n, mpi->rank(), mpi->size()), query_offsets);
  const bool last = mpi->rank() + 1 == mpi->size();
  Counts out;
  const auto expect = [&](const char* what, const std::string& argument, const std::function<void()>& call) {
    ++out.n;
    if (!throws(what, argument, call)) ++out.n_wrong;
  };
  MaxMarginOptions options;
  options.ranks = mpi;
  if (last) options.tolerance = -1.0;
  expect("a bad tolerance on one rank", "tolerance", [&] { solve_max_margin(part, options); });
  options.tolerance = last ? 1e-9 : 1e-10;
  expect("another tolerance on one rank", "tolerance", [&] { solve_max_margin(part, options); });
  options.tolerance = 1e-10;
  options.max_sweeps = last ? 7 : 9;
  expect("other sweeps on one rank", "max_sweeps", [&] { solve_max_margin(part, options); });
  options.max_sweeps = 1;
  if (last) options.selected = {1};
  expect("a bad selection on one rank", "selected", [&] { solve_max_margin(part, options); });
  options.selected.clear();
  // With one sweep no decision hangs on the bit.
  MaxMarginOptions planted = options;
  planted.ranks = std::make_shared<Planted>(mpi, "last-bit", sizeof(double));
  expect("a bit that differs on rank 0", "ranks", [&] { solve_max_margin(part, planted); });
  const std::vector<double> points = {1.0, 0.0, 0.0, 1.0};
  const std::vector<std::int8_t> labels = {1, -1};
  expect("points", "ranks", [&] { solve_linear_max_margin(points, labels, 2, options); });
  return out;
}

}  // namespace

Counts solve_all(const std::shared_ptr<MpiRanks>& mpi, const std::string& plant) {
  // A bit that one rank alone has another way leads it to other decisions: refusals() has it where it cannot.
  if (plant == "last-bit") return {};
  Counts out;
  for (const Problem& a : problems()) {
    out.n += 2;
    if (!is_same<float>(a, mpi, plant)) ++out.n_wrong;
    if (!is_same<double>(a, mpi, plant)) ++out.n_wrong;
  }
  for (const char* queries : {"", "several"}) {
    ++out.n;
    if (!has_the_same_rows({.name = "rows", .n_tokens = 3, .dim = 20, .queries = queries}, mpi))
      ++out.n_wrong;
  }
  if (plant.empty() && mpi->size() > 1) {
    const Counts refused = refusals(mpi);
    out.n += refused.n;
    out.n_wrong += refused.n_wrong;
  }
  return out;
}

}  // namespace softstep::test
