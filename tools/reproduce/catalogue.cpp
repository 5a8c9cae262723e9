#include <algorithm>

#include "entry.h"

namespace softstep::program::reproduce {

const std::vector<Entry>& catalogue() {
  static const std::vector<Entry> table = {
#define SOFTSTEP_REPRODUCTION(name) name##_entry,
#include "reproduce/catalogue.def"
#undef SOFTSTEP_REPRODUCTION
  };
  return table;
}

bool Result::passed() const {
  return !checks.empty() &&
         std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.passed(); });
}

}  // namespace softstep::program::reproduce
