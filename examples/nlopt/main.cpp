// softstep as an objective of NLopt. Usage: example DATA TRAINED (safetensors files).

#include <nlopt.h>
#include <cstdio>

#include "problem.h"

namespace {

using example::Objective;

struct Run {
  example::Problem& problem;
  Objective objective;
  double penalty;
};

double value(unsigned, const double* w, double* gradient, void* user) {
  const auto* run = static_cast<Run*>(user);
  double out = 0.0;
  // NLopt knows no "not here"; a value of minus infinity ends the run.
  if (!run->problem.evaluate(run->objective, run->penalty, w, &out, gradient)) return -HUGE_VAL;
  return out;
}

// |W|^2 / R^2 - 1
double ball(unsigned n, const double* w, double* gradient, void* user) {
  const double radius = *static_cast<const double*>(user);
  double sum = 0.0;
  for (unsigned k = 0; k < n; ++k) {
    sum += (w[k] / radius) * (w[k] / radius);
    if (gradient != nullptr) gradient[k] = 2.0 * w[k] / (radius * radius);
  }
  return sum - 1.0;
}

std::string minimise(nlopt_algorithm algorithm, Run run, double radius, int most, std::vector<double>& w) {
  nlopt_opt of = nlopt_create(algorithm, static_cast<unsigned>(w.size()));
  nlopt_set_min_objective(of, value, &run);
  if (radius > 0.0) nlopt_add_inequality_constraint(of, ball, &radius, 1e-12);
  nlopt_set_maxeval(of, most);
  nlopt_set_xtol_rel(of, 1e-14);
  double last = 0.0;
  const nlopt_result result = nlopt_optimize(of, w.data(), &last);
  nlopt_destroy(of);
  return nlopt_result_to_string(result);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::puts("usage: example DATA TRAINED"), 2;
  const auto run_from = [&](const char* name, nlopt_algorithm algorithm, const char* what, bool far,
                            Objective objective, double radius) {
    example::Problem problem(argv);
    std::vector<double> w = far ? problem.far_out() : std::vector<double>(problem.size(), 0.0);
    std::string ending = minimise(algorithm, {problem, objective, 0.0}, radius, 4000, w);
    if (problem.underflows) ending += ", the gradient underflows";
    problem.report(name, what, w, ending);
  };
  run_from("NLopt L-BFGS", NLOPT_LD_LBFGS, "plain loss", false, Objective::plain_loss, 0.0);
  run_from("NLopt L-BFGS", NLOPT_LD_LBFGS, "plain loss from far out", true, Objective::plain_loss, 0.0);
  run_from("NLopt L-BFGS", NLOPT_LD_LBFGS, "log gap from far out", true, Objective::log_gap, 0.0);
  {
    example::Problem problem(argv);
    std::string ending;
    const auto w = example::along_the_path(
        std::vector<double>(problem.size(), 0.0), [&](double penalty, std::vector<double>& at) {
          ending = minimise(NLOPT_LD_LBFGS, {problem, Objective::log_gap, penalty}, 0.0, 2000, at);
        });
    problem.report("NLopt L-BFGS", "log gap along the path", w, ending);
  }
  run_from("NLopt MMA", NLOPT_LD_MMA, "plain loss, |W| <= 1e4", false, Objective::plain_loss, 1e4);
  // Ball by ball: where the last one ended is, ten times as long, where the next begins.
  example::Problem problem(argv);
  std::vector<double> w(problem.size(), 0.0);
  std::string ending;
  for (double radius = 10.0; radius < 2e4; radius *= 10.0) {
    ending = minimise(NLOPT_LD_MMA, {problem, Objective::log_gap, 0.0}, radius, 4000, w);
    if (radius < 5e3)
      for (double& x : w) x *= 10.0;
  }
  problem.report("NLopt MMA", "log gap, |W| <= 1e1 .. 1e4", w, ending);
}
