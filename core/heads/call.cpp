#include "core/heads/call.h"

#include <limits>

#include "core/data/checked_size.h"
#include "core/data/text.h"
#include "core/threads/team.h"

namespace softstep::heads {
namespace {

// Returns whether it hides a key.
template <class T>
bool check_bias(const HeadsBias<T>& bias, const Geometry& g) {
  if (bias.numbers.empty()) return false;
  if (g.ragged) throw InvalidArgument("bias", "given (not with ragged batches)");
  std::size_t wanted = 1;
  bool fits = true;
  for (const std::size_t factor :
       {bias.per_batch ? g.batch : std::size_t{1}, bias.per_head ? g.n_heads : std::size_t{1},
        g.most_queries(), g.most_keys()})
    fits = fits && data::multiply(wanted, factor, data::max_bytes / sizeof(T), wanted);
  if (!fits || bias.numbers.size() != wanted)
    throw InvalidArgument("bias", std::to_string(bias.numbers.size()) + " numbers (need " +
                                      (fits ? std::to_string(wanted) : "more than fit into memory") + ")");
  constexpr T infinity = std::numeric_limits<T>::infinity();
  std::size_t n_good = 0, n_hidden = 0;  // a loop without an end of its own is vectorised
  for (const T x : bias.numbers) {
    n_good += x < infinity ? 1 : 0;
    n_hidden += x == -infinity ? 1 : 0;
  }
  for (std::size_t k = 0; n_good < bias.numbers.size() && k < bias.numbers.size(); ++k)
    if (!(bias.numbers[k] < infinity))
      throw InvalidArgument("bias[" + std::to_string(k) + "]",
                            std::to_string(bias.numbers[k]) + " (need finite numbers or -infinity)");
  return n_hidden != 0;
}

}  // namespace

template <class T>
Call<T>::Call(const HeadsInputs<T>& inputs, const HeadsOptions& options)
    : geometry(inputs.shape, options),
      kernels(resolve_isa(options.isa).kernels<T>()),
      queries(geometry.input(inputs.queries, Axis::queries, geometry.dim, "queries")),
      keys(geometry.input(inputs.keys, Axis::keys, geometry.dim, "keys")),
      values(geometry.input(inputs.values, Axis::keys, geometry.value_dim, "values")),
      n_threads(worth_threads(geometry.work()) ? thread_count(options.threads) : 1),
      bias(inputs.bias),
      bias_hides(check_bias(bias, geometry)) {
  // Both are numbers of T in the kernels, and so is 1 / soft_cap.
  normal_or_zero<T>(geometry.scale, "scale");
  normal_or_zero<T>(geometry.soft_cap, "soft_cap");
}

template <class T>
void Call<T>::require_apart_from_inputs(const Extent& output) const {
  require_apart(output, extent_of(geometry, queries, Axis::queries, geometry.dim, "queries"));
  require_apart(output, extent_of(geometry, keys, Axis::keys, geometry.dim, "keys"));
  require_apart(output, extent_of(geometry, values, Axis::keys, geometry.value_dim, "values"));
  require_apart(output, flat_extent(bias.numbers, "bias"));
}

template struct Call<float>;
template struct Call<double>;

}  // namespace softstep::heads
