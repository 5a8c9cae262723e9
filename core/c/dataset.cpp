#include "softstep/dataset.h"

#include <algorithm>

#include "core/c/arrays.h"
#include "core/c/handles.h"
#include "softstep/large_data.h"

namespace softstep::c {
namespace {

template <class T>
softstep_batch batch_of_view(const BatchView<T>& view, softstep_type type, const void* tokens) {
  softstep_batch out{};
  out.type = type;
  out.tokens = tokens;
  out.n_samples = view.n_samples;
  out.n_tokens = view.n_tokens;
  out.dim = view.dim;
  out.offsets = view.offsets;
  out.token_stride = view.token_stride;
  out.sample_stride = view.sample_stride;
  out.labels = view.labels;
  out.targets = view.targets;
  out.decoder = view.decoder;
  out.query_index = view.query_index;
  out.queries = view.queries;
  out.query_stride = view.query_stride;
  out.all_tokens_are_queries = view.all_tokens_are_queries ? 1 : 0;
  out.n_queries = view.n_queries;
  out.query_offsets = view.query_offsets.data();
  out.query_weights = view.query_weights.data();
  out.n_query_weights = view.query_weights.size();
  return out;
}

softstep_batch batch_of_dataset(const Dataset<double>& data) {
  return batch_of_view(data.view(), SOFTSTEP_F64, data.view().tokens);
}
softstep_batch batch_of_dataset(const Dataset<float>& data) {
  return batch_of_view(data.view(), SOFTSTEP_F32, data.view().tokens);
}
softstep_batch batch_of_dataset(const HalfDataset& data) {
  const HalfBatchView& view = data.view();
  return batch_of_view(view.rest, view.storage == StoredType::f16 ? SOFTSTEP_F16 : SOFTSTEP_BF16,
                       view.tokens.data());
}

GeneratorOptions options_of(const softstep_generate_options* given) {
  const softstep_generate_options in = read(given, "options");
  GeneratorOptions out;
  if (in.generator != nullptr) out.generator = in.generator;
  if (in.n_samples != 0) out.n_samples = in.n_samples;
  if (in.n_tokens != 0) out.n_tokens = in.n_tokens;
  if (in.dim != 0) out.dim = in.dim;
  out.seed = in.seed;
  if (in.signal != 0.0) out.signal = in.signal;
  out.noise = in.noise;
  out.equal_scores = in.equal_scores != 0;
  return out;
}

HalfDataset load_halves(const char* path, softstep_type type, const ReadOptions& options) {
  HalfDataset out = load_half_dataset(path, options);
  const StoredType wanted = type == SOFTSTEP_F16 ? StoredType::f16 : StoredType::bf16;
  if (out.view().storage != wanted)
    throw InvalidArgument("type", std::to_string(type) + " (the file's tokens are of the other 16-bit type)");
  return out;
}

}  // namespace
}  // namespace softstep::c

using namespace softstep;
using namespace softstep::c;

extern "C" {

softstep_status softstep_dataset_generate(const softstep_generate_options* options,
                                          softstep_dataset** dataset) {
  return guarded([&] {
    required(dataset, "dataset");
    auto out = std::make_unique<softstep_dataset>();
    out->of = generate(options_of(options));
    *dataset = hand_out(std::move(out));
  });
}

softstep_status softstep_dataset_load(const char* path, softstep_type type, softstep_dataset** dataset) {
  return softstep_dataset_load_within(path, type, 0, dataset);
}

softstep_status softstep_dataset_load_within(const char* path, softstep_type type, size_t resident_bytes,
                                             softstep_dataset** dataset) {
  return guarded([&] {
    required(path, "path");
    required(dataset, "dataset");
    auto out = std::make_unique<softstep_dataset>();
    const ReadOptions options{.resident_bytes = resident_bytes};
    switch (type) {
      case SOFTSTEP_F64:
        out->of = load_dataset<double>(path, options);
        break;
      case SOFTSTEP_F32:
        out->of = load_dataset<float>(path, options);
        break;
      case SOFTSTEP_F16:
      case SOFTSTEP_BF16:
        out->of = load_halves(path, type, options);
        break;
      default:
        throw InvalidArgument("type", std::to_string(type) + " (need one of softstep_type)");
    }
    *dataset = hand_out(std::move(out));
  });
}

softstep_status softstep_dataset_save(const char* path, const softstep_dataset* dataset) {
  return guarded([&] {
    required(path, "path");
    std::visit(
        [&]<class Data>(const Data& data) {
          if constexpr (std::is_same_v<Data, HalfDataset>)
            throw NotSupported("dataset", "16 bits in place of a file: that file holds it already");
          else
            save_dataset(path, data);
        },
        live(dataset, "dataset")->of);
  });
}

softstep_status softstep_dataset_batch(const softstep_dataset* dataset, softstep_batch* batch) {
  return guarded([&] {
    check_writable(required(batch, "batch"), "batch");
    if (batch->struct_size < sizeof(softstep_batch))
      throw InvalidArgument("batch.struct_size", std::to_string(batch->struct_size) + " (need " +
                                                     std::to_string(sizeof(softstep_batch)) +
                                                     ": a shorter one would leave out what the data mean)");
    write(std::visit([](const auto& data) { return batch_of_dataset(data); }, live(dataset, "dataset")->of),
          batch, "batch");
  });
}

softstep_status softstep_weights_load(const char* path, size_t dim, double* weights) {
  return guarded([&] {
    required(weights, "weights");
    const std::vector<double> found = load_weights(required(path, "path"), dim);
    std::copy(found.begin(), found.end(), weights);
  });
}

softstep_status softstep_weights_save(const char* path, size_t dim, const double* weights) {
  return guarded([&] {
    required(weights, "weights");
    save_weights(required(path, "path"), copied(weights, product(dim, dim, "dim"), "weights"), dim);
  });
}

void softstep_dataset_destroy(softstep_dataset* dataset) { destroy(dataset, "dataset"); }
}
