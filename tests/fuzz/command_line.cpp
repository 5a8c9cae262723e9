// Any words as the command line of the program, parted by zero bytes: they name a command that could be run,
// help is printed, or one line says what is wrong. Nothing is run.

#include <iostream>
#include <string>
#include <vector>

#include "command_line.h"
#include "memory_file.h"
#include "output.h"

using namespace softstep;
using fuzz::require;

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  std::cout.setstate(std::ios::failbit);  // help goes nowhere
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size > 1 << 12) return 0;
  std::vector<std::string> words = {"softstep"};
  if (size != 0) words.emplace_back();
  for (std::size_t k = 0; k < size; ++k) {
    if (bytes[k] == 0)
      words.emplace_back();
    else
      words.back() += static_cast<char>(bytes[k]);
  }
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  program::CommandLine line;
  const program::Command* command = line.read(static_cast<int>(argv.size()), argv.data());
  if (command != nullptr) {
    require(command->app != nullptr && command->run != nullptr && line.wrong().empty());
  } else if (!line.wrong().empty()) {
    const std::string message = program::one_line(line.wrong());
    require(fuzz::is_one_line(message) && message.size() < 1000 + 4 * size);
  }
  return 0;
}
