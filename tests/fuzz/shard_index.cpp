// The index JSON of shards with any bytes: refused in one line, or every file that it names is a plain name.

#include <string>

#include "core/data/files/shards.h"
#include "memory_file.h"
#include "softstep/error.h"

using namespace softstep;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size > 1 << 16) return 0;
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  try {
    const data::WeightMap map = data::parse_index("index", text.data(), text.size());
    require(!map.empty());
    for (std::size_t k = 0; k < map.size(); ++k) {
      const std::string& name = map[k].second;
      require(k == 0 || map[k - 1].first < map[k].first);
      require(name.ends_with(".safetensors") && name.find('/') == std::string::npos);
      require(name.find('\0') == std::string::npos && name.find('\n') == std::string::npos);
    }
  } catch (const InvalidArgument& error) {
    require(std::string(error.what()).find('\n') == std::string::npos);
  }
  return 0;
}
