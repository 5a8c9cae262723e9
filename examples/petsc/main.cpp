// softstep under TAO and MPI. Usage: mpirun -n 2 example DATA TRAINED (safetensors files).
//
// Every process evaluates its own samples. Gaps and gradients are added over processes as mantissa and
// exponent: the largest exponent comes first, then mantissas are brought to it and summed. Were plain numbers
// added, the sum would be 0 as soon as each of them is.

#include <petsctao.h>

#include <algorithm>
#include <memory>

#include "problem.h"

namespace {

using example::Objective;

struct Shared {
  example::Problem& problem;
  Objective objective = Objective::log_gap;
  double penalty = 0.0;
  std::vector<std::size_t> own = {};  // samples of this process
  std::unique_ptr<softstep::Workspace> space = {};
  softstep::Evaluation<double> at = {};
  VecScatter scatter = nullptr;
  Vec whole = nullptr;
  bool underflows = false;
};

// mantissas times e^exponent, added over the processes; the common exponent is returned.
double add_scaled(std::vector<double>& mantissas, double exponent) {
  double largest = exponent;
  MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, PETSC_COMM_WORLD);
  if (!std::isfinite(largest)) return largest;  // all are exactly zero
  const double factor = std::exp(exponent - largest);
  for (double& x : mantissas) x *= factor;
  MPI_Allreduce(MPI_IN_PLACE, mantissas.data(), static_cast<int>(mantissas.size()), MPI_DOUBLE, MPI_SUM,
                PETSC_COMM_WORLD);
  return largest;
}

PetscErrorCode evaluate(Tao, Vec w, PetscReal* value, Vec gradient, void* user) {
  auto& shared = *static_cast<Shared*>(user);
  example::Problem& problem = shared.problem;
  ++problem.evaluations;
  PetscFunctionBeginUser;
  PetscCall(VecScatterBegin(shared.scatter, w, shared.whole, INSERT_VALUES, SCATTER_FORWARD));
  PetscCall(VecScatterEnd(shared.scatter, w, shared.whole, INSERT_VALUES, SCATTER_FORWARD));
  const PetscScalar* numbers = nullptr;
  PetscCall(VecGetArrayRead(shared.whole, &numbers));
  const std::span<const double> at(numbers, problem.size());
  problem.model.evaluate(softstep::Point<double>(&at, 1), shared.at, *shared.space, softstep::want_all,
                         {shared.own});
  // A mean over the own samples becomes their part of the mean over all.
  const double share =
      static_cast<double>(shared.own.size()) / static_cast<double>(problem.model.n_samples());
  std::vector<double> gap{share * shared.at.loss_gap.mantissa};
  const double gap_exponent = add_scaled(gap, shared.at.loss_gap.exponent);
  std::vector<double> g = shared.at.gradients[0].values;
  for (double& x : g) x *= share;
  const double g_exponent = add_scaled(g, shared.at.gradients[0].exponent);
  double loss = share * shared.at.loss;
  MPI_Allreduce(MPI_IN_PLACE, &loss, 1, MPI_DOUBLE, MPI_SUM, PETSC_COMM_WORLD);

  // The gradient of log(L - L*) is that of L over the gap: the exponents cancel.
  const bool plain = shared.objective == Objective::plain_loss;
  const double factor = plain ? std::exp(g_exponent) : std::exp(g_exponent - gap_exponent) / gap[0];
  shared.underflows = factor == 0.0;
  double squares = 0.0;
  for (const double x : at) squares += x * x;
  *value = (plain ? loss : std::log(gap[0]) + gap_exponent) + 0.5 * shared.penalty * squares;
  PetscInt begin = 0, end = 0;
  PetscScalar* out = nullptr;
  PetscCall(VecGetOwnershipRange(gradient, &begin, &end));
  PetscCall(VecGetArray(gradient, &out));
  for (PetscInt k = begin; k < end; ++k) {
    const auto n = static_cast<std::size_t>(k);
    out[k - begin] = factor * g[n] + shared.penalty * at[n];
  }
  PetscCall(VecRestoreArray(gradient, &out));
  PetscCall(VecRestoreArrayRead(shared.whole, &numbers));
  PetscFunctionReturn(0);
}

// Minimises from w, and leaves the solution there, on every process.
std::string minimise(Shared& shared, std::vector<double>& w) {
  Tao tao = nullptr;
  Vec at = nullptr;
  const auto n = static_cast<PetscInt>(w.size());
  VecCreateMPI(PETSC_COMM_WORLD, PETSC_DECIDE, n, &at);
  VecScatterCreateToAll(at, &shared.scatter, &shared.whole);
  PetscInt begin = 0, end = 0;
  VecGetOwnershipRange(at, &begin, &end);
  for (PetscInt k = begin; k < end; ++k) VecSetValue(at, k, w[static_cast<std::size_t>(k)], INSERT_VALUES);
  VecAssemblyBegin(at);
  VecAssemblyEnd(at);
  TaoCreate(PETSC_COMM_WORLD, &tao);
  TaoSetType(tao, TAOLMVM);
  TaoSetSolution(tao, at);
  TaoSetObjectiveAndGradient(tao, nullptr, evaluate, &shared);
  TaoSetTolerances(tao, 1e-12, 0.0, 0.0);
  TaoSetMaximumIterations(tao, 2000);
  TaoSetMaximumFunctionEvaluations(tao, 20000);
  TaoSetFromOptions(tao);
  PetscPushErrorHandler(PetscIgnoreErrorHandler, nullptr);
  const bool gave_up = TaoSolve(tao) != 0;
  PetscPopErrorHandler();
  TaoConvergedReason reason = TAO_CONTINUE_ITERATING;
  TaoGetConvergedReason(tao, &reason);
  VecScatterBegin(shared.scatter, at, shared.whole, INSERT_VALUES, SCATTER_FORWARD);
  VecScatterEnd(shared.scatter, at, shared.whole, INSERT_VALUES, SCATTER_FORWARD);
  const PetscScalar* numbers = nullptr;
  VecGetArrayRead(shared.whole, &numbers);
  std::copy(numbers, numbers + w.size(), w.begin());
  VecRestoreArrayRead(shared.whole, &numbers);
  TaoDestroy(&tao);
  VecScatterDestroy(&shared.scatter);
  VecDestroy(&shared.whole);
  VecDestroy(&at);
  return gave_up ? "an error of the line search" : TaoConvergedReasons[reason];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::puts("usage: example DATA TRAINED"), 2;
  if (PetscInitialize(&argc, &argv, nullptr, nullptr) != 0) return 1;
  int rank = 0, n_processes = 1;
  MPI_Comm_rank(PETSC_COMM_WORLD, &rank);
  MPI_Comm_size(PETSC_COMM_WORLD, &n_processes);
  {
    const auto run = [&](const char* what, Objective objective, bool far, bool path) {
      example::Problem problem(argv);
      Shared shared{.problem = problem, .objective = objective};
      shared.space = problem.model.make_workspace();
      for (std::size_t i = static_cast<std::size_t>(rank); i < problem.model.n_samples();
           i += static_cast<std::size_t>(n_processes))
        shared.own.push_back(i);
      std::vector<double> w = far ? problem.far_out() : std::vector<double>(problem.size(), 0.0);
      std::string ending;
      if (path)
        w = example::along_the_path(w, [&](double penalty, std::vector<double>& at) {
          shared.penalty = penalty;
          ending = minimise(shared, at);
        });
      else
        ending = minimise(shared, w);
      if (shared.underflows) ending += ", the gradient underflows";
      if (rank == 0) problem.report("TAO LMVM, 2 processes", what, w, ending);
    };
    run("plain loss", Objective::plain_loss, false, false);
    run("plain loss from far out", Objective::plain_loss, true, false);
    run("log gap from far out", Objective::log_gap, true, false);
    run("log gap along the path", Objective::log_gap, false, true);
  }
  return PetscFinalize() == 0 ? 0 : 1;
}
