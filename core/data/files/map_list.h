#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <string>

namespace softstep::data {

/// Puts a mapped file on the list that softstep/mapped_files.h tells of. `fd` is taken over: what happens to
/// the file is asked of it, whatever the name leads to by then.
void* list_map(const std::string& path, const void* address, std::size_t size, int fd,
               const struct stat& info);
/// Takes it off again, before it is unmapped; whether it has changed is remembered.
void unlist_map(void* listed);

/// The descriptor of a listed file, and what it was when it was opened.
int descriptor_of(const void* listed);
const struct stat& info_of(const void* listed);

/// Whether a file was written to between two looks at it.
bool has_changed(const struct stat& before, const struct stat& after);

}  // namespace softstep::data
