#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <memory>
#include <string>

#include "core/data/files/output_target.h"

namespace softstep::data {

/// An open file for all maps of it.
using SharedDescriptor = std::shared_ptr<const Descriptor>;

/// Puts a mapped file on the list that softstep/mapped_files.h tells of. What happens to the file is asked of
/// `file`, whatever the name leads to by then.
void* list_map(const std::string& path, const void* address, std::size_t size, SharedDescriptor file,
               const struct stat& info);
/// Takes it off again, before it is unmapped; whether it has changed is remembered.
void unlist_map(void* listed);

/// The descriptor of a listed file, and what it was when it was opened.
const SharedDescriptor& descriptor_of(const void* listed);
const struct stat& info_of(const void* listed);

/// Whether a file was written to between two looks at it.
bool has_changed(const struct stat& before, const struct stat& after);

}  // namespace softstep::data
