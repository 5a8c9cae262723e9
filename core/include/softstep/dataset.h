#pragma once

#include <cstdint>
#include <map>
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
  /// A view, and the owner of the memory that it looks at.
  Dataset(const BatchView<T>& view, std::shared_ptr<const void> storage)
      : view_(view), storage_(std::move(storage)) {}
  /// The batch; valid as long as this data set or a copy of it lives.
  const BatchView<T>& view() const { return view_; }

 private:
  BatchView<T> view_;
  std::shared_ptr<const void> storage_;
};

/// Tokens in 16 bits together with whatever keeps their memory alive.
class HalfDataset {
 public:
  HalfDataset() = default;
  /// A view, and the owner of the memory that it looks at.
  HalfDataset(const HalfBatchView& view, std::shared_ptr<const void> storage)
      : view_(view), storage_(std::move(storage)) {}
  /// The batch; valid as long as this data set or a copy of it lives.
  const HalfBatchView& view() const { return view_; }

 private:
  HalfBatchView view_;
  std::shared_ptr<const void> storage_;
};

/// Plain vectors from which a Dataset is made; empty vectors mean "absent" (as null pointers do in
/// BatchView).
template <NumberType T>
struct DatasetParts {
  std::size_t n_samples = 0;                     ///< n
  std::size_t n_tokens = 0;                      ///< tokens per sample, uniform batches only
  std::size_t dim = 0;                           ///< d
  std::vector<T> tokens = {};                    ///< [n, T, d], or [sum T_i, d] with `offsets`
  std::vector<std::int64_t> offsets = {};        ///< [n + 1], ragged batches only
  std::vector<std::int8_t> labels = {};          ///< [n], each -1 or +1
  std::vector<T> decoder = {};                   ///< u, [d]
  std::vector<std::int64_t> query_index = {};    ///< the token of each query
  std::vector<T> queries = {};                   ///< or a row of d elements for each query
  bool all_tokens_are_queries = false;           ///< every token of a sample is a query of it
  std::size_t n_queries = 1;                     ///< queries of every sample
  std::vector<std::int64_t> query_offsets = {};  ///< [n + 1], samples with different numbers of queries
  std::vector<T> query_weights = {};             ///< w_iq, as in BatchView
};

/// Takes ownership of the parts and validates the batch. Throws InvalidArgument.
template <NumberType T>
SOFTSTEP_EXPORT Dataset<T> make_dataset(DatasetParts<T> parts);

/// The same data in another number type (rounded to nearest; a value that overflows is an InvalidArgument,
/// and so are targets, which DatasetParts has not).
template <NumberType To, NumberType From>
SOFTSTEP_EXPORT Dataset<To> convert(const Dataset<From>& from);

// ---- generators: the same seed gives the same bytes on every platform

/// Settings of a data generator. Fields that it does not use are ignored.
struct GeneratorOptions {
  std::string generator = "signal_noise";  ///< one of generators()
  std::size_t n_samples = 10;              ///< n
  std::size_t n_tokens = 6;                ///< T
  std::size_t dim = 60;                    ///< d
  std::uint64_t seed = 0;                  ///< the same seed gives the same data
  /// mu, norm of the signal tokens (signal_noise); token norm a (orthogonal); margin (separable)
  double signal = 1.0;
  double noise = 0.0;         ///< sigma of the noise; 0 means 1/sqrt(dim) (signal_noise, separable)
  bool equal_scores = false;  ///< project the noise orthogonal to the decoder (signal_noise)
};

/// A generator in a list.
struct GeneratorInfo {
  const char* name;     ///< for GeneratorOptions::generator
  const char* summary;  ///< what it makes, in a line
};
/// Every generator.
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
/// is T. Throws IoError if it cannot be written, InvalidArgument for a batch with targets, which a file has
/// not.
template <NumberType T>
SOFTSTEP_EXPORT void save_dataset(const std::string& path, const Dataset<T>& data,
                                  StoredType type = StoredType::working);

/// A named dense tensor in host memory; values held as double whatever the file stores.
struct NamedTensor {
  std::string name = {};                ///< unique in its file
  std::vector<std::size_t> shape = {};  ///< sizes of its dimensions, the slowest first
  std::vector<double> values = {};      ///< row-major
  StoredType type = StoredType::f64;    ///< number type in the file; `working` is f64
};

/// Writes tensors and string metadata to one safetensors file (beside, then renamed).
SOFTSTEP_EXPORT void save_tensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                                  const std::vector<std::pair<std::string, std::string>>& metadata = {});

/// Reads every floating-point tensor of a file. Throws BadFile or IoError.
SOFTSTEP_EXPORT std::vector<NamedTensor> load_tensors(
    const std::string& path, std::vector<std::pair<std::string, std::string>>* metadata = nullptr);
/// Reads the string metadata alone, by name. Throws BadFile or IoError.
SOFTSTEP_EXPORT std::map<std::string, std::string> load_metadata(const std::string& path);

/// Reads tensor `weights` [dim, dim], row-major, s = X W z. Throws BadFile on another shape or
/// non-finite entries.
SOFTSTEP_EXPORT std::vector<double> load_weights(const std::string& path, std::size_t dim);
/// Writes such a file, beside its place and then renamed. Throws IoError, InvalidArgument for weights of
/// another size or not finite.
SOFTSTEP_EXPORT void save_weights(const std::string& path, const std::vector<double>& weights,
                                  std::size_t dim, StoredType type = StoredType::f64);

/// Reads tensor `selected` [n], token indices of an integer or whole floating-point type, for
/// MaxMarginOptions::selected; empty if the file has none. Throws InvalidArgument.
SOFTSTEP_EXPORT std::vector<std::size_t> load_selected(const std::string& path);

}  // namespace softstep
