#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/data/checked_size.h"
#include "core/data/files/map_list.h"
#include "core/data/files/output_target.h"
#include "core/data/files/shards.h"
#include "softstep/error.h"
#include "softstep/mapped_files.h"

namespace softstep::data {
namespace {

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

}  // namespace

// Reserved without access, which costs nothing but addresses; what is copied gets memory page by page.
std::shared_ptr<const JoinedParts> JoinedParts::join(const std::string& path,
                                                     const std::vector<Part>& parts) {
  const std::shared_ptr<JoinedParts> out(new JoinedParts);
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::size_t size = 2 * page;
  for (const Part& part : parts) {
    if (part.size > max_bytes - size) throw BadFile(path, "has parts too large to be addressed");
    size += part.size;
  }
  out->region_size_ = size / page * page;
  void* region =
      mmap(nullptr, out->region_size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (region == MAP_FAILED) refuse_file(path, "mapped", errno);
  out->region_ = region;
  unsigned char* at =
      static_cast<unsigned char*>(region) + (parts.empty() ? 0 : number(parts.front().bytes) % page);
  out->bytes_ = at;
  for (const Part& part : parts) {
    out->place(path, part, at);
    at += part.size;
  }
  if (mprotect(region, number(at + page - 1) / page * page - number(region), PROT_READ) != 0)
    refuse_file(path, "mapped", errno);
  return out;
}

void JoinedParts::place(const std::string& path, const Part& part, unsigned char* at) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t head = (page - number(at) % page) % page;
  const bool is_mapped = part.file->listed() != nullptr && number(at) % page == number(part.bytes) % page &&
                         part.size >= head + page;
  if (!is_mapped) return copy(path, part.bytes, at, part.size);
  const std::size_t whole = (part.size - head) / page * page;
  const auto offset = static_cast<off_t>(part.bytes - part.file->bytes()) + static_cast<off_t>(head);
  const void* file = part.file->listed();
  if (mmap(at + head, whole, PROT_READ, MAP_PRIVATE | MAP_FIXED, descriptor_of(file)->get(), offset) ==
      MAP_FAILED)
    refuse_file(path, "mapped", errno);
  listed_.push_back(
      list_map(mapped_file_at(part.file->bytes()), at + head, whole, descriptor_of(file), info_of(file)));
  mapped_.push_back({at + head, at + head + whole});
  copy(path, part.bytes, at, head);
  copy(path, part.bytes + head + whole, at + head + whole, part.size - head - whole);
}

void JoinedParts::copy(const std::string& path, const unsigned char* from, unsigned char* to,
                       std::size_t size) {
  if (size == 0) return;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = number(to) / page * page;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): where a page begins is arithmetic with addresses
  if (mprotect(reinterpret_cast<void*>(first), (number(to + size) - first + page - 1) / page * page,
               PROT_READ | PROT_WRITE) != 0)
    refuse_file(path, "mapped", errno);
  std::memcpy(to, from, size);
}

JoinedParts::~JoinedParts() {
  for (void* listed : listed_) unlist_map(listed);
  if (region_ != nullptr) munmap(region_, region_size_);
}

}  // namespace softstep::data
