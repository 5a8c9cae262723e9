#include <softstep/softstep.h>

int main() {
  const auto data = softstep::generate({.n_samples = 4, .n_tokens = 3, .dim = 20});
  return softstep::solve_max_margin(data.view()).status == softstep::MaxMarginStatus::optimal ? 0 : 1;
}
