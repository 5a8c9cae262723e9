#include "core/heads/key_pass.h"

namespace softstep::heads {

template <class T>
Results<T>::Results(const Call<T>& call, const HeadsGradients<T>& gradients,
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
  queries = resolve(gradients.queries, Axis::queries, g.dim, "gradients.queries");
  keys = resolve(gradients.keys, Axis::keys, g.dim, "gradients.keys");
  values = resolve(gradients.values, Axis::keys, g.value_dim, "gradients.values");
  const auto check_size = [](std::size_t size, std::size_t wanted, const char* name) {
    if (size != 0 && size != wanted)
      throw InvalidArgument(name, std::to_string(size) + " numbers (need " + std::to_string(wanted) + ")");
  };
  check_size(query_exponents.size(), g.total_rows(), "gradients.query_exponents");
  check_size(key_exponents.size(), g.batch * g.n_key_heads, "gradients.key_exponents");
  if (!bias.empty() && call.bias.numbers.empty())
    throw InvalidArgument("gradients.bias", "given (the inputs have no bias)");
  check_size(bias.size(), call.bias.numbers.size(), "gradients.bias");
  require_apart_from_all(flat_extent(bias, "gradients.bias"));
  require_apart_from_all(flat_extent(query_exponents, "gradients.query_exponents"));
  require_apart_from_all(flat_extent(key_exponents, "gradients.key_exponents"));
}

template <class T>
void require_state_of(const Call<T>& call, const typename HeadsState<T>::Impl& state) {
  const Geometry& g = call.geometry;
  if (state.n_rows != g.total_rows() || state.value_dim != g.value_dim)
    throw InvalidArgument("state", std::to_string(state.n_rows) + " rows of " +
                                       std::to_string(state.value_dim) + " (the inputs have " +
                                       std::to_string(g.total_rows()) + " of " + std::to_string(g.value_dim) +
                                       "; run attention_forward on them first)");
}

template struct Results<float>;
template struct Results<double>;
template void require_state_of(const Call<float>&, const HeadsState<float>::Impl&);
template void require_state_of(const Call<double>&, const HeadsState<double>::Impl&);

}  // namespace softstep::heads
