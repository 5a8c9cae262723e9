// A safetensors file with any bytes, through every reader of data: it is refused as an InvalidArgument in one
// line, or what is read can be read to its end and is the same whichever way it is read.

#include <cmath>
#include <string>

#include "memory_file.h"
#include "softstep/dataset.h"
#include "softstep/multiclass.h"

using namespace softstep;
using fuzz::require;

namespace {

template <class Read>
void attempt(const Read& read) {
  try {
    read();
  } catch (const InvalidArgument& error) {
    require(std::string(error.what()).find('\n') == std::string::npos);
  }
}

template <class T>
void read_all(const BatchView<T>& view) {
  require(view.n_samples > 0 && view.dim > 0);
  double sum = 0.0;
  for (std::size_t i = 0; i < view.n_samples; ++i) {
    require(view.labels[i] == 1 || view.labels[i] == -1);
    for (std::size_t t = 0; t < view.tokens_of(i); ++t)
      for (std::size_t j = 0; j < view.dim; ++j) {
        const T x = view.sample(i)[t * view.row_stride() + j];
        require(std::isfinite(x));
        sum += static_cast<double>(x);
      }
    for (std::size_t q = 0; q < view.queries_of(i); ++q) {
      require(view.query_weight(i, q) > 0.0);
      for (std::size_t j = 0; j < view.dim; ++j) require(std::isfinite(view.query(i, q)[j]));
    }
  }
  volatile double used = sum;
  (void)used;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size > 1 << 16) return 0;
  const fuzz::MemoryFile file(bytes, size);
  const std::string path = file.path();
  bool in_double = false, in_float = false;
  attempt([&] {
    read_all(load_dataset<double>(path).view());
    in_double = true;
  });
  attempt([&] {
    read_all(load_dataset<float>(path).view());
    in_float = true;
  });
  require(in_double || !in_float);  // what float holds, double does
  attempt([&] {
    const HalfDataset halves = load_half_dataset(path);
    require(in_float && in_16_bits(stored_type(path)));
    require(halves.view().tokens.size() >= halves.view().rest.dim);
  });
  attempt([&] {
    for (const NamedTensor& tensor : load_tensors(path)) {
      std::size_t count = 1;
      for (const std::size_t n : tensor.shape) count *= n;
      require(count == tensor.values.size());
    }
  });
  attempt([&] { load_weights(path, 3); });
  attempt([&] { load_selected(path); });
  attempt([&] { load_multiclass_data(path).validate(); });
  return 0;
}
