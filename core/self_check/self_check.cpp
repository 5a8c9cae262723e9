#include "softstep/self_check.h"

#include "core/isa/active_isa.h"
#include "core/self_check/self_check_parts.h"

namespace softstep {

std::vector<CheckRow> self_check(const std::string& isa) {
  std::vector<const simd::Isa*> chosen;
  if (!isa.empty()) {
    chosen.push_back(&resolve_isa(isa));
  } else {
    std::size_t n = 0;
    const simd::Isa* table = simd::isa_table(n);
    for (std::size_t i = 0; i < n; ++i)
      if (table[i].runnable) chosen.push_back(&table[i]);
  }
  std::vector<CheckRow> rows;
  for (const simd::Isa* one : chosen) {
    self_check_parts::check_kernels<float>(*one, rows);
    self_check_parts::check_blocks<float>(*one, rows);
    self_check_parts::check_attention<float>(*one, rows);
    self_check_parts::check_runs<float>(*one, rows);
    self_check_parts::check_run_rules<float>(*one, rows);
    self_check_parts::check_gradients<float>(*one, rows);
    self_check_parts::check_kernels<double>(*one, rows);
    self_check_parts::check_blocks<double>(*one, rows);
    self_check_parts::check_attention<double>(*one, rows);
    self_check_parts::check_runs<double>(*one, rows);
    self_check_parts::check_run_rules<double>(*one, rows);
    self_check_parts::check_gradients<double>(*one, rows);
  }
  return rows;
}

}  // namespace softstep
