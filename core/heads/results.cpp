#include "core/heads/key_pass.h"

namespace softstep::heads {

const ResultNames gradient_names = {"gradients.queries",         "gradients.keys",
                                    "gradients.values",          "gradients.bias",
                                    "gradients.query_exponents", "gradients.key_exponents"};
const ResultNames product_names = {"products.queries",         "products.keys",
                                   "products.values",          "products.bias",
                                   "products.query_exponents", "products.key_exponents"};

template <class T>
Results<T>::Results(const Call<T>& call, const HeadsGradients<T>& gradients, const ResultNames& names,
                    std::initializer_list<Extent> apart_from)
    : bias(gradients.bias),
      query_exponents(gradients.query_exponents),
      key_exponents(gradients.key_exponents) {
  const Geometry& g = call.geometry;
  std::vector<Extent> outputs;
  const auto require_apart_from_all = [&](const Extent& extent) {
    call.require_apart_from_inputs(extent);
    for (const Extent& other : apart_from) require_apart(extent, other);
    for (const Extent& other : outputs) require_apart(extent, other);
    outputs.push_back(extent);
  };
  const auto resolve = [&](const HeadsSpan<T>& array, Axis axis, std::size_t columns, const char* name) {
    if (!array.wanted()) return OutputRows<T>{};
    const OutputRows<T> out = g.output(array, axis, columns, name);
    require_apart_from_all(extent_of(g, out, axis, columns, name));
    return out;
  };
  queries = resolve(gradients.queries, Axis::queries, g.dim, names.queries);
  keys = resolve(gradients.keys, Axis::keys, g.dim, names.keys);
  values = resolve(gradients.values, Axis::keys, g.value_dim, names.values);
  const auto check_size = [](std::size_t size, std::size_t wanted, const char* name) {
    if (size != 0 && size != wanted)
      throw InvalidArgument(name, std::to_string(size) + " numbers (need " + std::to_string(wanted) + ")");
  };
  check_size(query_exponents.size(), g.total_rows(), names.query_exponents);
  check_size(key_exponents.size(), g.batch * g.n_key_heads, names.key_exponents);
  if (!bias.empty() && call.bias.numbers.empty())
    throw InvalidArgument(names.bias, "given (the inputs have no bias)");
  check_size(bias.size(), call.bias.numbers.size(), names.bias);
  require_apart_from_all(flat_extent(bias, names.bias));
  require_apart_from_all(flat_extent(query_exponents, names.query_exponents));
  require_apart_from_all(flat_extent(key_exponents, names.key_exponents));
}

template <class T>
void require_state_of(const Call<T>& call, const typename HeadsState<T>::Impl& state) {
  const Geometry& g = call.geometry;
  if (state.n_rows != g.total_rows() || state.value_dim != g.value_dim)
    throw InvalidArgument("state", std::to_string(state.n_rows) + " rows of " +
                                       std::to_string(state.value_dim) + " (the inputs have " +
                                       std::to_string(g.total_rows()) + " of " + std::to_string(g.value_dim) +
                                       "; run attention_forward on them first)");
  // Of other lengths or another mask with as many rows: pivots would be read where no keys are.
  for (std::size_t b = 0; b < g.batch; ++b)
    for (std::size_t key_head = 0; key_head < g.n_key_heads; ++key_head) {
      const std::size_t m = g.queries_of(b), first = g.first_row(b, key_head);
      for (std::size_t r = 0; r < g.group * m; ++r) {
        const std::size_t pivot = state.pivot[first + r];
        if (pivot == simd::no_pivot) continue;
        const KeyRange seen = g.seen_by(b, r % m);
        if (pivot < seen.begin || pivot >= seen.end)
          throw InvalidArgument("state", "of other inputs: a query has its largest score at key " +
                                             std::to_string(pivot) + ", and sees keys " +
                                             std::to_string(seen.begin) + " to " + std::to_string(seen.end) +
                                             " (run attention_forward on these first)");
      }
    }
}

template struct Results<float>;
template struct Results<double>;
template void require_state_of(const Call<float>&, const HeadsState<float>::Impl&);
template void require_state_of(const Call<double>&, const HeadsState<double>::Impl&);

}  // namespace softstep::heads
