// A state serves the inputs that it was made of: one of other lengths or another mask is refused, and so is
// one of a forward pass that did not come to its end.

#include <new>

#include "data/refused.h"
#include "heads/heads_tests.h"
#include "support/allocations.h"

namespace softstep::test {
namespace {

// Every function that takes a state refuses this one.
void require_refused_state(const HeadsCase<double>& in, const HeadsState<double>& state,
                           const std::vector<std::string>& words) {
  HeadsRun<double> out(in);
  const HeadsOptions options = in.options("", 1);
  const std::vector<std::uint64_t> before = out.bits();
  HeadsGradients<double> gradients = out.backward_face();
  const auto slopes = in.output_gradient.view();
  const HeadsDirection<double> along{in.queries.view(), in.keys.view(), in.values.view(), slopes};
  require_refused("state", words,
                  [&] { attention_backward(in.inputs(), state, slopes, gradients, options); });
  require_refused("state", words,
                  [&] { attention_tangent(in.inputs(), state, along, out.outputs.span(), options); });
  require_refused("state", words,
                  [&] { attention_hessian_product(in.inputs(), state, slopes, along, gradients, options); });
  CHECK((out.bits() == before));
}

}  // namespace

TEST_CASE("A state of more keys, or of another mask, is refused", "[heads]") {
  HeadsSetup setup;
  setup.shape = {.batch = 2, .n_heads = 4, .n_key_heads = 2, .n_queries = 3, .n_keys = 800, .dim = 4};
  const HeadsCase<double> in(setup);
  HeadsRun<double> made = run(in, "");
  HeadsSetup fewer = setup;
  fewer.shape.n_keys = 2;
  require_refused_state(HeadsCase<double>(fewer), made.state, {"largest score at key", "sees keys 0 to 2"});
  HeadsSetup window = setup;
  window.before = window.after = 0;
  require_refused_state(HeadsCase<double>(window), made.state,
                        {"largest score at key", "sees keys 797 to 798"});
  HeadsSetup lengths = setup;
  lengths.key_lengths = {800, 0};
  require_refused_state(HeadsCase<double>(lengths), made.state, {"largest score at key", "sees keys 0 to 0"});
}

TEST_CASE("A state of a forward pass that ran out of memory is refused", "[heads]") {
  if (!counts_allocations) return;
  HeadsSetup setup;
  setup.shape = {.n_heads = 2, .n_queries = 40, .n_keys = 60, .dim = 8};
  const HeadsCase<double> in(setup);
  HeadsRun<double> whole(in);
  const long before = n_allocations;
  attention_forward(in.inputs(), whole.forward_face(), in.options("", 1));
  const long n = n_allocations - before;
  REQUIRE(n > 0);
  long failed = 0;
  for (long k = 1; k <= n; ++k) {
    // Fresh, and one that held a whole pass.
    for (const bool used : {false, true}) {
      HeadsRun<double> out(in);
      if (used) attention_forward(in.inputs(), out.forward_face(), in.options("", 1));
      HeadsOutputs<double> face = out.forward_face();
      failing_allocation = k;
      bool told = false;
      try {
        attention_forward(in.inputs(), face, in.options("", 1));
      } catch (const std::bad_alloc&) {
        told = true;
      }
      failing_allocation = 0;
      if (!told) continue;
      ++failed;
      // Where it failed before the state was touched, the state is still that of the pass before.
      HeadsGradients<double> gradients = out.backward_face();
      INFO("allocation " << k << " of " << n << (used ? ", used" : ""));
      try {
        attention_backward(in.inputs(), out.state, in.output_gradient.view(), gradients, in.options("", 1));
        CHECK(used);
        CHECK((out.queries.element_bits() == run(in, "").queries.element_bits()));
      } catch (const InvalidArgument& error) {
        CHECK(error.argument() == "state");
      }
    }
  }
  CHECK(failed > 0);
}

}  // namespace softstep::test
