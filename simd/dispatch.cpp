#include "simd/dispatch.h"

#include <cstring>

#include "simd/cpu.h"
#include "simd/families.def"

namespace softstep::simd {

// Rows of another processor family are known by name but not compiled.
#define SOFTSTEP_COMPILED(name)             \
  namespace name {                          \
  extern const Kernels<float> f32_kernels;  \
  extern const Kernels<double> f64_kernels; \
  }
#define SOFTSTEP_ABSENT(name)
#define SOFTSTEP_ISA(name, family, arch, condition, flags) SOFTSTEP_FAMILY_##family(name)
#include "simd/isas.def"
#undef SOFTSTEP_ISA
#undef SOFTSTEP_COMPILED
#undef SOFTSTEP_ABSENT

namespace {

#define SOFTSTEP_COMPILED(name) true, &name::f32_kernels, &name::f64_kernels
#define SOFTSTEP_ABSENT(name) false, nullptr, nullptr

struct Row {
  const char* name;
  bool supported;
  bool compiled;
  const Kernels<float>* f32;
  const Kernels<double>* f64;
};

struct Table {
  static constexpr std::size_t capacity = 16;
  Isa rows[capacity];
  std::size_t size = 0;

  Table() {
    const Cpu cpu = detect_cpu();
    const Row all[] = {
#define SOFTSTEP_ISA(name, family, arch, condition, flags) {#name, condition, SOFTSTEP_FAMILY_##family(name)},
#include "simd/isas.def"
#undef SOFTSTEP_ISA
    };
    static_assert(sizeof(all) / sizeof(Row) <= capacity);
    for (const Row& row : all)
      rows[size++] = {row.name, row.compiled, row.compiled && row.supported, row.f32, row.f64};
  }
};

const Table& table() {
  static const Table instance;
  return instance;
}

}  // namespace

const Isa* isa_table(std::size_t& n_rows) {
  n_rows = table().size;
  return table().rows;
}

const Isa* find_isa(const char* name) {
  for (std::size_t i = 0; i < table().size; ++i)
    if (std::strcmp(table().rows[i].name, name) == 0) return &table().rows[i];
  return nullptr;
}

const Isa& best_isa() {
  std::size_t best = 0;  // scalar always runs
  for (std::size_t i = 0; i < table().size; ++i)
    if (table().rows[i].runnable) best = i;
  return table().rows[best];
}

}  // namespace softstep::simd
