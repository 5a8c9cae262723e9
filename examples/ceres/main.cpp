// softstep as a Ceres GradientProblem. Usage: example DATA TRAINED (safetensors files).

#include <ceres/ceres.h>

#include "problem.h"

namespace {

using example::Objective;

class Function final : public ceres::FirstOrderFunction {
 public:
  Function(example::Problem& problem, Objective objective, double penalty)
      : problem_(problem), objective_(objective), penalty_(penalty) {}
  bool Evaluate(const double* w, double* cost, double* gradient) const override {
    return problem_.evaluate(objective_, penalty_, w, cost, gradient);
  }
  int NumParameters() const override { return static_cast<int>(problem_.size()); }

 private:
  example::Problem& problem_;
  Objective objective_;
  double penalty_;
};

std::string minimise(example::Problem& problem, Objective objective, double penalty, std::vector<double>& w) {
  ceres::GradientProblem of(new Function(problem, objective, penalty));
  ceres::GradientProblemSolver::Options options;
  options.line_search_direction_type = ceres::LBFGS;
  options.max_num_iterations = 2000;
  options.function_tolerance = 0.0;
  options.gradient_tolerance = 1e-12;
  options.parameter_tolerance = 0.0;
  options.logging_type = ceres::SILENT;
  ceres::GradientProblemSolver::Summary summary;
  ceres::Solve(options, of, w.data(), &summary);
  return ceres::TerminationTypeToString(summary.termination_type);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: example DATA TRAINED"), 2;
  const auto fresh = [&] { return example::Problem(argv); };
  {
    example::Problem problem = fresh();
    std::vector<double> w(problem.size(), 0.0);
    const std::string ending = minimise(problem, Objective::plain_loss, 0.0, w);
    problem.report("Ceres L-BFGS", "plain loss", w, ending);
  }
  {
    example::Problem problem = fresh();
    std::vector<double> w = problem.far_out();
    const std::string ending = minimise(problem, Objective::plain_loss, 0.0, w);
    problem.report("Ceres L-BFGS", "plain loss from far out", w,
                   ending + (problem.underflows ? ", the gradient underflows" : ""));
  }
  {
    example::Problem problem = fresh();
    std::vector<double> w = problem.far_out();
    const std::string ending = minimise(problem, Objective::log_gap, 0.0, w);
    problem.report("Ceres L-BFGS", "log gap from far out", w, ending);
  }
  example::Problem problem = fresh();
  std::string ending;
  const std::vector<double> w = example::along_the_path(
      std::vector<double>(problem.size(), 0.0), [&](double penalty, std::vector<double>& at) {
        ending = minimise(problem, Objective::log_gap, penalty, at);
      });
  problem.report("Ceres L-BFGS", "log gap along the path", w, ending);
}
