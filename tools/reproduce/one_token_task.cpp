#include "reproduce/one_token_task.h"

#include <algorithm>
#include <cmath>

namespace softstep::program::reproduce {

double Numbers::normal() {
  if (at_ == values_.size()) {
    values_ = normal_values(1 << 16, 1.0, seed_++);
    at_ = 0;
  }
  return values_[at_++];
}

// By the angle of a pair of normal numbers, as x / sqrt(x^2 + y^2) knows it.
std::size_t Numbers::index(std::size_t n) {
  const double x = normal(), y = normal();
  const double turn = (std::atan2(y, x) / 3.14159265358979323846 + 1.0) / 2.0;
  return std::min(n - 1, static_cast<std::size_t>(turn * static_cast<double>(n)));
}

Task::Task(std::size_t n, std::size_t size, Numbers& numbers)
    : length(n), dim(size), code(static_cast<std::size_t>(5.0 * std::log(n))), width(dim + code) {
  double norm = 0.0;
  for (std::size_t j = 0; j < dim; ++j) {
    direction.push_back(numbers.normal());
    norm += direction[j] * direction[j];
  }
  for (double& x : direction) x /= std::sqrt(norm);
  while (codes.size() < length * code) {
    std::vector<double> one;
    for (std::size_t j = 0; j < code; ++j)
      one.push_back(numbers.sign() / std::sqrt(static_cast<double>(code)));
    bool is_new = true;
    for (std::size_t k = 0; k < codes.size(); k += code)
      is_new = is_new && !std::equal(one.begin(), one.end(), codes.begin() + static_cast<std::ptrdiff_t>(k));
    if (is_new) codes.insert(codes.end(), one.begin(), one.end());
  }
}

void draw(const Task& task, std::size_t n_sequences, bool says_place, Numbers& numbers, Sequences& out) {
  out.tokens.clear();
  out.targets.clear();
  out.queries.clear();
  std::vector<double> sequence(task.length * task.width);
  for (std::size_t k = 0; k < n_sequences; ++k) {
    for (std::size_t t = 0; t < task.length; ++t)
      for (std::size_t j = 0; j < task.width; ++j)
        sequence[t * task.width + j] =
            j < task.dim ? numbers.normal() : task.codes[t * task.code + j - task.dim];
    for (std::size_t i = 0; i < task.length; ++i) {
      const std::size_t place = numbers.index(task.length);
      double target = 0.0;
      for (std::size_t j = 0; j < task.dim; ++j)
        target += task.direction[j] * sequence[place * task.width + j];
      out.tokens.insert(out.tokens.end(), sequence.begin(), sequence.end());
      out.targets.push_back(target);
      for (std::size_t j = 0; j < task.width; ++j)
        out.queries.push_back(j < task.dim ? 0.0
                                           : (says_place ? task.codes[place * task.code + j - task.dim]
                                                         : 1.0 / std::sqrt(static_cast<double>(task.code))));
    }
  }
  out.view = {};
  out.view.tokens = out.tokens.data();
  out.view.targets = out.targets.data();
  out.view.queries = out.queries.data();
  out.view.n_samples = out.targets.size();
  out.view.n_tokens = task.length;
  out.view.dim = task.width;
}

void draw_prompts(const Task& task, std::size_t n_sequences, bool in_order_of_queries, Numbers& numbers,
                  Prompts& out) {
  out.inputs.clear();
  out.targets.clear();
  std::vector<double> values(task.length * task.dim);
  for (std::size_t k = 0; k < n_sequences; ++k) {
    for (double& x : values) x = numbers.normal();
    for (std::size_t i = 0; i < task.length; ++i) {
      const std::size_t place = numbers.index(task.length);
      const double* named = values.data() + place * task.dim;
      const double* here = in_order_of_queries ? named : values.data() + i * task.dim;
      double target = 0.0;
      for (std::size_t j = 0; j < task.dim; ++j) target += task.direction[j] * named[j];
      out.targets.push_back(target);
      out.inputs.insert(out.inputs.end(), here, here + task.dim);
      const double* code = task.codes.data() + place * task.code;
      out.inputs.insert(out.inputs.end(), code, code + task.code);
    }
  }
}

}  // namespace softstep::program::reproduce
