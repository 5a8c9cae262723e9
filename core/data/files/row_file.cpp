// Rows that are on the disk as soon as they are added.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "core/data/files/output_target.h"
#include "softstep/files.h"

namespace softstep {

class RowFile::Place {
 public:
  explicit Place(const std::string& path) : path_(path) {}

  // One call writes the whole row: a process that is killed has written it or has not.
  void add(std::string_view row) {
    line_.assign(row);
    line_ += '\n';
    if (!file_.is_open() && begin()) return;
    take_back();
    std::size_t written = 0;
    const int error = data::write_all(file_.get(), line_.data(), line_.size(), written);
    if (error == 0) {
      size_ += static_cast<off_t>(line_.size());
      return;
    }
    is_torn_ = !target_.is_stream && written != 0;
    take_back();
    data::refuse_output(path_, error);
  }

  void begin_with(std::string rows) { first_ = std::move(rows); }

  void sync() {
    if (!file_.is_open() || target_.is_stream) return;
    if (const int error = data::sync(file_.get())) data::refuse_output(path_, error);
  }

  void close() {
    if (!file_.is_open()) return;
    sync();
    if (::close(file_.release()) != 0) data::refuse_output(path_, errno);
  }

 private:
  // Of a row that did not fit. A part that cannot be taken back is tried again before the next row, which
  // must not be written behind it.
  void take_back() {
    if (is_torn_ && ftruncate(file_.get(), size_) != 0) data::refuse_output(path_, errno);
    is_torn_ = false;
  }

  // Whether the first row is written with that. It replaces an older file as a whole file does: a full disk
  // must not cost what was there.
  bool begin() {
    target_ = data::find_output(path_);
    if (target_.is_stream) {
      file_ = data::open_stream(path_, target_);
      return false;
    }
    line_.insert(0, first_);
    write_file(path_, line_);
    file_ = data::Descriptor(open(target_.path().c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    if (!file_.is_open()) data::refuse_output(path_, errno);
    size_ = static_cast<off_t>(line_.size());
    return true;
  }

  std::string path_, line_, first_;
  data::OutputTarget target_;
  data::Descriptor file_;
  off_t size_ = 0;
  bool is_torn_ = false;
};

RowFile::RowFile(const std::string& path) : place_(std::make_unique<Place>(path)) {}
RowFile::~RowFile() = default;
void RowFile::add(std::string_view row) { place_->add(row); }
void RowFile::begin_with(std::string rows) { place_->begin_with(std::move(rows)); }
void RowFile::sync() { place_->sync(); }
void RowFile::close() { place_->close(); }

}  // namespace softstep
