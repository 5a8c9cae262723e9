#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "softstep/dataset.h"
#include "softstep/export.h"
#include "softstep/stored_type.h"

namespace softstep {

// Data larger than memory. Files above 16 MiB are mapped: what of them is in memory is the system's to give
// and take. These functions bound how much of it counts as this process's, and write files that do not fit.

/// How a data set is read.
struct ReadOptions {
  /// Bytes of the mapped files that may be resident in this process at a time; 0: as many as the system
  /// lets. At least 4 MiB. The passes of an AttentionModel, its set-up and the checks of the data then read
  /// in order, ask the system for what comes next (madvise) and give back what lies behind. Other models and
  /// the max-margin solvers read as they like. The numbers are the same to the bit. What a model allocates
  /// comes on top, and so do one sample and one page for each thread.
  std::size_t resident_bytes = 0;
};

/// As load_dataset(path). Throws InvalidArgument, besides, for a bound that is too small, and where tokens
/// would have to be converted or copied into more memory than the bound.
template <NumberType T>
SOFTSTEP_EXPORT Dataset<T> load_dataset(const std::string& path, const ReadOptions& options);
/// As load_half_dataset(path), with the same errors.
SOFTSTEP_EXPORT HalfDataset load_half_dataset(const std::string& path, const ReadOptions& options);

/// What generate_files() has written.
struct GeneratedFiles {
  std::size_t n_samples = 0;            ///< n
  std::size_t n_tokens = 0;             ///< T
  std::size_t dim = 0;                  ///< d
  std::vector<std::string> files = {};  ///< their names, the index of shards last; none if it was stopped
};

/// The names of the files that generate_files() writes, the index of shards last. Throws InvalidArgument
/// where the path or the number of shards is none that it takes.
SOFTSTEP_EXPORT std::vector<std::string> generated_file_names(const std::string& path, std::size_t n_shards);

/// Makes a data set as generate() does and writes it sample by sample, so that it need not fit in memory: of
/// its tokens one sample is held, of labels and queries all. A single file has the bytes that save_dataset()
/// writes.
///
/// `n_shards` above 0: for `data.safetensors`, which the path must end like, it writes
/// data-00001-of-0000N.safetensors and so on, and the index data.safetensors.index.json that load_dataset()
/// takes. Shard k has tokens `tokens.k`, whole samples of them; the last has everything else too. Tokens of
/// shards above 16 MiB begin and end at pages, so that they are mapped one behind the other. All files appear
/// when they are whole, the index last. At most 512 shards, and no more than samples.
///
/// Everything is drawn twice, as what stands before the tokens in a file is known after them. Throws
/// InvalidArgument naming the field, or IoError.
///
/// `goes_on` is asked once for each sample; return false to stop. Then nothing is written, older files stay
/// as they were, and `files` of the result is empty.
SOFTSTEP_EXPORT GeneratedFiles generate_files(const GeneratorOptions& options, const std::string& path,
                                              StoredType type = StoredType::f64, std::size_t n_shards = 0,
                                              const std::function<bool()>& goes_on = {});

}  // namespace softstep
