// The step in Eigen, compiled for the machine: once with Eigen's own products, once with EIGEN_USE_BLAS.
// Everything is allocated beforehand; a sample's products are taken as matrix-vector products or lazily.

#include <Eigen/Core>

#include "worker.h"

namespace softstep::peers {
namespace {

#ifdef EIGEN_USE_BLAS
constexpr const char* products = "blas";
#else
constexpr const char* products = "own";
#endif

template <class T>
class Step final : public Variant<T> {
 public:
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Row = Eigen::Matrix<T, 1, Eigen::Dynamic>;
  using View = Eigen::Map<const Matrix>;

  Step(const Data<T>& data, int threads, bool lazy)
      : data_(data),
        threads_(threads),
        lazy_(lazy),
        v_(data.n, data.d),
        g_(data.n, data.d),
        p_(data.n, data.n_tokens),
        r_(data.n, data.n_tokens),
        gradient_(data.d, data.d),
        m_(data.n) {
    Eigen::setNbThreads(threads);
  }
  void reset() override { w_ = View(data_.weights.data(), d(), d()); }
  double advance(std::int64_t steps, double step_size) override {
    return seconds_of([&] {
      for (std::int64_t k = 0; k < steps; ++k) step(static_cast<T>(step_size));
    });
  }
  double loss() override {
    step(T(0));
    return mean_loss(m_);
  }
  std::vector<T> weights() const override { return {w_.data(), w_.data() + w_.size()}; }

 private:
  Eigen::Index n() const { return static_cast<Eigen::Index>(data_.n); }
  Eigen::Index d() const { return static_cast<Eigen::Index>(data_.d); }

  template <bool lazy>
  void sample(Eigen::Index i) {
    const auto n_tokens = static_cast<Eigen::Index>(data_.n_tokens);
    const View x(data_.sample(static_cast<std::size_t>(i)), n_tokens, d());
    const Eigen::Map<const Row> gamma(data_.scores.data() + i * n_tokens, n_tokens);
    auto p = p_.row(i);
    auto r = r_.row(i);
    if constexpr (lazy)
      p.transpose() = x.lazyProduct(v_.row(i).transpose());
    else
      p.transpose().noalias() = x * v_.row(i).transpose();
    p = (p.array() - p.maxCoeff()).exp();
    p /= p.sum();
    const T margin = p.dot(gamma);
    m_[static_cast<std::size_t>(i)] = margin;
    const T slope = -1 / ((1 + std::exp(margin)) * static_cast<T>(data_.n));
    r = slope * p.array() * (gamma.array() - margin);
    if constexpr (lazy)
      g_.row(i) = r.lazyProduct(x);
    else
      g_.row(i).noalias() = r * x;
  }

  void step(T step_size) {
    const View z(data_.queries.data(), n(), d());
    v_.noalias() = z * w_.transpose();
#pragma omp parallel for num_threads(threads_) if (threads_ > 1)
    for (Eigen::Index i = 0; i < n(); ++i) lazy_ ? sample<true>(i) : sample<false>(i);
    gradient_.noalias() = g_.transpose() * z;
    w_ -= (step_size / gradient_.norm()) * gradient_;
  }

  const Data<T>& data_;
  int threads_;
  bool lazy_;
  Matrix w_, v_, g_, p_, r_, gradient_;
  std::vector<T> m_;
};

}  // namespace
}  // namespace softstep::peers

int main(int argc, char** argv) {
  using namespace softstep::peers;
  const std::string own = products;
  const std::string version = std::to_string(EIGEN_WORLD_VERSION) + "." +
                              std::to_string(EIGEN_MAJOR_VERSION) + "." + std::to_string(EIGEN_MINOR_VERSION);
  return serve(argc, argv, {own + "-gemv", own + "-lazy"}, version,
               []<class T>(const std::string& name, const Data<T>& data, int threads) {
                 const bool lazy = name.find("lazy") != std::string::npos;
                 return std::unique_ptr<Variant<T>>(new Step<T>(data, threads, lazy));
               });
}
