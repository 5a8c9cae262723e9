#pragma once

#include <string>

namespace CLI {
class App;
}

namespace softstep {
class InvalidArgument;
}

namespace softstep::program {

/// The library names its own fields in its messages (`n_threads`, `optimal_loss`). This is the message of an
/// error with those names replaced by the options of `command` that set the fields (`--threads`, `--lstar`).
std::string message_of(const InvalidArgument& error, const CLI::App& command);

/// A text of the library with the names of fields that have an underscore replaced by the options that set
/// them.
std::string with_option_names(const std::string& text);

}  // namespace softstep::program
