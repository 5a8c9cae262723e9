#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "softstep/batch.h"
#include "softstep/export.h"
#include "softstep/stored_type.h"

namespace softstep {

/// A batch together with whatever keeps its memory alive (owned vectors or a mapped file). Copies share
/// storage; the contents are immutable.
template <NumberType T>
class Dataset {
 public:
  Dataset() = default;
  Dataset(const BatchView<T>& view, std::shared_ptr<const void> storage)
      : view_(view), storage_(std::move(storage)) {}
  const BatchView<T>& view() const { return view_; }

 private:
  BatchView<T> view_;
  std::shared_ptr<const void> storage_;
};

/// Tokens in 16 bits together with whatever keeps their memory alive.
class HalfDataset {
 public:
  HalfDataset() = default;
  HalfDataset(const HalfBatchView& view, std::shared_ptr<const void> storage)
      : view_(view), storage_(std::move(storage)) {}
  const HalfBatchView& view() const { return view_; }

 private:
  HalfBatchView view_;
  std::shared_ptr<const void> storage_;
};

/// Plain vectors from which a Dataset is made; empty vectors mean "absent" (as null pointers do in
/// BatchView).
template <NumberType T>
struct DatasetParts {
  std::size_t n_samples = 0, n_tokens = 0, dim = 0;
  std::vector<T> tokens = {};
  std::vector<std::int64_t> offsets = {};
  std::vector<std::int8_t> labels = {};
  std::vector<T> decoder = {};
  std::vector<std::int64_t> query_index = {};
  std::vector<T> queries = {};
  bool all_tokens_are_queries = false;
  std::size_t n_queries = 1;
  std::vector<std::int64_t> query_offsets = {};
  std::vector<T> query_weights = {};
};

/// Takes ownership of the parts and validates the batch. Throws InvalidArgument.
template <NumberType T>
SOFTSTEP_EXPORT Dataset<T> make_dataset(DatasetParts<T> parts);

/// The same data in another number type (rounded to nearest; a value that overflows is an InvalidArgument).
template <NumberType To, NumberType From>
SOFTSTEP_EXPORT Dataset<To> convert(const Dataset<From>& from);

// ---- generators: the same seed gives the same bytes on every platform

/// Settings of a data generator. Fields that it does not use are ignored.
struct GeneratorOptions {
  std::string generator = "signal_noise";  ///< one of generators()
  std::size_t n_samples = 10;
  std::size_t n_tokens = 6;
  std::size_t dim = 60;
  std::uint64_t seed = 0;
  /// mu, norm of the signal tokens (signal_noise); token norm a (orthogonal); margin (separable)
  double signal = 1.0;
  double noise = 0.0;         ///< sigma of the noise; 0 means 1/sqrt(dim) (signal_noise, separable)
  bool equal_scores = false;  ///< project the noise orthogonal to the decoder (signal_noise)
};

struct GeneratorInfo {
  const char* name;
  const char* summary;
};
SOFTSTEP_EXPORT const std::vector<GeneratorInfo>& generators();

/// Makes a data set. Throws InvalidArgument naming the field (unknown model: lists the known ones).
SOFTSTEP_EXPORT Dataset<double> generate(const GeneratorOptions& options);

// ---- safetensors files

/// A StoredType by its name; throws InvalidArgument listing the known names.
SOFTSTEP_EXPORT StoredType parse_stored_type(const std::string& name);

/// Reads tensors `tokens` ([n,T,d], or [sum T,d] with `offsets` [n+1]), `labels` [n], optional `decoder` [d],
/// and optional `queries` ([n,d] vectors or [n] integer token indices; of m queries a sample [n,m,d] or
/// [n,m], or all in [sum m,d] or [sum m] with `query_offsets` [n+1]; then optional `query_weights` [m] or
/// [sum m]). Tokens of the same type and aligned are used in place from the mapped file; F16, BF16 and other
/// widths are converted. Throws BadFile or IoError naming the file and what is wrong with it; the data are
/// validated.
template <NumberType T>
SOFTSTEP_EXPORT Dataset<T> load_dataset(const std::string& path);

/// The same of a file whose tokens are F16 or BF16, which are used in place from the mapped file; all else is
/// as float32. Throws BadFile for tokens of another type.
SOFTSTEP_EXPORT HalfDataset load_half_dataset(const std::string& path);

/// What a file stores its tokens as.
SOFTSTEP_EXPORT StoredType stored_type(const std::string& path);

/// Writes a data set (beside, then renamed: never half a file), its tokens and queries in `type`; `working`
/// is T. Throws IoError if it cannot be written.
template <NumberType T>
SOFTSTEP_EXPORT void save_dataset(const std::string& path, const Dataset<T>& data,
                                  StoredType type = StoredType::working);

/// A named dense tensor in host memory; values held as double whatever the file stores.
struct NamedTensor {
  std::string name = {};
  std::vector<std::size_t> shape = {};
  std::vector<double> values = {};
  StoredType type = StoredType::f64;  ///< number type in the file; `working` is f64
};

/// Writes tensors and string metadata to one safetensors file (beside, then renamed).
SOFTSTEP_EXPORT void save_tensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                                  const std::vector<std::pair<std::string, std::string>>& metadata = {});

/// Reads every floating-point tensor of a file. Throws BadFile or IoError.
SOFTSTEP_EXPORT std::vector<NamedTensor> load_tensors(
    const std::string& path, std::vector<std::pair<std::string, std::string>>* metadata = nullptr);

/// Reads tensor `weights` [dim, dim], row-major, s = X W z. Throws BadFile on another shape or
/// non-finite entries.
SOFTSTEP_EXPORT std::vector<double> load_weights(const std::string& path, std::size_t dim);
SOFTSTEP_EXPORT void save_weights(const std::string& path, const std::vector<double>& weights,
                                  std::size_t dim, StoredType type = StoredType::f64);

/// Reads tensor `selected` [n], token indices of an integer or whole floating-point type, for
/// MaxMarginOptions::selected; empty if the file has none. Throws InvalidArgument.
SOFTSTEP_EXPORT std::vector<std::size_t> load_selected(const std::string& path);

}  // namespace softstep
