// Generators and files of data: softstep/dataset.h.

#include "softstep/dataset.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "parts.h"
#include "problem.h"
#include "results.h"
#include "softstep/error.h"
#include "softstep/large_data.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

// Whether the tokens are copied, or looked at in the file as long as an array of them lives.
enum class Tokens { copied, in_place };

// The parts of a data set under the names that softstep.Problem has for them; what it does not have is left
// out.
template <NumberType T>
nb::dict parts_of(const Dataset<T>& data, Tokens how = Tokens::copied) {
  const BatchView<T>& view = data.view();
  nb::dict out;
  const std::size_t n = view.n_samples, d = view.dim;
  const auto rows_of = [&](const T* first, std::size_t rows, std::size_t stride) {
    std::vector<T> packed(rows * d);
    for (std::size_t row = 0; row < rows; ++row)
      std::copy_n(first + row * stride, d, packed.begin() + static_cast<std::ptrdiff_t>(row * d));
    return packed;
  };
  std::vector<T> tokens;
  for (std::size_t i = 0; how == Tokens::copied && i < n; ++i) {
    const std::vector<T> sample = rows_of(view.sample(i), view.tokens_of(i), view.row_stride());
    tokens.insert(tokens.end(), sample.begin(), sample.end());
  }
  // Those of a file lie one behind the other.
  const auto all = [&](std::initializer_list<std::size_t> shape) {
    if (how == Tokens::copied) return copy_of(std::span<const T>(tokens), shape);
    return view_of(view.sample(0), shape, std::make_shared<Dataset<T>>(data));
  };
  if (view.offsets) {
    out["tokens"] = all({static_cast<std::size_t>(view.offsets[n] - view.offsets[0]), d});
    std::vector<std::int64_t> offsets(view.offsets, view.offsets + n + 1);
    for (std::int64_t& offset : offsets) offset -= view.offsets[0];
    out["offsets"] = copy_of(std::span<const std::int64_t>(offsets));
  } else {
    out["tokens"] = all({n, view.n_tokens, d});
  }
  if (view.labels) out["labels"] = copy_of(std::span<const std::int8_t>(view.labels, n));
  if (view.targets) out["targets"] = copy_of(std::span<const T>(view.targets, n));
  if (view.decoder) out["decoder"] = copy_of(std::span<const T>(view.decoder, d));
  const bool listed = !view.query_offsets.empty(), several = !listed && view.n_queries != 1;
  const std::size_t total = view.all_tokens_are_queries ? 0 : view.total_queries();
  if (view.all_tokens_are_queries) {
    out["queries"] = "all";
  } else if (view.queries) {
    const std::vector<T> packed = rows_of(view.queries, total, view.query_stride ? view.query_stride : d);
    out["queries"] = several ? copy_of(std::span<const T>(packed), {n, view.n_queries, d})
                             : copy_of(std::span<const T>(packed), {total, d});
  } else if (view.query_index) {
    const std::span<const std::int64_t> index(view.query_index, total);
    out["queries"] = several ? copy_of(index, {n, view.n_queries}) : copy_of(index);
  }
  if (listed) out["query_offsets"] = copy_of(view.query_offsets);
  if (!view.query_weights.empty()) out["query_weights"] = copy_of(view.query_weights);
  return out;
}

nb::dict generated(const std::string& generator, std::size_t n_samples, std::size_t n_tokens, std::size_t dim,
                   std::uint64_t seed, double signal, double noise, bool equal_scores) {
  const Dataset<double> data = generate({.generator = generator,
                                         .n_samples = n_samples,
                                         .n_tokens = n_tokens,
                                         .dim = dim,
                                         .seed = seed,
                                         .signal = signal,
                                         .noise = noise,
                                         .equal_scores = equal_scores});
  return parts_of(data);
}

// Of `memory` bytes, if it is not 0.
template <NumberType T>
nb::dict loaded_within(const std::string& path, std::size_t memory) {
  if (memory == 0) return parts_of(load_dataset<T>(path));
  try {
    return parts_of(load_dataset<T>(path, ReadOptions{.resident_bytes = memory}), Tokens::in_place);
  } catch (const InvalidArgument& error) {
    const std::string name = "resident_bytes", what = error.what();
    if (error.argument() != name) throw;
    throw InvalidArgument("memory", what.substr(name.size() + 2));
  }
}

nb::dict loaded(const std::string& path, const std::string& dtype, std::size_t memory) {
  const bool wide = dtype == "float64" || (dtype.empty() && stored_type(path) == StoredType::f64);
  if (!wide && dtype != "float32" && !dtype.empty())
    throw InvalidArgument("dtype", dtype + " (known: float32, float64)");
  return wide ? loaded_within<double>(path, memory) : loaded_within<float>(path, memory);
}

void saved(const std::string& path, const Problem& problem, const std::string& type) {
  const StoredType stored = parse_stored_type(type);
  problem.visit(
      [&]<NumberType T>(ProblemOf<T>& p) { save_dataset(path, Dataset<T>(p.batch(), nullptr), stored); });
}

nb::list generator_names() {
  nb::list out;
  for (const GeneratorInfo& info : generators()) out.append(nb::make_tuple(info.name, info.summary));
  return out;
}

}  // namespace

void add_datasets(nb::module_& m) {
  m.def("generate", &generated, "generator"_a, nb::kw_only(), "n_samples"_a, "n_tokens"_a, "dim"_a, "seed"_a,
        "signal"_a, "noise"_a, "equal_scores"_a,
        nb::sig("def generate(generator: str, *, n_samples: int, n_tokens: int, dim: int, seed: int, "
                "signal: float, noise: float, equal_scores: bool) -> dict[str, typing.Any]"),
        "A generated data set as a dict of arrays.");
  m.def("load_dataset", &loaded, "path"_a, "dtype"_a = "", "memory"_a = 0,
        nb::sig("def load_dataset(path: str, dtype: str = '', memory: int = 0) -> dict[str, typing.Any]"),
        "A safetensors file as a dict of arrays; with `memory` its tokens stay in the file.");
  m.def("save_dataset", &saved, "path"_a, "problem"_a, "stored"_a = "working",
        "Writes a problem's data to a safetensors file, tokens and queries as \"working\", \"f64\", \"f32\", "
        "\"f16\" or \"bf16\".");
  m.def("generators", &generator_names, nb::sig("def generators() -> list[tuple[str, str]]"),
        "Name and summary of each generator.");
}

}  // namespace softstep::python
