#pragma once

// Options that hold one number, one word or the name of one file.
//
// CLI11 reads them and calls what is given here to check a value. Its own CLI::Range is not used for numbers:
// it lets NaN pass, and does not read whole numbers written as 1e6.

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace softstep::program {

inline constexpr std::int64_t most_whole = std::numeric_limits<std::int64_t>::max();
inline constexpr std::uint64_t most_seed = std::numeric_limits<std::uint64_t>::max();

/// A whole number in [min, max], written out or as 1e6. Anything else is one line that names option, value
/// and range.
CLI::Option* add_whole(CLI::App& app, const std::string& name, std::int64_t& value, std::int64_t min,
                       std::int64_t max, const std::string& help);

/// --seed S, from 0 to 2^64 - 1.
CLI::Option* add_seed(CLI::App& app, std::uint64_t& seed, const std::string& help);
/// Throws InvalidArgument if the seeds from `first` on, `n` of them, run past the largest one.
void check_seeds(std::uint64_t first, std::int64_t n);

/// A real number in [min, max]. Without bounds NaN and infinity pass: they are refused where their meaning is
/// known.
CLI::Option* add_real(CLI::App& app, const std::string& name, double& value, const std::string& help);
CLI::Option* add_real(CLI::App& app, const std::string& name, double& value, double min, double max,
                      const std::string& help);

/// One of a few words.
CLI::Option* add_word(CLI::App& app, const std::string& name, std::string& value,
                      const std::vector<std::string>& known, const std::string& help);

/// The name of a file or directory, which is not empty. `type` is what the help shows in its place.
CLI::Option* add_path(CLI::App& app, const std::string& name, std::string& value, const std::string& help,
                      const std::string& type = "FILE");

}  // namespace softstep::program
