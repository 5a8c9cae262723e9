#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "softstep/export.h"

namespace softstep {

// How files are written. For every name that is written to:
// - A symbolic link is followed, and what it leads to is written, be it there already or not.
// - A file that nobody may write (no w among its permissions) is refused, from the superuser too.
// - A device, a pipe, or the file that is the standard output or standard error is written straight into.
// - Every failure is an IoError(path, reason). No signal ends the process for a file that grows too large
//   (SIGXFSZ) or a pipe that nobody reads (SIGPIPE).

/// A file that appears whole or not at all: written beside its place under another name, made safe on the
/// disk (fsync), and renamed by commit(). Without commit() nothing is left, and an older file of that name
/// stays as it was. A file that is replaced hands its permissions on. What processes that were killed left
/// behind in the folder is removed.
class SOFTSTEP_EXPORT OutputFile {
 public:
  /// Begins the file. Throws IoError.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Adds bytes. Throws IoError.
  void write(const void* bytes, std::size_t size);
  /// Adds a value as it lies in memory.
  template <class T>
  void write_value(T value) {
    write(&value, sizeof value);
  }
  /// Gives the file its name. Throws IoError, and then an older file is still there; but for one error, whose
  /// message says that the new file is in its place and that a power failure may bring the older one back.
  void commit();

 private:
  class Place;
  std::unique_ptr<Place> place_;
};

/// A whole file at once.
SOFTSTEP_EXPORT void write_file(const std::string& path, std::string_view contents);

/// Rows that are on the disk as soon as they are added, in the file itself: whoever kills the process finds
/// every row that was added, and none of them cut off. An older file of that name is replaced when the first
/// row comes, not before, and as OutputFile does it: by a whole row or not at all.
class SOFTSTEP_EXPORT RowFile {
 public:
  /// Names the file, which is begun with the first row.
  explicit RowFile(const std::string& path);
  ~RowFile();
  RowFile(const RowFile&) = delete;
  RowFile& operator=(const RowFile&) = delete;

  /// The rows that the file begins with, each with its line break, before the first row is added. They are
  /// written together with that.
  void begin_with(std::string rows);
  /// Writes the row and a line break. What of it does not fit on the disk is taken back, so that the row may
  /// be added again later.
  void add(std::string_view row);
  /// Makes the rows safe on the disk.
  void sync();
  /// The same, and closes the file.
  void close();

 private:
  class Place;
  std::unique_ptr<Place> place_;
};

/// Throws IoError if a file of that name could not be begun now. Leaves nothing behind.
SOFTSTEP_EXPORT void require_writable(const std::string& path);

/// Whether a name stands for a device, a pipe or an open file of this process: what is written there cannot
/// be replaced.
SOFTSTEP_EXPORT bool is_stream(const std::string& path);

}  // namespace softstep
