#pragma once

#include <string>

namespace softstep::program {

/// url(#x) becomes url(#prefix-x), in an attribute or a declaration. Throws InvalidArgument for any other url.
std::string with_prefixed_urls(const std::string& value, const std::string& file, const std::string& prefix);

/// A style sheet whose rules apply inside of the element with the id `prefix` alone.
std::string scoped_style(const std::string& css, const std::string& file, const std::string& prefix);

}  // namespace softstep::program
