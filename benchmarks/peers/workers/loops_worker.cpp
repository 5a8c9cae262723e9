// The step as plain loops that the compiler vectorises: -O3 -march=native -ffast-math, which no library can
// ask of its users.

#include "worker.h"

namespace softstep::peers {
namespace {

template <class T>
class Loops final : public Variant<T> {
 public:
  Loops(const Data<T>& data, int threads)
      : data_(data),
        threads_(threads),
        v_(data.n * data.d),
        g_(data.n * data.d),
        p_(data.n * data.n_tokens),
        m_(data.n),
        gradient_(data.d * data.d) {}
  void reset() override { w_ = data_.weights; }
  double advance(std::int64_t steps, double step_size) override {
    return seconds_of([&] {
      for (std::int64_t k = 0; k < steps; ++k) step(static_cast<T>(step_size));
    });
  }
  double loss() override {
    for (std::size_t i = 0; i < data_.n; ++i) sample(i);
    return mean_loss(m_);
  }
  std::vector<T> weights() const override { return w_; }

 private:
  // Margin of sample i and its row g_i.
  void sample(std::size_t i) {
    const std::size_t d = data_.d, n_tokens = data_.n_tokens;
    const T* __restrict x = data_.sample(i);
    const T* __restrict z = data_.queries.data() + i * d;
    const T* __restrict gamma = data_.scores.data() + i * n_tokens;
    T* __restrict v = v_.data() + i * d;
    T* __restrict g = g_.data() + i * d;
    T* __restrict p = p_.data() + i * n_tokens;
    for (std::size_t r = 0; r < d; ++r) {
      T sum = 0;
      for (std::size_t c = 0; c < d; ++c) sum += w_[r * d + c] * z[c];
      v[r] = sum;
    }
    for (std::size_t t = 0; t < n_tokens; ++t) {
      T sum = 0;
      for (std::size_t c = 0; c < d; ++c) sum += x[t * d + c] * v[c];
      p[t] = sum;
    }
    T largest = p[0], total = 0, margin = 0;
    for (std::size_t t = 1; t < n_tokens; ++t) largest = p[t] > largest ? p[t] : largest;
    for (std::size_t t = 0; t < n_tokens; ++t) p[t] = std::exp(p[t] - largest);
    for (std::size_t t = 0; t < n_tokens; ++t) total += p[t], margin += p[t] * gamma[t];
    margin /= total;
    m_[i] = margin;
    const T slope = -1 / ((1 + std::exp(margin)) * total * static_cast<T>(data_.n));
    for (std::size_t c = 0; c < d; ++c) g[c] = 0;
    for (std::size_t t = 0; t < n_tokens; ++t) {
      const T r = slope * p[t] * (gamma[t] - margin);
      for (std::size_t c = 0; c < d; ++c) g[c] += r * x[t * d + c];
    }
  }

  void step(T step_size) {
    const std::size_t d = data_.d;
#pragma omp parallel for num_threads(threads_) if (threads_ > 1)
    for (std::size_t i = 0; i < data_.n; ++i) sample(i);
    T squares = 0;
#pragma omp parallel for num_threads(threads_) reduction(+ : squares) if (threads_ > 1)
    for (std::size_t r = 0; r < d; ++r) {
      T* __restrict row = gradient_.data() + r * d;
      for (std::size_t c = 0; c < d; ++c) row[c] = 0;
      for (std::size_t i = 0; i < data_.n; ++i) {
        const T factor = g_[i * d + r];
        const T* __restrict z = data_.queries.data() + i * d;
        for (std::size_t c = 0; c < d; ++c) row[c] += factor * z[c];
      }
      for (std::size_t c = 0; c < d; ++c) squares += row[c] * row[c];
    }
    const T scale = step_size / std::sqrt(squares);
    for (std::size_t k = 0; k < d * d; ++k) w_[k] -= scale * gradient_[k];
  }

  const Data<T>& data_;
  int threads_;
  std::vector<T> w_, v_, g_, p_, m_, gradient_;
};

}  // namespace
}  // namespace softstep::peers

int main(int argc, char** argv) {
  using namespace softstep::peers;
  return serve(argc, argv, {"loops"}, "g++ " __VERSION__,
               []<class T>(const std::string&, const Data<T>& data, int threads) {
                 return std::unique_ptr<Variant<T>>(new Loops<T>(data, threads));
               });
}
