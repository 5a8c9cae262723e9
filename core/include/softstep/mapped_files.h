#pragma once

#include <string>
#include <vector>

#include "softstep/export.h"

namespace softstep {

// Data files above 16 MiB are mapped into memory and not copied. A program that truncates such a file in
// place makes the system send SIGBUS to whoever reads what is gone; one that writes into it changes the data
// under a run. The library installs no signal handler: handlers belong to the application. An application
// that wants a message in place of the end of the process installs one for SIGBUS that asks
// mapped_file_at(si_addr) for the name of the file, writes it and ends the process with _exit(), as the
// program softstep does. It asks changed_mapped_files() before it believes its results. Smaller files are
// copied when they are opened, and nothing that happens to them later is seen.

/// The name of the data file that the address is mapped from, or null. A signal handler may call it.
SOFTSTEP_EXPORT const char* mapped_file_at(const void* address) noexcept;

/// The names of data files that were changed while they were mapped: those mapped now, and those since the
/// process began. Empty is what a program wants to see at its end.
SOFTSTEP_EXPORT std::vector<std::string> changed_mapped_files();

}  // namespace softstep
