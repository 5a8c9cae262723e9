#include "softstep/error.h"

#include "core/data/text.h"

namespace softstep {

Error::Error(const std::string& argument, const std::string& problem)
    : std::runtime_error(data::one_line(argument.empty() ? problem : argument + ": " + problem)),
      argument_(argument) {}

}  // namespace softstep
