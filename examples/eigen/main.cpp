// A training loop of one's own in Eigen. Usage: example DATA TRAINED (safetensors files).
//
// The gradient comes as mantissa and exponent. A plain step W -= eta G dies where e^exponent is 0; a
// normalised step needs the mantissa alone, and a Polyak step the quotient of gap and squared norm, whose
// exponents cancel to one that is a number.

#include <softstep/eigen.h>

#include "problem.h"

namespace {

using Matrix = softstep::RowMajorMatrix<double>;
enum class Step { plain, normalised, polyak };

// `n_steps` steps from W; returns how many of them moved W.
int descend(const softstep::AttentionModel<double>& model, Step step, int n_steps, Matrix& w) {
  const auto space = model.make_workspace();
  softstep::Evaluation<double> at;
  const auto dim = static_cast<std::size_t>(w.rows());
  int moved = 0;
  for (int k = 0; k < n_steps; ++k) {
    const std::span<const double> block(w.data(), static_cast<std::size_t>(w.size()));
    model.evaluate(softstep::Point<double>(&block, 1), at, *space,
                   softstep::want_gradient | softstep::want_loss_gap);
    const softstep::BlockGradient<double>& gradient = at.gradients[0];
    const auto mantissa = softstep::as_matrix(gradient.values, dim);
    double eta = 0.0;
    switch (step) {
      case Step::plain:
        eta = std::exp(gradient.exponent);
        break;
      case Step::normalised:
        eta = 1.0 / gradient.norm;
        break;
      case Step::polyak:  // 2 (L - L*) / |G|^2 times G
        eta = 2.0 * at.loss_gap.mantissa / (gradient.norm * gradient.norm) *
              std::exp(at.loss_gap.exponent - gradient.exponent);
        break;
    }
    if (!(eta > 0.0)) break;
    w -= eta * mantissa;
    ++moved;
  }
  return moved;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: example DATA TRAINED"), 2;
  example::Problem problem(argv);

  // The tokens as a matrix of Eigen's, and a batch that looks at it.
  const softstep::BatchView<double>& view = problem.data.view();
  if (view.offsets != nullptr) return std::puts("this example takes samples of one length"), 2;
  const auto dim = static_cast<Eigen::Index>(view.dim);
  const Matrix tokens =
      Eigen::Map<const Matrix>(view.tokens, static_cast<Eigen::Index>(view.n_samples * view.n_tokens), dim);
  softstep::BatchView<double> batch = softstep::batch_of<double>(tokens, view.n_samples);
  batch.labels = view.labels;
  batch.decoder = view.decoder;
  batch.query_index = view.query_index;
  batch.queries = view.queries;
  const softstep::AttentionModel<double> model(batch);

  const auto run = [&](const char* what, Step step, int n_steps, Matrix w) {
    problem.evaluations = n_steps;
    const int moved = descend(model, step, n_steps, w);
    problem.report(
        "Eigen, own loop", what, {w.data(), w.data() + w.size()},
        moved == n_steps ? "took all steps" : "the step is 0 after " + std::to_string(moved) + " steps");
  };
  const Matrix zero = Matrix::Zero(dim, dim);
  const std::vector<double> far = problem.far_out();
  const Matrix far_out = Eigen::Map<const Matrix>(far.data(), dim, dim);
  run("plain gradient", Step::plain, 20000, zero);
  run("plain gradient, far out", Step::plain, 20000, far_out);
  run("normalised mantissa, far out", Step::normalised, 200000, far_out);
  run("normalised mantissa", Step::normalised, 20000, zero);
  run("Polyak of scaled pairs", Step::polyak, 20000, zero);
}
