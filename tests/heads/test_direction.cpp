// attention_tangent and attention_hessian_product against the reference's own derivatives, by dual numbers.

#include <catch2/catch_template_test_macros.hpp>

#include "heads/heads_tests.h"
#include "support/dual.h"

namespace softstep::test {
namespace {

using Number = long double;
using D = Dual<Number>;

// A case and a direction: the second case has the same shape and other numbers.
template <class T>
struct Moving {
  HeadsCase<T> at, along;
  explicit Moving(const HeadsSetup& setup) : at(setup), along(direction_of(setup)) {}
  static HeadsSetup direction_of(HeadsSetup setup) {
    setup.seed += 1000;
    setup.spread = 1.0;
    return setup;
  }
  HeadsDirection<T> direction() const {
    return {along.queries.view(), along.keys.view(), along.values.view(), along.output_gradient.view()};
  }
};

template <class T>
reference::Head<D> moving_head(const Moving<T>& in, std::size_t b, std::size_t h) {
  reference::Head<D> head;
  const reference::Head<Number> at = head_of<Number>(in.at, b, h), along = head_of<Number>(in.along, b, h);
  const auto both = [](const reference::Matrix<Number>& x, const reference::Matrix<Number>& slope) {
    reference::Matrix<D> out(x.n_rows, x.n_cols);
    for (std::size_t k = 0; k < x.numbers.size(); ++k) out.numbers[k] = D(x.numbers[k], slope.numbers[k]);
    return out;
  };
  head.queries = both(at.queries, along.queries);
  head.keys = both(at.keys, along.keys);
  head.values = both(at.values, along.values);
  head.bias = both(at.bias, reference::Matrix<Number>(at.bias.n_rows, at.bias.n_cols));  // stands still
  head.seen = at.seen;
  head.scale = D(at.scale);
  head.soft_cap = D(at.soft_cap);
  return head;
}

// Sizes of the terms that a row's results are made of, w_j = p_j e^-c and p_a apart, with the relative error
// of a term. To first order in u a term is a product of w_j, at most three factors that are differences from
// the pivot's or the mean (s', D, D'), and one of k, k', v, v', q, q', dO, dO'. A weight is off by twice the
// largest error of a score, a sum by `chain`, a product of rows by its length: three factors of each kind.
template <class T>
struct Terms {
  double relative = 0.0;
  std::vector<double> w, s_t, d, d_t;  // by key seen; w of the pivot is the sum of the others'

  Terms(const reference::Head<D>& head, const reference::HeadRow<D>& row, const reference::Matrix<D>& d_o,
        std::size_t i) {
    const std::size_t n = row.keys.size(), dim = head.keys.n_cols, dv = head.values.n_cols;
    const double u = unit_roundoff<T>, scale = size(head.scale.value);
    double worst = 0.0, mean_s = 0.0, mean_d = 0.0, mean_d_t = 0.0, rest = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
      const std::size_t key = row.keys[j];
      double score = 0.0, tangent = 0.0, slope = 0.0, slope_t = 0.0;
      for (std::size_t l = 0; l < dim; ++l) {
        const D &q = head.queries(i, l), &k = head.keys(key, l);
        score += scale * size(q.value) * size(k.value);
        tangent += scale * (size(q.slope) * size(k.value) + size(q.value) * size(k.slope));
      }
      for (std::size_t l = 0; l < dv; ++l) {
        const D &g = d_o(i, l), &v = head.values(key, l);
        slope += size(g.value) * size(v.value);
        slope_t += size(g.slope) * size(v.value) + size(g.value) * size(v.slope);
      }
      // A cap's second derivative is at most 1 / cap of what its first one was given.
      if (head.soft_cap.value != 0) slope_t += slope * tangent / size(head.soft_cap.value);
      worst = std::max(worst, (static_cast<double>(dim) + 4.0) * u * score + 12.0 * u * (1.0 + score));
      s_t.push_back(tangent);
      d.push_back(slope);
      d_t.push_back(slope_t);
      const double p = size(row.attention[j].value);
      mean_s += p * tangent;
      mean_d += p * slope;
      mean_d_t += p * slope_t;
      const Number below = row.scores[j].value - row.top.value - row.exponent.value;
      w.push_back(j == row.pivot ? 0.0 : size(std::exp(below)) * size(row.attention[row.pivot].value));
      rest += w.back();
    }
    w[row.pivot] = rest;
    for (std::size_t j = 0; j < n; ++j) {
      s_t[j] += mean_s + s_t[row.pivot];
      d[j] += mean_d + d[row.pivot];
      d_t[j] += mean_d_t + mean_s * mean_d + d_t[row.pivot];
    }
    relative = 3.0 * 1.01 * (2.0 * worst + (reference::chain(n) + static_cast<double>(dim + dv) + 16.0) * u);
  }
  double second(std::size_t j) const { return w[j] * (s_t[j] * d[j] + d_t[j]); }
  static double size(Number x) { return static_cast<double>(std::fabs(x)); }
};

struct Worst {
  double tangent = 0.0, queries = 0.0, keys = 0.0, values = 0.0;
  bool ok() const { return tangent <= 1.0 && queries <= 1.0 && keys <= 1.0 && values <= 1.0; }
};

template <class T>
Worst worst_of(const Moving<T>& in, const std::string& isa, int threads) {
  const HeadsSetup& setup = in.at.setup;
  const HeadsShape& shape = setup.shape;
  const std::size_t group = shape.n_heads / setup.n_key_heads(), dv = setup.value_dim();
  HeadsRun<T> run(in.at), tangent(in.at);
  attention_forward(in.at.inputs(), run.forward_face(), in.at.options(isa, threads));
  attention_tangent(in.at.inputs(), run.state, in.direction(), tangent.outputs.span(),
                    in.at.options(isa, threads));
  HeadsGradients<T> face = run.backward_face();
  face.bias = {};
  attention_hessian_product(in.at.inputs(), run.state, in.at.output_gradient.view(), in.direction(), face,
                            in.at.options(isa, threads));
  Worst worst;
  for (std::size_t b = 0; b < shape.batch; ++b)
    for (std::size_t g = 0; g < setup.n_key_heads(); ++g) {
      const double key_exponent = run.key_exponents[b * setup.n_key_heads() + g];
      reference::Matrix<Number> keys(in.at.n_keys(b), shape.dim), values(in.at.n_keys(b), dv);
      reference::Matrix<double> key_bounds(in.at.n_keys(b), shape.dim), value_bounds(in.at.n_keys(b), dv);
      for (std::size_t h = g * group; h < (g + 1) * group; ++h) {
        const reference::Head<D> head = moving_head(in, b, h);
        std::vector<reference::HeadRow<D>> rows = reference::head_rows(head);
        for (auto& row : rows) row.exponent.slope = 0;  // a unit, which stands still
        const reference::Matrix<D> out = reference::outputs(head, rows);
        reference::Matrix<D> d_o(head.queries.n_rows, dv);
        for (std::size_t i = 0; i < d_o.n_rows; ++i)
          for (std::size_t l = 0; l < dv; ++l)
            d_o(i, l) = D(Number(in.at.output_gradient.get(b, h, i, l)),
                          Number(in.along.output_gradient.get(b, h, i, l)));
        const reference::HeadGradients<D> exact =
            reference::gradients(head, rows, d_o, D(Number(key_exponent)));
        for (std::size_t i = 0; i < d_o.n_rows; ++i) {
          if (rows[i].keys.empty()) continue;
          const Terms<T> terms(head, rows[i], d_o, i);
          const double scale = Terms<T>::size(head.scale.value);
          const auto row_exponent = static_cast<double>(rows[i].exponent.value);
          const double unit = std::exp(row_exponent - key_exponent), power = std::exp(row_exponent);
          std::vector<double> query_bound(shape.dim, 0.0), tangent_bound(dv, 0.0);
          for (std::size_t j = 0; j < rows[i].keys.size(); ++j) {
            const std::size_t key = rows[i].keys[j];
            const double first = terms.w[j] * terms.d[j], second = terms.second(j),
                         p = Terms<T>::size(rows[i].attention[j].value);
            for (std::size_t l = 0; l < shape.dim; ++l) {
              const D &k = head.keys(key, l), &q = head.queries(i, l);
              query_bound[l] += scale * (second * Terms<T>::size(k.value) + first * Terms<T>::size(k.slope));
              key_bounds(key, l) += terms.relative * unit * scale *
                                    (second * Terms<T>::size(q.value) + first * Terms<T>::size(q.slope));
            }
            for (std::size_t l = 0; l < dv; ++l) {
              const D &v = head.values(key, l), &go = d_o(i, l);
              const double moved = power * terms.w[j] * terms.s_t[j];
              tangent_bound[l] += moved * Terms<T>::size(v.value) + p * Terms<T>::size(v.slope);
              value_bounds(key, l) +=
                  terms.relative * (moved * Terms<T>::size(go.value) + p * Terms<T>::size(go.slope));
            }
          }
          const double floor = 1e3 * static_cast<double>(std::numeric_limits<T>::min());
          for (std::size_t l = 0; l < shape.dim; ++l)
            HeadsRatios::add(worst.queries, Number(run.queries.get(b, h, i, l)) - exact.queries(i, l).slope,
                             terms.relative * query_bound[l] + floor);
          for (std::size_t l = 0; l < dv; ++l)
            HeadsRatios::add(worst.tangent, Number(tangent.outputs.get(b, h, i, l)) - out(i, l).slope,
                             terms.relative * tangent_bound[l] + floor);
        }
        for (std::size_t k = 0; k < keys.numbers.size(); ++k) keys.numbers[k] += exact.keys.numbers[k].slope;
        for (std::size_t k = 0; k < values.numbers.size(); ++k)
          values.numbers[k] += exact.values.numbers[k].slope;
      }
      for (std::size_t j = 0; j < keys.n_rows; ++j) {
        const double floor = 1e3 * static_cast<double>(std::numeric_limits<T>::min());
        const double chains = 1.0 + 4.0 * static_cast<double>(group * shape.n_queries) * unit_roundoff<T>;
        for (std::size_t l = 0; l < shape.dim; ++l)
          HeadsRatios::add(worst.keys, Number(run.keys.get(b, g, j, l)) - keys(j, l),
                           chains * key_bounds(j, l) + floor);
        for (std::size_t l = 0; l < dv; ++l)
          HeadsRatios::add(worst.values, Number(run.values.get(b, g, j, l)) - values(j, l),
                           chains * value_bounds(j, l) + floor);
      }
    }
  return worst;
}

std::vector<HeadsSetup> setups() {
  HeadsSetup plain;
  plain.shape = {
      .batch = 2, .n_heads = 4, .n_key_heads = 2, .n_queries = 37, .n_keys = 61, .dim = 9, .value_dim = 7};
  HeadsSetup long_one;
  long_one.shape = {.n_queries = 130, .n_keys = 420, .dim = 16};
  long_one.causal = true;
  HeadsSetup masked = plain;
  masked.before = 20;
  masked.after = 3;
  masked.key_lengths = {50, 0};
  masked.bias = masked.bias_per_head = true;
  masked.hidden = 0.2;
  HeadsSetup capped = plain;
  capped.soft_cap = 2.5;
  capped.bias = true;
  HeadsSetup ragged = plain;
  ragged.query_offsets = {0, 3, 40};
  ragged.key_offsets = {0, 30, 31};
  std::vector<HeadsSetup> out;
  for (HeadsSetup setup : {plain, long_one, masked, capped, ragged})
    for (const double spread : {1.0, 20.0, 300.0}) {
      setup.spread = spread;
      out.push_back(setup);
    }
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("Along a direction outputs and gradients move as the reference's do", "[heads]", float,
                   double) {
  using T = TestType;
  for (const HeadsSetup& setup : setups()) {
    const Moving<T> in(setup);
    for_each_isa([&](const simd::Isa& isa) {
      const Worst worst = worst_of(in, isa.name, 1);
      INFO(isa.name << ": " << setup.text());
      INFO("errors over bounds: O' " << worst.tangent << " dQ' " << worst.queries << " dK' " << worst.keys
                                     << " dV' " << worst.values);
      CHECK(worst.ok());
    });
  }
}

TEMPLATE_TEST_CASE("A soft cap whose square is no number has a Hessian product", "[heads]", float, double) {
  using T = TestType;
  for (const double cap :
       {sizeof(T) == sizeof(float) ? 1e-20 : 1e-155, sizeof(T) == sizeof(float) ? 1e-30 : 1e-250,
        sizeof(T) == sizeof(float) ? 1e25 : 1e200})
    for (const double of_cap : {0.1, 1.0, 10.0}) {
      HeadsSetup setup;
      setup.shape = {.n_heads = 2, .n_queries = 5, .n_keys = 37, .dim = 4};
      setup.soft_cap = cap;
      setup.spread = std::min(1.0, cap * of_cap);
      const Moving<T> in(setup);
      for_each_isa([&](const simd::Isa& isa) {
        const Worst worst = worst_of(in, isa.name, 1);
        INFO(isa.name << ": " << setup.text() << " cap " << cap);
        INFO("errors over bounds: O' " << worst.tangent << " dQ' " << worst.queries << " dK' " << worst.keys
                                       << " dV' " << worst.values);
        CHECK(worst.ok());
      });
    }
}

TEST_CASE("What does not move along a direction may be left out", "[heads]") {
  HeadsSetup setup;
  setup.shape = {.n_heads = 2, .n_queries = 20, .n_keys = 30, .dim = 8};
  const Moving<double> in(setup);
  const auto product = [&](const HeadsDirection<double>& direction) {
    HeadsRun<double> run(in.at);
    attention_forward(in.at.inputs(), run.forward_face(), in.at.options("", 1));
    attention_hessian_product(in.at.inputs(), run.state, in.at.output_gradient.view(), direction,
                              run.backward_face(), in.at.options("", 1));
    attention_tangent(in.at.inputs(), run.state, direction, run.outputs.span(), in.at.options("", 1));
    std::vector<double> out;
    for (const HeadsArray<double>* array : {&run.outputs, &run.queries, &run.keys, &run.values})
      for (std::size_t h = 0; h < 2; ++h)
        for (std::size_t i = 0; i < array->rows().of_entry[0]; ++i)
          for (std::size_t l = 0; l < 8; ++l) out.push_back(array->get(0, h, i, l));
    return out;
  };
  const HeadsDirection<double> all = in.direction();
  const std::vector<double> together = product(all);
  std::vector<double> sum(together.size(), 0.0);
  for (const HeadsDirection<double>& part :
       {HeadsDirection<double>{.queries = all.queries}, HeadsDirection<double>{.keys = all.keys},
        HeadsDirection<double>{.values = all.values},
        HeadsDirection<double>{.output_gradient = all.output_gradient}}) {
    const std::vector<double> alone = product(part);
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += alone[k];
  }
  double largest = 0.0, difference = 0.0;
  for (std::size_t k = 0; k < sum.size(); ++k) {
    largest = std::max(largest, std::fabs(together[k]));
    difference = std::max(difference, std::fabs(together[k] - sum[k]));
  }
  // Sums of 30 terms of at most this size, five times.
  CHECK(difference <= 5.0 * 30.0 * 8.0 * unit_roundoff<double> * largest);
}

TEST_CASE("Along a direction results have the same bits on any number of threads", "[heads][threads]") {
  HeadsSetup setup;
  setup.shape = {.n_heads = 2, .n_key_heads = 1, .n_queries = 300, .n_keys = 500, .dim = 32};
  setup.causal = true;
  const Moving<float> in(setup);
  const auto bits = [&](int threads) {
    HeadsRun<float> run(in.at);
    attention_forward(in.at.inputs(), run.forward_face(), in.at.options("", threads));
    attention_hessian_product(in.at.inputs(), run.state, in.at.output_gradient.view(), in.direction(),
                              run.backward_face(), in.at.options("", threads));
    attention_tangent(in.at.inputs(), run.state, in.direction(), run.outputs.span(),
                      in.at.options("", threads));
    return run.bits();
  };
  const auto one = bits(1);
  for (const int threads : {2, 3, 7}) CHECK(bits(threads) == one);
}

TEST_CASE("Along a direction bad input is refused and nothing is written", "[heads]") {
  HeadsSetup setup;
  const Moving<float> in(setup);
  HeadsRun<float> run(in.at);
  attention_forward(in.at.inputs(), run.forward_face(), in.at.options("", 1));
  const auto before = run.bits();
  const auto argument_of = [&](auto call) -> std::string {
    try {
      call();
    } catch (const InvalidArgument& error) {
      return error.argument();
    }
    return "";
  };
  const HeadsState<float> empty;
  CHECK(argument_of([&] {
          attention_tangent(in.at.inputs(), empty, in.direction(), run.outputs.span(), in.at.options("", 1));
        }) == "state");
  HeadsDirection<float> short_one = in.direction();
  short_one.keys.numbers = short_one.keys.numbers.first(3);
  CHECK(argument_of([&] {
          attention_tangent(in.at.inputs(), run.state, short_one, run.outputs.span(), in.at.options("", 1));
        }) == "direction.keys");
  CHECK(argument_of([&] {
          attention_hessian_product(in.at.inputs(), run.state, in.at.output_gradient.view(), short_one,
                                    run.backward_face(), in.at.options("", 1));
        }) == "direction.keys");
  CHECK(run.bits() == before);
}

}  // namespace softstep::test
