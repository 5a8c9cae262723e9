#pragma once

/// Marks what a shared softstep shows to the programs that link it. Everything else is compiled hidden, so
/// that the names inside softstep, and those of the libraries inside it, never meet an application's own.
#if defined(__GNUC__)
#define SOFTSTEP_EXPORT __attribute__((visibility("default")))
#define SOFTSTEP_HIDDEN __attribute__((visibility("hidden")))
#else
#define SOFTSTEP_EXPORT
#define SOFTSTEP_HIDDEN
#endif
