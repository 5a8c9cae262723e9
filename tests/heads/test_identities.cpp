// What attention over heads must do whatever its numbers are, one call beside another: to the sum of their
// bounds, or to the bit where the same sums are taken.

#include <functional>
#include <utility>

#include "heads/heads_tests.h"

namespace softstep::test {
namespace {

HeadsSetup plain_setup() {
  HeadsSetup setup;
  setup.shape = {
      .batch = 2, .n_heads = 4, .n_key_heads = 2, .n_queries = 21, .n_keys = 70, .dim = 12, .value_dim = 9};
  setup.exponents = false;
  setup.spread = 3.0;
  return setup;
}

// Element of the second run that stands for one of the first.
using Index = std::array<std::size_t, 4>;
using Place = std::function<Index(Index)>;

// The bounds of every element of O, dQ, dK and dV, as the reference has them, and what stands in two runs.
template <class T>
class SideBySide {
 public:
  SideBySide(const HeadsCase<T>& in, const std::string& isa) : in_(in), exact_(in), out_(run(in, isa)) {}
  const HeadsRun<T>& out() const { return out_; }

  double bound(HeadsArray<T> HeadsRun<T>::*array, Index at) const {
    const HeadsShape& shape = in_.setup.shape;
    const auto [b, h, r, c] = at;
    const double u = unit_roundoff<T>, smallest = static_cast<double>(std::numeric_limits<T>::min());
    if (array == &HeadsRun<T>::outputs) return exact_.query_heads[b * shape.n_heads + h].errors.outputs(r, c);
    if (array == &HeadsRun<T>::queries) {
      const auto& head = exact_.query_heads[b * shape.n_heads + h];
      const double e = head.errors.queries(r, c),
                   x = std::fabs(static_cast<double>(head.gradients.queries(r, c))),
                   exponent = static_cast<double>(head.rows[r].exponent);
      return (e + (4.0 - exponent) * u * (x + e)) * std::exp(exponent) + smallest * (1.0 + x + e);
    }
    const auto& head = exact_.key_heads[b * in_.setup.n_key_heads() + h];
    if (r >= head.keys.n_rows) return 0.0;
    if (array == &HeadsRun<T>::values) return head.value_errors(r, c);
    const double e = head.key_errors(r, c), x = std::fabs(static_cast<double>(head.keys(r, c)));
    return (e + (4.0 - head.exponent) * u * (x + e)) * std::exp(head.exponent) + smallest * (1.0 + x + e);
  }

 private:
  const HeadsCase<T>& in_;
  const HeadsExact<T> exact_;
  const HeadsRun<T> out_;
};

// How far two runs are apart, over the sum of their bounds; `where`: element of the second for one of the
// first.
template <class T>
double apart(const SideBySide<T>& one, const SideBySide<T>& other, HeadsArray<T> HeadsRun<T>::*array,
             const Place& where) {
  double worst = 0.0;
  (one.out().*array).for_each([&](std::size_t b, std::size_t h, std::size_t r, std::size_t c) {
    const Index at{b, h, r, c}, there = where(at);
    const auto [b2, h2, r2, c2] = there;
    if (r2 == static_cast<std::size_t>(-1)) return;
    HeadsRatios::add(worst,
                     static_cast<long double>((one.out().*array).get(b, h, r, c)) -
                         (other.out().*array).get(b2, h2, r2, c2),
                     one.bound(array, at) + other.bound(array, there));
  });
  return worst;
}

constexpr std::size_t nowhere = static_cast<std::size_t>(-1);
Index same(Index at) { return at; }

template <class T>
void copy(const HeadsArray<T>& from, HeadsArray<T>& to, const Place& where) {
  to.for_each([&](std::size_t b, std::size_t h, std::size_t r, std::size_t c) {
    const auto [b2, h2, r2, c2] = where({b, h, r, c});
    to.set(b, h, r, c, static_cast<double>(from.get(b2, h2, r2, c2)));
  });
}
template <class T>
void copy_all(const HeadsCase<T>& from, HeadsCase<T>& to, const Place& of_queries, const Place& of_keys) {
  copy(from.queries, to.queries, of_queries);
  copy(from.output_gradient, to.output_gradient, of_queries);
  copy(from.keys, to.keys, of_keys);
  copy(from.values, to.values, of_keys);
}

template <class T>
void compare_on_all(const HeadsCase<T>& one, const HeadsCase<T>& other, const Place& of_queries,
                    const Place& of_keys) {
  for_each_isa([&](const simd::Isa& isa) {
    INFO(isa.name << "\n" << one.setup.text() << "\n" << other.setup.text());
    const SideBySide<T> a(one, isa.name), b(other, isa.name);
    CHECK(apart(a, b, &HeadsRun<T>::outputs, of_queries) <= 1.0);
    CHECK(apart(a, b, &HeadsRun<T>::queries, of_queries) <= 1.0);
    CHECK(apart(a, b, &HeadsRun<T>::keys, of_keys) <= 1.0);
    CHECK(apart(a, b, &HeadsRun<T>::values, of_keys) <= 1.0);
    // Compared with itself as another array it is not the same: the comparison sees something.
    CHECK_FALSE(apart(a, b, &HeadsRun<T>::outputs, [&](Index at) {
                  Index there = of_queries(at);
                  there[3] = (there[3] + 1) % one.setup.value_dim();
                  return there;
                }) <= 1.0);
  });
}

}  // namespace

TEST_CASE("Attention of a query adds up to 1", "[heads]") {
  HeadsSetup setup = plain_setup();
  setup.causal = true;
  HeadsCase<float> in(setup);
  in.values.fill([] { return 1.0; });
  for_each_isa([&](const simd::Isa& isa) {
    INFO(isa.name);
    const HeadsRun<float> out = run(in, isa.name);
    // Errors of scores change no sum; those of p_a and of the rest are 2 K u and, below the largest score,
    // log n u.
    const double bound = 1.01 * unit_roundoff<float> *
                         (2.0 * reference::chain(setup.shape.n_keys) + 8.0 + 2.0 * std::log(70.0));
    out.outputs.for_each([&](auto... index) {
      CHECK(std::fabs(static_cast<double>(out.outputs.get(index...)) - 1.0) <= bound);
    });
    // And then it does not depend on the scores.
    out.queries.for_each([&](auto... index) {
      CHECK(std::fabs(static_cast<double>(out.queries.get(index...))) <=
            70 * 40.0 * unit_roundoff<float> * reference::chain(setup.shape.n_keys));
    });
  });
}

TEST_CASE("A number added to all scores of a query changes nothing but its log-sum-exp", "[heads]") {
  HeadsSetup setup = plain_setup();
  setup.bias = setup.bias_per_head = true;
  const HeadsCase<double> in(setup);
  HeadsCase<double> shifted(setup);
  // By whole numbers, on a bias of few digits: no rounding of the bias.
  HeadsCase<double> plain(setup);
  for (std::size_t k = 0; k < in.bias.size(); ++k) {
    plain.bias[k] = std::round(in.bias[k] * 64.0) / 64.0;
    shifted.bias[k] = plain.bias[k] + static_cast<double>(k / setup.shape.n_keys % 9) * 5.0 - 20.0;
  }
  compare_on_all(plain, shifted, same, same);
}

TEST_CASE("The order of keys does not matter", "[heads]") {
  const HeadsCase<float> in(plain_setup());
  HeadsCase<float> permuted(plain_setup());
  const std::size_t n = in.setup.shape.n_keys;
  const Place mix = [n](Index at) { return Index{at[0], at[1], (at[2] * 33 + 5) % n, at[3]}; };
  copy_all(in, permuted, same, mix);
  compare_on_all(permuted, in, same, mix);
}

TEST_CASE("Causal attention of a query is attention to the keys up to it", "[heads]") {
  HeadsSetup setup = plain_setup();
  setup.causal = true;
  const HeadsCase<double> in(setup);
  const std::size_t m = setup.shape.n_queries, n = setup.shape.n_keys;
  for (const std::size_t i : {std::size_t{0}, std::size_t{7}, m - 1}) {
    HeadsSetup alone = plain_setup();
    alone.shape.n_queries = 1;
    alone.shape.n_keys = i + n - m + 1;
    HeadsCase<double> prefix(alone);
    const Place row = [i](Index at) { return Index{at[0], at[1], i, at[3]}; };
    copy_all(in, prefix, row, same);
    for_each_isa([&](const simd::Isa& isa) {
      INFO(isa.name << ", query " << i);
      const SideBySide<double> a(prefix, isa.name), b(in, isa.name);
      CHECK(apart(a, b, &HeadsRun<double>::outputs, row) <= 1.0);
      CHECK(apart(a, b, &HeadsRun<double>::queries, row) <= 1.0);
    });
  }
}

TEST_CASE("Grouped heads are heads with repeated keys", "[heads]") {
  const HeadsCase<float> in(plain_setup());
  HeadsSetup setup = plain_setup();
  setup.shape.n_key_heads = 4;
  HeadsCase<float> repeated(setup);
  copy_all(in, repeated, same, [](Index at) { return Index{at[0], at[1] / 2, at[2], at[3]}; });
  for_each_isa([&](const simd::Isa& isa) {
    INFO(isa.name);
    const SideBySide<float> a(in, isa.name), b(repeated, isa.name);
    CHECK(apart(a, b, &HeadsRun<float>::outputs, same) <= 1.0);
    CHECK(apart(a, b, &HeadsRun<float>::queries, same) <= 1.0);
    for (HeadsArray<float> HeadsRun<float>::*array : {&HeadsRun<float>::keys, &HeadsRun<float>::values})
      (a.out().*array).for_each([&](std::size_t head_b, std::size_t h, std::size_t r, std::size_t c) {
        // The gradient of a shared head is the sum.
        const Index first{head_b, 2 * h, r, c}, second{head_b, 2 * h + 1, r, c};
        const double sum = static_cast<double>((b.out().*array).get(head_b, 2 * h, r, c)) +
                           static_cast<double>((b.out().*array).get(head_b, 2 * h + 1, r, c));
        CHECK(std::fabs(static_cast<double>((a.out().*array).get(head_b, h, r, c)) - sum) <=
              a.bound(array, {head_b, h, r, c}) + b.bound(array, first) + b.bound(array, second));
      });
  });
}

TEST_CASE("A window is a bias of -infinity", "[heads]") {
  for (const bool causal : {false, true}) {
    HeadsSetup windowed = plain_setup(), hidden = plain_setup();
    windowed.before = 11;
    windowed.after = 6;
    windowed.causal = causal;
    hidden.bias = true;
    const HeadsCase<float> one(windowed);
    HeadsCase<float> other(hidden);
    copy_all(one, other, same, same);
    const HeadsMask mask{causal, windowed.before, windowed.after, {}, {}, {}};
    const std::size_t m = windowed.shape.n_queries, n = windowed.shape.n_keys;
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < n; ++j)
        other.bias[i * n + j] =
            reference::sees(mask, i, m, j, n) ? 0.0f : -std::numeric_limits<float>::infinity();
    compare_on_all(one, other, same, same);
  }
}

TEST_CASE("Key lengths are shorter arrays", "[heads]") {
  for (const bool causal : {false, true}) {
    HeadsSetup padded = plain_setup(), cut = plain_setup();
    padded.causal = cut.causal = causal;
    padded.key_lengths = {49, 49};
    cut.shape.n_keys = 49;
    const HeadsCase<double> one(padded);
    HeadsCase<double> other(cut);
    copy_all(one, other, same, same);
    compare_on_all(one, other, same, [](Index at) {
      return at[2] < 49 ? at : Index{at[0], at[1], nowhere, at[3]};
    });
    // Nothing of the padding is looked at.
    HeadsCase<double> spoilt(padded);
    spoilt.keys.for_each([&](std::size_t b, std::size_t h, std::size_t r, std::size_t c) {
      if (r >= 49) spoilt.keys.set(b, h, r, c, NAN);
    });
    spoilt.values.for_each([&](std::size_t b, std::size_t h, std::size_t r, std::size_t c) {
      if (r >= 49) spoilt.values.set(b, h, r, c, c % 2 == 0 ? NAN : HUGE_VAL);
    });
    for_each_isa([&](const simd::Isa& isa) {
      INFO(isa.name);
      CHECK((run(spoilt, isa.name).bits() == run(one, isa.name).bits()));
    });
  }
}

TEST_CASE("A ragged batch is its entries one by one, to the bit", "[heads]") {
  for (const bool causal : {false, true}) {
    HeadsSetup setup = plain_setup();
    setup.shape.batch = 4;
    setup.exponents = true;
    setup.causal = causal;
    setup.query_offsets = {0, 21, 22, 22, 160};
    setup.key_offsets = {0, 70, 75, 80, 300};
    const HeadsCase<float> in(setup);
    for_each_isa([&](const simd::Isa& isa) {
      const HeadsRun<float> out = run(in, isa.name, 2);
      for (std::size_t b = 0; b < setup.shape.batch; ++b) {
        INFO(isa.name << ", entry " << b);
        HeadsSetup entry = plain_setup();
        entry.exponents = true;
        entry.causal = causal;
        entry.shape.batch = 1;
        entry.shape.n_queries = in.queries.rows().of_entry[b];
        entry.shape.n_keys = in.keys.rows().of_entry[b];
        HeadsCase<float> alone(entry);
        const Place of_entry = [b](Index at) { return Index{b, at[1], at[2], at[3]}; };
        copy_all(in, alone, of_entry, of_entry);
        const HeadsRun<float> single = run(alone, isa.name);
        using Run = HeadsRun<float>;
        for (HeadsArray<float> Run::*array : {&Run::outputs, &Run::queries, &Run::keys, &Run::values})
          (single.*array).for_each([&](std::size_t, std::size_t h, std::size_t r, std::size_t c) {
            CHECK((single.*array).get(0, h, r, c) == (out.*array).get(b, h, r, c));
          });
        for (std::size_t h = 0; h < entry.shape.n_heads; ++h)
          for (std::size_t i = 0; i < entry.shape.n_queries; ++i) {
            CHECK(single.log_sum_exp[single.row_place(0, h, i)] == out.log_sum_exp[out.row_place(b, h, i)]);
            CHECK(single.query_exponents[single.row_place(0, h, i)] ==
                  out.query_exponents[out.row_place(b, h, i)]);
          }
        for (std::size_t g = 0; g < 2; ++g) CHECK(single.key_exponents[g] == out.key_exponents[b * 2 + g]);
      }
    });
  }
}

}  // namespace softstep::test
