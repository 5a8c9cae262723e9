#include "support/isas.h"

#include <stdexcept>

namespace softstep::test {

namespace {
std::set<std::string>& ran() {
  static std::set<std::string> names;
  return names;
}
}  // namespace

std::vector<const simd::Isa*> runnable_isas() {
  std::size_t n = 0;
  const simd::Isa* table = simd::isa_table(n);
  std::vector<const simd::Isa*> result;
  for (std::size_t i = 0; i < n; ++i)
    if (table[i].runnable) result.push_back(&table[i]);
  if (result.empty()) throw std::logic_error("no instruction set can run here");
  return result;
}

void record_isa(const std::string& name) { ran().insert(name); }
const std::set<std::string>& recorded_isas() { return ran(); }

}  // namespace softstep::test
