// How a Problem is made from arrays, and what is asked of it without an evaluation.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "parts.h"
#include "problem.h"
#include "results.h"
#include "softstep/error.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace softstep::python {
namespace {

KeyQuery parse_key_query(const std::string& name) {
  if (name == "combined") return KeyQuery::combined;
  if (name == "factored") return KeyQuery::factored;
  if (name == "prompt") return KeyQuery::prompt;
  throw InvalidArgument("key_query", name + " (known: combined, factored, prompt)");
}

StoredType parse_token_storage(const std::string& name) {
  if (name == "working") return StoredType::working;
  if (name == "f16") return StoredType::f16;
  if (name == "bf16") return StoredType::bf16;
  throw InvalidArgument("token_storage", name + " (known: working, f16, bf16)");
}

void construct(Problem* place, nb::handle tokens, nb::handle labels, nb::handle decoder, nb::handle offsets,
               nb::handle targets, nb::handle query_index, nb::handle queries, bool all_tokens_are_queries,
               nb::handle query_offsets, nb::handle query_weights, const std::string& key_query,
               std::size_t rank, bool train_decoder, nb::handle loss, const std::string& optimal_loss,
               double optimal_loss_value, int n_threads, const std::string& token_storage,
               const std::string& isa) {
  BatchArrays arrays{.tokens = Array(tokens, "tokens", Access::read, Life::object),
                     .offsets = optional_array(offsets, "offsets"),
                     .labels = optional_array(labels, "labels"),
                     .targets = optional_array(targets, "targets"),
                     .decoder = optional_array(decoder, "decoder"),
                     .query_index = optional_array(query_index, "query_index"),
                     .queries = optional_array(queries, "queries"),
                     .query_offsets = optional_array(query_offsets, "query_offsets"),
                     .query_weights = optional_array(query_weights, "query_weights"),
                     .all_tokens_are_queries = all_tokens_are_queries};
  AttentionOptions options;
  options.key_query = parse_key_query(key_query);
  options.rank = rank;
  options.train_decoder = train_decoder;
  const ChosenLoss chosen = choose_loss(loss);
  options.loss = chosen.named;
  options.own_loss = chosen.own;
  options.optimal_loss = parse_optimal_loss(optimal_loss);
  options.optimal_loss_value = optimal_loss_value;
  options.n_threads = n_threads;
  options.token_storage = parse_token_storage(token_storage);
  options.isa = isa;
  new (place) Problem(std::move(arrays), options, chosen.own);
}

nb::object optimal_tokens(const Problem& self) {
  return self.visit([](auto& problem) {
    const std::vector<std::size_t>& tokens = problem.attention_model().token_scores().optimal;
    return copy_of(std::span<const std::size_t>(tokens));
  });
}

nb::object token_offsets(const Problem& self) {
  return self.visit([](auto& problem) {
    const auto& batch = problem.layout();
    std::vector<std::int64_t> out(batch.n_samples + 1, 0);
    for (std::size_t i = 0; i < batch.n_samples; ++i)
      out[i + 1] = out[i] + static_cast<std::int64_t>(batch.tokens_of(i));
    return copy_of(std::span<const std::int64_t>(out));
  });
}

nb::object attention(const Problem& self, nb::handle point) {
  return self.visit([&]<NumberType T>(ProblemOf<T>& problem) -> nb::object {
    const Blocks<T> at = problem.read(point, "W");
    std::vector<double> p;
    problem.without_gil([&] { p = problem.attention_model().attention(at.point()); });
    const BatchView<T>& batch = problem.layout();
    const std::span<const double> all = p;
    return batch.offsets ? copy_of(all) : copy_of(all, {batch.n_samples, batch.n_tokens});
  });
}

}  // namespace

void add_problem(nb::module_& m) {
  nb::class_<Problem, AnyModel> c(
      m, "Problem", nb::type_slots(model_slots),
      "An attention model of arrays that stay where they lie. Use softstep.Problem.");
  c.def("__init__", &construct, "tokens"_a, "labels"_a.none() = nb::none(), "decoder"_a.none() = nb::none(),
        nb::kw_only(), "offsets"_a.none() = nb::none(), "targets"_a.none() = nb::none(),
        "query_index"_a.none() = nb::none(), "queries"_a.none() = nb::none(),
        "all_tokens_are_queries"_a = false, "query_offsets"_a.none() = nb::none(),
        "query_weights"_a.none() = nb::none(), "key_query"_a = "combined", "rank"_a = 0,
        "train_decoder"_a = false, "loss"_a = "logistic", "optimal_loss"_a = "optimal",
        "optimal_loss_value"_a = 0.0, "n_threads"_a = 1, "token_storage"_a = "working", "isa"_a = "",
        nb::sig("def __init__(self, tokens: ArrayLike, labels: ArrayLike | None = None, decoder: ArrayLike | "
                "None = None, *, "
                "offsets: ArrayLike | None = None, targets: ArrayLike | None = None, query_index: ArrayLike "
                "| None = None, "
                "queries: ArrayLike | None = None, all_tokens_are_queries: bool = False, query_offsets: "
                "ArrayLike | None = None, "
                "query_weights: ArrayLike | None = None, key_query: str = 'combined', rank: int = 0, "
                "train_decoder: bool = False, loss: typing.Any = 'logistic', optimal_loss: str = 'optimal', "
                "optimal_loss_value: float = 0.0, n_threads: int = 1, token_storage: str = 'working', "
                "isa: str = '') -> None"));
  add_metrics(m, c);
  c.def(
      "attention", &attention, "W"_a,
      nb::sig("def attention(self, W: Point) -> numpy.typing.NDArray[numpy.float64]"),
      R"(Attention softmax(X_i W z_i) of every token, float64: [n_samples, n_tokens], or [sum of tokens] of a ragged batch.

Of several queries the mean by their weights.)");
  c.def_prop_ro(
      "dim", [](const Problem& p) { return p.visit([](auto& q) { return q.layout().dim; }); },
      "Dimension d of a token.");
  c.def_prop_ro("optimal_tokens", &optimal_tokens,
                nb::sig("def optimal_tokens(self) -> numpy.typing.NDArray[numpy.int64]"),
                "[n_samples] best-scoring token of each sample, argmax_t y_i u^T x_it.");
  c.def_prop_ro("token_offsets", &token_offsets,
                nb::sig("def token_offsets(self) -> numpy.typing.NDArray[numpy.int64]"),
                "[n_samples + 1] where each sample begins among all tokens.");
  c.def_prop_ro(
      "tokens_address",
      [](const Problem& p) {
        return p.visit([](auto& q) { return reinterpret_cast<std::uintptr_t>(q.tokens()); });
      },
      "Address of the first token: that of the array which was given, as nothing is copied.");
}

}  // namespace softstep::python
