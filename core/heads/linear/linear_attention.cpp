#include "softstep/linear_attention.h"

#include <algorithm>
#include <vector>

#include "core/heads/linear/backward.h"
#include "core/heads/linear/forward.h"
#include "core/heads/linear/whole.h"
#include "core/threads/start.h"
#include "core/threads/team.h"
#include "softstep/error.h"

namespace softstep {
namespace linear_heads {
namespace {

// Chunks of one head that a team goes through together, for each member.
constexpr std::size_t chunks_a_member = 4;

/// Calls body(task, team, shared, work) for all key heads: heads of their own for each member as far as they
/// go round, and for the rest all members together. make_shared(members) makes what a team shares,
/// make_work() what each member has.
template <class T, class MakeShared, class MakeWork, class Body>
void for_each_task(const Problem<T>& p, int threads, MakeShared make_shared, MakeWork make_work, Body body) {
  double work_items = 0.0;
  for (std::size_t b = 0; b < p.geometry.batch; ++b)
    work_items += static_cast<double>(p.geometry.n_heads * p.geometry.queries_of(b) +
                                      p.geometry.n_key_heads * p.geometry.keys_of(b)) *
                  static_cast<double>(p.state_size());
  const int n_threads = worth_threads(work_items) ? thread_count(threads) : 1;
  const std::size_t n_tasks = p.n_tasks();
  auto together = make_shared(n_threads == 1 ? 1 : static_cast<std::size_t>(n_threads) * chunks_a_member);
  with_team(n_threads, [&](const Team& team) {
    auto work = make_work();
    const std::size_t alone = n_tasks / team.size * team.size;
    if (team.size == 1) {
      for (std::size_t task = 0; task < n_tasks; ++task) body(Task<T>(p, task), team, together, work);
      return;
    }
    if (alone != 0) {
      auto mine = make_shared(1);
      const auto [begin, end] = team.share(alone);
      for (std::size_t task = begin; task < end; ++task) body(Task<T>(p, task), Team{}, mine, work);
    }
    for (std::size_t task = alone; task < n_tasks; ++task) body(Task<T>(p, task), team, together, work);
  });
}

template <class T>
void forward(const LinearAttentionInputs<T>& inputs, const HeadsSpan<T>& span,
             const LinearAttentionOptions& options) {
  const Problem<T> p(inputs, options);
  const auto outputs = p.geometry.output(span, heads::Axis::queries, p.geometry.value_dim, "outputs");
  p.require_apart_from_inputs(
      heads::extent_of(p.geometry, outputs, heads::Axis::queries, p.geometry.value_dim, "outputs"));
  if (!p.causal)
    return for_each_task(
        p, options.threads, [&](std::size_t) { return WholeStates<T>(p, false); },
        [&] { return WholeWork<T>(p); },
        [&](const Task<T>& task, const Team& team, WholeStates<T>& states, WholeWork<T>& work) {
          whole_forward_task(p, task, outputs, team, states, work);
        });
  const std::size_t n_chunks = p.most_chunks();
  for_each_task(
      p, options.threads, [&](std::size_t chunks) { return States<T>(p, std::min(chunks, n_chunks)); },
      [&] { return ForwardWork<T>(p); },
      [&](const Task<T>& task, const Team& team, States<T>& states, ForwardWork<T>& work) {
        forward_task(p, task, outputs, team, states, work);
      });
}

template <class T>
void backward(const LinearAttentionInputs<T>& inputs, const HeadsView<T>& slopes,
              const LinearAttentionGradients<T>& spans, const LinearAttentionOptions& options) {
  using heads::Axis;
  const Problem<T> p(inputs, options);
  const heads::Geometry& g = p.geometry;
  const auto output_gradient = g.input(slopes, Axis::queries, g.value_dim, "output_gradient");
  if (spans.log_gates.wanted() && p.gate_columns == 0)
    throw InvalidArgument("gradients.log_gates", "wanted without gates (gates = none)");
  Gradients<T> gradients;
  std::vector<heads::Extent> written;
  const auto add = [&](const HeadsSpan<T>& span, Axis axis, std::size_t columns, const char* name,
                       heads::OutputRows<T>& rows) {
    if (!span.wanted()) return;
    rows = g.output(span, axis, columns, name);
    const heads::Extent extent = extent_of(g, rows, axis, columns, name);
    p.require_apart_from_inputs(extent);
    heads::require_apart(extent,
                         extent_of(g, output_gradient, Axis::queries, g.value_dim, "output_gradient"));
    for (const heads::Extent& other : written) heads::require_apart(extent, other);
    written.push_back(extent);
  };
  add(spans.queries, Axis::queries, g.dim, "gradients.queries", gradients.queries);
  add(spans.keys, Axis::keys, g.dim, "gradients.keys", gradients.keys);
  add(spans.values, Axis::keys, g.value_dim, "gradients.values", gradients.values);
  add(spans.log_gates, Axis::keys, p.gate_columns, "gradients.log_gates", gradients.log_gates);
  if (written.empty()) return;
  if (!p.causal)
    return for_each_task(
        p, options.threads, [&](std::size_t) { return WholeStates<T>(p, true); },
        [&] { return WholeWork<T>(p); },
        [&](const Task<T>& task, const Team& team, WholeStates<T>& states, WholeWork<T>& work) {
          whole_backward_task(p, task, output_gradient, gradients, team, states, work);
        });
  const std::size_t n_chunks = p.most_chunks();
  struct Shared {
    States<T> states, later;
  };
  for_each_task(
      p, options.threads,
      [&](std::size_t chunks) {
        return Shared{States<T>(p, n_chunks), States<T>(p, std::min(chunks, n_chunks))};
      },
      [&] { return BackwardWork<T>(p); },
      [&](const Task<T>& task, const Team& team, Shared& shared, BackwardWork<T>& work) {
        backward_task(p, task, output_gradient, gradients, team, shared.states, shared.later, work);
      });
}

}  // namespace
}  // namespace linear_heads

template <NumberType T>
void linear_attention_forward(const LinearAttentionInputs<T>& inputs, const HeadsSpan<T>& outputs,
                              const LinearAttentionOptions& options) {
  linear_heads::forward(inputs, outputs, options);
}

template <NumberType T>
void linear_attention_backward(const LinearAttentionInputs<T>& inputs, const HeadsView<T>& output_gradient,
                               const LinearAttentionGradients<T>& gradients,
                               const LinearAttentionOptions& options) {
  linear_heads::backward(inputs, output_gradient, gradients, options);
}

#define SOFTSTEP_INSTANTIATE(T)                                                                 \
  template void linear_attention_forward(const LinearAttentionInputs<T>&, const HeadsSpan<T>&,  \
                                         const LinearAttentionOptions&);                        \
  template void linear_attention_backward(const LinearAttentionInputs<T>&, const HeadsView<T>&, \
                                          const LinearAttentionGradients<T>&,                   \
                                          const LinearAttentionOptions&);
SOFTSTEP_INSTANTIATE(float)
SOFTSTEP_INSTANTIATE(double)
#undef SOFTSTEP_INSTANTIATE

}  // namespace softstep
