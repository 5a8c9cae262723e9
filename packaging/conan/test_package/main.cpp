#include <softstep/softstep.h>

#include <cstdio>

int main() {
  const auto data = softstep::generate({.n_samples = 4, .n_tokens = 3, .dim = 20});
  const auto limit = softstep::solve_max_margin(data.view());
  std::printf("test package: ran softstep %s, %s\n", softstep::version, softstep::to_string(limit.status));
  return limit.status == softstep::MaxMarginStatus::optimal ? 0 : 1;
}
