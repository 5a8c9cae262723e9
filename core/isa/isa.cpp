#include "softstep/isa.h"

#include <cstdlib>
#include <mutex>

#include "core/data/quoted.h"
#include "core/isa/active_isa.h"
#include "softstep/error.h"

namespace softstep {
namespace {

std::string runnable_names() {
  std::string names;
  for (const IsaInfo& isa : isas())
    if (isa.runnable) names += (names.empty() ? "" : ", ") + isa.name;
  return names;
}

const simd::Isa& runnable_isa(const std::string& name, const std::string& argument) {
  const simd::Isa* isa = simd::find_isa(name.c_str());
  if (isa == nullptr || name != isa->name)  // what stands behind a null character is part of the name
    throw InvalidArgument(
        argument,
        data::quoted(name) + " is not a known instruction set (this CPU can run: " + runnable_names() + ")");
  if (!isa->runnable)
    throw NotSupported(argument, data::quoted(name) + " cannot run here: " +
                                     (isa->compiled ? "this CPU or operating system lacks it"
                                                    : "it is not compiled into this build") +
                                     " (this CPU can run: " + runnable_names() + ")");
  return *isa;
}

std::mutex forced_mutex;
const simd::Isa* forced = nullptr;

}  // namespace

std::vector<IsaInfo> isas() {
  std::size_t n = 0;
  const simd::Isa* rows = simd::isa_table(n);
  std::vector<IsaInfo> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back({rows[i].name, rows[i].compiled, rows[i].runnable});
  return out;
}

std::string active_isa() { return resolve_isa("").name; }

void force_isa(const std::string& name) {
  const simd::Isa* isa = name.empty() || name == "auto" ? nullptr : &runnable_isa(name, "isa");
  const std::lock_guard lock(forced_mutex);
  forced = isa;
}

const simd::Isa& resolve_isa(const std::string& name) {
  if (!name.empty() && name != "auto") return runnable_isa(name, "isa");
  {
    const std::lock_guard lock(forced_mutex);
    if (forced != nullptr) return *forced;
  }
  if (const char* wish = std::getenv("SOFTSTEP_ISA");
      wish != nullptr && *wish != '\0' && std::string(wish) != "auto")
    return runnable_isa(wish, "SOFTSTEP_ISA");
  return simd::best_isa();
}

}  // namespace softstep
