#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <random>

#include "refused.h"
#include "softstep/dataset.h"
#include "softstep/trainer.h"

using namespace softstep;
using softstep::test::require_refused;

namespace {

GeneratorOptions options_of(const std::string& generator, std::size_t n_samples, std::size_t n_tokens,
                            std::size_t dim, std::uint64_t seed) {
  GeneratorOptions o;
  o.generator = generator;
  o.n_samples = n_samples;
  o.n_tokens = n_tokens;
  o.dim = dim;
  o.seed = seed;
  return o;
}

double dot(const double* a, const double* b, std::size_t size) {
  double sum = 0;
  for (std::size_t k = 0; k < size; ++k) sum += a[k] * b[k];
  return sum;
}

// AddressSanitizer ends the process where the allocator would throw std::bad_alloc.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool allocation_can_fail = false;
#elif defined(__has_feature)
constexpr bool allocation_can_fail = !__has_feature(address_sanitizer);
#else
constexpr bool allocation_can_fail = true;
#endif

// 64-bit FNV-1a over tokens, labels, decoder and queries as little-endian bytes.
std::uint64_t hash(const BatchView<double>& b) {
  std::uint64_t h = 0xcbf29ce484222325u;
  const auto feed = [&h](const void* data, std::size_t size) {
    for (std::size_t k = 0; k < size; ++k)
      h = (h ^ static_cast<const unsigned char*>(data)[k]) * 0x100000001b3u;
  };
  feed(b.tokens, b.total_tokens() * b.dim * sizeof(double));
  feed(b.labels, b.n_samples);
  feed(b.decoder, b.dim * sizeof(double));
  if (b.queries) feed(b.queries, b.n_samples * b.dim * sizeof(double));
  return h;
}

}  // namespace

// The expected bytes come from a Python program written from the description of the stream, with its own
// Mersenne Twister. They may only change together with a note to users that old seeds give new data.
TEST_CASE("the same seed gives the same bytes as ever", "[data]") {
  GeneratorOptions o;
  const Dataset<double> noise = generate(o);
  CHECK(noise.view().tokens[0] == 1.0);
  CHECK(noise.view().tokens[3598] == -0x1.59d0fd6e6811fp-6);
  CHECK(noise.view().tokens[3599] == 0x1.905c90f497c60p-6);
  CHECK(hash(noise.view()) == 0x6b34696d300606f9u);

  o = options_of("signal_noise", 3, 4, 5, 7);
  o.signal = 2.0;
  o.equal_scores = true;
  CHECK(hash(generate(o).view()) == 0x7ba8f75a6ebf1a67u);

  const Dataset<double> unit = generate(options_of("random_unit", 6, 8, 10, 1));
  CHECK(unit.view().tokens[0] == 0x1.c1c11643a22a4p-3);
  CHECK(unit.view().tokens[1] == -0x1.b03b06e6d5636p-3);
  CHECK(hash(unit.view()) == 0x8ca4936e7527275bu);

  o = options_of("orthogonal", 4, 3, 20, 2);
  o.signal = 1.5;
  CHECK(hash(generate(o).view()) == 0x89abdf45e3e17365u);

  const Dataset<double> planar = generate(options_of("planar", 0, 0, 0, 3));
  CHECK(planar.view().tokens[0] == -0x1.f3f6f83d293dap-2);
  CHECK(hash(planar.view()) == 0x6744d7f32edf9fefu);

  o = options_of("separable", 5, 9, 4, 6);
  CHECK(generate(o).view().tokens[0] == 0x1.bc9b595ec950ep-2);
  CHECK(hash(generate(o).view()) == 0x5add1acb0576cc0cu);
  o = options_of("separable", 20, 1, 8, 1);
  o.signal = 0.5;
  o.noise = 1.0;
  CHECK(hash(generate(o).view()) == 0xbf3b7f243dffae8u);

  const std::vector<double> weights = normal_weights(7, 0.5, 5);
  CHECK(weights[0] == -0x1.b17aef80df8efp-1);
  CHECK(weights[1] == 0x1.0860c1f26e7e4p-2);
  CHECK(weights[2] == -0x1.ed9aa11521aa7p-1);
}

TEST_CASE("other seeds give other data, and the same seed the same again", "[data]") {
  for (const GeneratorInfo& generator : generators()) {
    INFO(generator.name);
    const auto h = [&](std::uint64_t seed) {
      return hash(generate(options_of(generator.name, 3, 4, 20, seed)).view());
    };
    CHECK(h(1) == h(1));
    CHECK(h(1) != h(2));
    CHECK(h(0) != h(std::numeric_limits<std::uint64_t>::max()));
  }
  CHECK(normal_weights(5, 1.0, 1) == normal_weights(5, 1.0, 1));
  CHECK(normal_weights(5, 1.0, 1) != normal_weights(5, 1.0, 2));
}

// The polar method with the logarithm of the C library in long double: 2^-52 from the logarithm (1 ulp), half
// of that after the square root, and roundings of 2^-53 each by the division (halved), the square root and
// the product.
TEST_CASE("normal numbers are the documented function of the engine's numbers", "[data]") {
  const std::uint64_t seed = 12;
  const std::vector<double> drawn = normal_weights(400, 1.0, seed);
  std::mt19937_64 engine(seed ^ 0x77656967687473u);
  const auto uniform = [&] { return static_cast<double>(engine() >> 11) * 0x1p-53; };
  for (std::size_t k = 0; k < drawn.size(); k += 2) {
    double a, b, s;
    do {
      a = 2 * uniform() - 1;
      b = 2 * uniform() - 1;
      s = a * a + b * b;
    } while (s >= 1 || s == 0);
    const long double f = std::sqrt(-2 * std::log(static_cast<long double>(s)) / static_cast<long double>(s));
    REQUIRE(std::fabs(drawn[k] - a * f) <= 4 * 0x1p-53L * std::fabs(a * f));
    REQUIRE(std::fabs(drawn[k + 1] - b * f) <= 4 * 0x1p-53L * std::fabs(b * f));
  }
}

// Fixed seeds, so these never fail by chance. Bounds: five standard deviations of each statistic for N(0, 1),
// and the Kolmogorov-Smirnov distance 1.95 / sqrt(N), exceeded with probability 2 exp(-2 1.95^2) = 0.001.
TEST_CASE("normal numbers are normal", "[data]") {
  std::vector<double> x = normal_weights(500, 3.0, 1);
  const double n = static_cast<double>(x.size());
  double mean = 0, second = 0, fourth = 0, neighbours = 0;
  for (double& value : x) value /= 3.0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    mean += x[k] / n;
    second += x[k] * x[k] / n;
    fourth += x[k] * x[k] * x[k] * x[k] / n;
    if (k > 0) neighbours += x[k] * x[k - 1] / n;
  }
  CHECK(std::fabs(mean) <= 5 * std::sqrt(1 / n));
  CHECK(std::fabs(second - 1) <= 5 * std::sqrt(2 / n));
  CHECK(std::fabs(fourth - 3) <= 5 * std::sqrt(96 / n));
  CHECK(std::fabs(neighbours) <= 5 * std::sqrt(1 / n));
  std::sort(x.begin(), x.end());
  double distance = 0;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double p = 0.5 * std::erfc(-x[k] / std::numbers::sqrt2), rank = static_cast<double>(k);
    distance = std::max({distance, p - rank / n, (rank + 1) / n - p});
  }
  CHECK(distance <= 1.95 / std::sqrt(n));
}

TEST_CASE("signal_noise: one signal token that scores best, noise of the stated size", "[data]") {
  GeneratorOptions o = options_of("signal_noise", 200, 10, 50, 4);
  o.signal = 2.0;
  o.noise = GENERATE(0.0, 0.05);
  o.equal_scores = GENERATE(false, true);
  const double sigma = o.noise == 0.0 ? 1 / std::sqrt(50.0) : o.noise;
  const Dataset<double> data = generate(o);
  const BatchView<double>& b = data.view();
  const TokenScores scores = score_tokens(b);
  CHECK(scores.not_unique.empty());
  CHECK(b.queries == nullptr);
  CHECK(b.query_index == nullptr);  // token 0
  std::array<int, 10> positions = {};
  double sum = 0, squares = 0, count = 0;
  for (std::size_t i = 0; i < 200; ++i) {
    CHECK(b.labels[i] == (i % 2 == 0 ? 1 : -1));
    ++positions[scores.optimal[i]];
    CHECK(scores.optimal_score[i] == 4.0);  // mu^2
    for (std::size_t t = 0; t < 10; ++t) {
      const double* x = b.sample(i) + t * 50;
      if (t == scores.optimal[i]) {
        for (std::size_t k = 0; k < 50; ++k) CHECK(x[k] == (k == (b.labels[i] == 1 ? 0u : 1u) ? 2.0 : 0.0));
        continue;
      }
      if (o.equal_scores) {
        CHECK(dot(x, b.decoder, 50) == 0.0);
        CHECK(scores.gaps[scores.first[i] + t] == 4.0);
      }
      for (std::size_t k = 2; k < 50; ++k) {
        sum += x[k];
        squares += x[k] * x[k];
        ++count;
      }
    }
  }
  // Five standard deviations: of a mean, of a mean square, and of a binomial count (n = 200, p = 1/10: 4.25).
  CHECK(std::fabs(sum / count) <= 5 * sigma / std::sqrt(count));
  CHECK(std::fabs(squares / count - sigma * sigma) <= 5 * sigma * sigma * std::sqrt(2 / count));
  for (const int position : positions) CHECK(std::abs(position - 20) <= 21);
}

TEST_CASE("signal_noise: under heavy noise the optimal token is the best-scoring one, signal or not",
          "[data]") {
  GeneratorOptions o = options_of("signal_noise", 20, 6, 8, 1);
  o.noise = 5.0;
  const Dataset<double> data = generate(o);
  const TokenScores scores = score_tokens(data.view());
  CHECK(std::any_of(scores.optimal_score.begin(), scores.optimal_score.end(),
                    [](double s) { return s > 1.0; }));
}

// A norm from d squares, a square root and d quotients: within (d/2 + 3) u of 1.
TEST_CASE("random_unit: unit vectors, both labels, separate queries", "[data]") {
  const Dataset<double> data = generate(options_of("random_unit", 100, 8, 10, 9));
  const BatchView<double>& b = data.view();
  REQUIRE(b.queries != nullptr);
  const auto require_unit = [&](const double* x) {
    long double squares = 0;
    for (std::size_t k = 0; k < 10; ++k)
      squares += static_cast<long double>(x[k]) * static_cast<long double>(x[k]);
    REQUIRE(std::fabs(std::sqrt(squares) - 1) <= 8 * 0x1p-53L);
  };
  require_unit(b.decoder);
  int positive = 0;
  for (std::size_t i = 0; i < 100; ++i) {
    for (std::size_t t = 0; t < 8; ++t) require_unit(b.sample(i) + t * 10);
    require_unit(b.query(i));
    positive += b.labels[i] == 1;
  }
  CHECK(std::abs(positive - 50) <= 25);  // five standard deviations
  const Dataset<double> line = generate(options_of("random_unit", 3, 2, 1, 0));
  CHECK(std::fabs(line.view().tokens[0]) == 1.0);
}

TEST_CASE("orthogonal: every inner product is exact", "[data]") {
  GeneratorOptions o = options_of("orthogonal", 5, 4, GENERATE(20u, 33u), 6);
  o.signal = 0.3;
  const Dataset<double> data = generate(o);
  const BatchView<double>& b = data.view();
  const double square = 0.3 * 0.3;
  for (std::size_t k = 0; k < 20; ++k)
    for (std::size_t l = 0; l < 20; ++l)
      CHECK(dot(b.tokens + k * o.dim, b.tokens + l * o.dim, o.dim) == (k == l ? square : 0.0));
  const TokenScores scores = score_tokens(b);
  CHECK(scores.not_unique.empty());
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(scores.optimal_score[i] == square);
    for (std::size_t t = 0; t < 4; ++t)
      CHECK(scores.gaps[scores.first[i] + t] == (t == scores.optimal[i] ? 0.0 : square));
  }
}

TEST_CASE("separable: one token a sample, at least the margin from a hyperplane, for any seed", "[data]") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    GeneratorOptions o = options_of("separable", 30, 5, 7, seed);
    o.signal = 0.25;
    const Dataset<double> data = generate(o);
    const BatchView<double>& b = data.view();
    REQUIRE(b.total_tokens() == 30);
    const double length = dot(b.decoder, b.decoder, 7);
    CHECK(std::fabs(length - 1.0) <= 16 * 0x1p-53);
    for (std::size_t i = 0; i < 30; ++i) {
      const double margin = b.labels[i] * dot(b.decoder, b.sample(i), 7);
      // u.x, the change and the sum of both are rounded, over numbers of the size of the point.
      CHECK(margin >= 0.25 - 32 * 0x1p-53 * (1.0 + std::sqrt(dot(b.sample(i), b.sample(i), 7))));
    }
  }
}

TEST_CASE("planar: unique optimal tokens and separable for any seed", "[data]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Dataset<double> data = generate(options_of("planar", 99, 99, 99, seed));
    const BatchView<double>& b = data.view();
    REQUIRE(b.n_samples == 2);
    REQUIRE(b.n_tokens == 3);
    REQUIRE(b.dim == 2);
    const TokenScores scores = score_tokens(b);
    REQUIRE(scores.optimal == std::vector<std::size_t>{1, 2});
    for (const std::size_t k : {0u, 2u, 3u, 4u}) REQUIRE(scores.gaps[k] >= 0.7 - 1e-15);
    // W z_1 and W z_2 can be chosen freely, and (1, 0), (-1, 0) separate.
    const double *z1 = b.query(0), *z2 = b.query(1);
    REQUIRE(std::fabs(z1[0] * z2[1] - z1[1] * z2[0]) >= 0.1);
    for (const std::size_t t : {0u, 2u}) REQUIRE(b.sample(0)[2] - b.sample(0)[2 * t] > 0.5);
    for (const std::size_t t : {0u, 1u}) REQUIRE(b.sample(1)[2 * t] - b.sample(1)[4] > 0.5);
  }
}

TEST_CASE("one sample and one token are allowed", "[data]") {
  for (const char* generator : {"signal_noise", "random_unit", "orthogonal"}) {
    const Dataset<double> data = generate(options_of(generator, 1, 1, 2, 0));
    CHECK(score_tokens(data.view()).gaps == std::vector<double>{0.0});
  }
}

TEST_CASE("bad generator options are named", "[data]") {
  const auto refused = [](const std::string& generator, const char* argument,
                          const std::vector<std::string>& words, auto spoil) {
    GeneratorOptions o = options_of(generator, 3, 2, 10, 0);
    spoil(o);
    require_refused(argument, words, [&] { generate(o); });
  };
  using O = GeneratorOptions;
  refused("gauss\n", "generator",
          {"gauss", "signal_noise", "random_unit", "orthogonal", "planar", "separable"}, [](O&) {});
  for (const char* generator : {"signal_noise", "random_unit", "orthogonal"}) {
    refused(generator, "n_samples", {"0"}, [](O& o) { o.n_samples = 0; });
    refused(generator, "n_tokens", {"0"}, [](O& o) { o.n_tokens = 0; });
    refused(generator, "dim", {"0"}, [](O& o) { o.dim = 0; });
    refused(generator, "n_samples", {"memory"},
            [](O& o) { o.n_samples = o.n_tokens = o.dim = std::size_t{1} << 32; });
    refused(generator, "n_samples", {"memory"},
            [](O& o) { o.n_samples = std::numeric_limits<std::size_t>::max(); });
    // Addressable, but more than any machine has.
    if (allocation_can_fail)
      refused(generator, "n_samples", {"memory"}, [](O& o) { o.n_samples = std::size_t{1} << 55; });
  }
  refused("signal_noise", "dim", {"1", "2"}, [](O& o) { o.dim = 1; });
  refused("orthogonal", "dim", {"5", "6"}, [](O& o) { o.dim = 5; });
  const double inf = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -1.0, inf, -inf, std::nan("")})
    for (const char* generator : {"signal_noise", "orthogonal", "separable"})
      refused(generator, "signal", {}, [=](O& o) { o.signal = bad; });
  for (const double bad : {-0.5, inf, -inf, std::nan("")})
    refused("signal_noise", "noise", {}, [=](O& o) { o.noise = bad; });

  require_refused("dim", {"0"}, [] { normal_weights(0, 1.0, 0); });
  require_refused("dim", {"memory"}, [] { normal_weights(std::size_t{1} << 33, 1.0, 0); });
  if (allocation_can_fail)
    require_refused("dim", {"memory"}, [] { normal_weights(std::size_t{1} << 28, 1.0, 0); });
  for (const double bad : {-1.0, inf, std::nan("")})
    require_refused("std", {}, [=] { normal_weights(2, bad, 0); });
  CHECK(normal_weights(2, 0.0, 0) == std::vector<double>(4, 0.0));
  // Some of a hundred normal numbers are beyond 1.8.
  require_refused("std", {"1e+308"}, [] { normal_weights(10, 1e308, 0); });
  require_refused("std", {"1e+308"}, [] { normal_values(100, 1e308, 0); });
}
