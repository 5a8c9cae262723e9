#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "softstep/export.h"
#include "softstep/number_type.h"
#include "softstep/scaled.h"

namespace softstep {

/// One trained array of a model: W, u, K, Q, p or w. n_rows x n_cols, row-major.
struct BlockShape {
  std::string name = {};   ///< "weights", "decoder"
  std::size_t n_rows = 0;  ///< rows
  std::size_t n_cols = 0;  ///< columns
  /// Entries.
  std::size_t size() const { return n_rows * n_cols; }
};

/// Where a model is evaluated: its blocks, in the model's order.
template <NumberType T>
using Point = std::span<const std::span<const T>>;

/// The blocks of a state, or of anything kept as vectors, as a Point.
template <NumberType T>
std::vector<std::span<const T>> views_of(const std::vector<std::vector<T>>& blocks) {
  return {blocks.begin(), blocks.end()};
}

/// dL/d(block) = mantissa * exp(exponent); each block with an exponent of its own.
template <NumberType T>
struct SOFTSTEP_EXPORT BlockGradient {
  /// The mantissa, n_rows x n_cols row-major, unless `into` is set.
  std::vector<T> values = {};
  /// Memory of the caller's that the mantissa is written to in place of `values`: of the block's size, or
  /// empty.
  std::span<T> into = {};
  double exponent = 0.0;  ///< natural logarithm; -infinity where the gradient is exactly zero
  double norm = 0.0;      ///< Frobenius norm of the mantissa

  /// The mantissa, wherever it was written.
  std::span<const T> mantissa() const { return into.empty() ? std::span<const T>(values) : into; }
  /// For a Model: where to write. Throws InvalidArgument where `into` has another size.
  std::span<T> room(std::size_t size);
  /// Norm of the gradient itself.
  Scaled norm_scaled() const { return {norm, exponent}; }

  /// The plain gradient, mantissa * exp(exponent), into `out` (of the same size). Returns true where it is
  /// not zero but the plain numbers are: they underflow. Throws InvalidArgument for another size.
  bool plain(std::span<T> out) const;
};

/// What evaluate() is asked for; everything else in Evaluation is left as it was.
enum Want : unsigned {
  want_gradient = 1u,   ///< gradients
  want_loss_gap = 2u,   ///< loss_gap, optimal_loss
  want_attention = 4u,  ///< attention of the optimal tokens
  want_loss = 8u,       ///< loss, loss_scaled and accuracy, which no step rule needs
  want_all = 15u        ///< all of these
};

/// Loss, gap and gradients at one point.
template <NumberType T>
struct Evaluation {
  double loss = 0.0;                             ///< L, plain
  Scaled loss_scaled = {};                       ///< L where a plain number underflows
  Scaled loss_gap = {};                          ///< L - L*, without cancellation
  double optimal_loss = 0.0;                     ///< L* that the gap was measured from
  std::vector<BlockGradient<T>> gradients = {};  ///< one per block
  /// Attention models: min_i p_i,opt. NaN elsewhere.
  double min_optimal_attention = std::numeric_limits<double>::quiet_NaN();
  /// Attention models: log10 max_i (1 - p_i,opt), right far below 1e-16. NaN elsewhere.
  double log10_one_minus_optimal_attention = std::numeric_limits<double>::quiet_NaN();
  /// Share of samples with a positive margin; NaN where a model has none.
  double accuracy = std::numeric_limits<double>::quiet_NaN();
};

/// Some of a model's samples, by index. The default is all of them.
struct SampleSet {
  std::span<const std::size_t> indices = {};  ///< null: all
  /// Whether it stands for all samples.
  bool is_all() const { return indices.data() == nullptr; }
  /// How many samples these are of `n_samples`.
  std::size_t size(std::size_t n_samples) const { return is_all() ? n_samples : indices.size(); }
  /// The index of the sample in this row.
  std::size_t operator[](std::size_t row) const { return is_all() ? row : indices[row]; }
};

/// A matrix of a model whose norm and direction are watched: made of whole blocks.
struct Observable {
  std::string name = {};        ///< "weights", "decoder"
  std::size_t n_rows = 0;       ///< rows
  std::size_t n_cols = 0;       ///< columns
  std::size_t first_block = 0;  ///< the first block that it is made of
  std::size_t n_blocks = 1;     ///< of how many blocks it is made
};

/// Memory that one evaluation at a time needs, and whatever a model wants to find again at the next. Made by
/// Model::make_workspace.
class SOFTSTEP_EXPORT Workspace {
 public:
  Workspace() = default;
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  virtual ~Workspace() = default;
};

/// A system with any number of trained arrays: its loss, loss gap and gradients, in the form that carries
/// exponents beside mantissas. A model itself does not change when it is evaluated: several threads may
/// evaluate one model at once, each with a workspace of its own. It looks at the caller's data where they
/// lie, and the caller keeps them alive.
///
/// Derive from this class for a model of your own: blocks(), n_samples() and evaluate_at() are enough.
template <NumberType T>
class SOFTSTEP_EXPORT Model {
 public:
  virtual ~Model() = default;
  /// Names and shapes of what is trained.
  virtual const std::vector<BlockShape>& blocks() const = 0;
  /// Samples that the loss is the mean of.
  virtual std::size_t n_samples() const = 0;
  /// What is watched; the first decides when a run has converged. The default: every block by itself.
  virtual std::vector<Observable> observables() const;
  /// Observable k of these blocks. Throws InvalidArgument where there is no such observable, or a block has
  /// another size.
  std::vector<double> observe(Point<double> at, std::size_t k) const;
  /// L*; NaN where it depends on the point (Evaluation::optimal_loss), -infinity where L is unbounded below.
  virtual double optimal_loss() const { return 0.0; }
  /// Name of the instruction set that the kernels run on.
  virtual std::string isa() const;
  /// Threads asked for in an evaluation with gradients: 1 where the work does not pay for more.
  virtual int threads_used() const { return 1; }
  /// Says which data, loss and options a saved state belongs to: the same text for the same, in every
  /// process. The default says nothing, and then nothing is checked when a run is resumed.
  virtual std::string identity() const { return {}; }
  /// Memory for one evaluation at a time. The default is empty.
  virtual std::unique_ptr<Workspace> make_workspace() const { return std::make_unique<Workspace>(); }

  /// Evaluates at `at`, the mean over some samples. Non-finite blocks give non-finite results, never a crash.
  /// Allocates nothing once workspace and `out` have been used with the same samples and `want`. Throws
  /// InvalidArgument where a block has another size than blocks() says, or an index of a sample is not below
  /// n_samples().
  void evaluate(Point<T> at, Evaluation<T>& out, Workspace& space, unsigned want = want_all,
                SampleSet samples = {}) const;
  /// The same with a workspace that belongs to the model: not for several threads at once.
  void evaluate(Point<T> at, Evaluation<T>& out, unsigned want = want_all, SampleSet samples = {});
  void evaluate(const std::vector<std::vector<T>>& at, Evaluation<T>& out, unsigned want = want_all,
                SampleSet samples = {});
  /// The same for a model of one block.
  void evaluate(std::span<const T> block, Evaluation<T>& out, unsigned want = want_all,
                SampleSet samples = {});

  /// Hessian-vector product: out[k] = sum_l (d^2 L / d(block k) d(block l)) direction[l], each with an
  /// exponent of its own. Throws NotSupported where a model (or its loss) has none.
  void hessian_product(Point<T> at, Point<T> direction, std::vector<BlockGradient<T>>& out, Workspace& space,
                       SampleSet samples = {}) const;

 protected:
  Model() = default;
  /// For models that can be moved.
  Model(Model&&) noexcept = default;
  /// As the constructor above.
  Model& operator=(Model&&) noexcept = default;

  /// What evaluate(), observe() and hessian_product() call, with sizes and indices checked.
  virtual void evaluate_at(Point<T> at, Evaluation<T>& out, Workspace& space, unsigned want,
                           SampleSet samples) const = 0;
  /// The default: the observable's one block.
  virtual std::vector<double> observe_at(Point<double> at, std::size_t k) const;
  /// The default throws NotSupported.
  virtual void hessian_product_at(Point<T> at, Point<T> direction, std::vector<BlockGradient<T>>& out,
                                  Workspace& space, SampleSet samples) const;

  /// Throws InvalidArgument unless `at` has a block of the right size for each of blocks(); `name` is the
  /// argument's.
  void check(Point<T> at, const char* name) const;

 private:
  template <NumberType U>
  void check_blocks(Point<U> at, const char* name) const;
  void check(SampleSet samples) const;
  std::unique_ptr<Workspace> own_;
};

extern template struct BlockGradient<float>;
extern template struct BlockGradient<double>;
extern template class Model<float>;
extern template class Model<double>;

}  // namespace softstep
