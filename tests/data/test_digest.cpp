// The digest that says whether two runs look at the same.

#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "core/data/digest.h"

// Found by the fuzz target c_calls: memcpy takes no null address, even of no bytes. UBSan sees it.
TEST_CASE("a digest of no bytes needs no address", "[data]") {
  const unsigned char byte = 0;
  softstep::data::Digest of_null, of_none, of_zero;
  of_null.add_bytes(nullptr, 0);
  of_none.add_bytes(&byte, 0);
  of_zero.add_bytes(&byte, 1);
  CHECK(of_null.text() == of_none.text());
  CHECK(of_null.text() != of_zero.text());
  CHECK(of_null.text() != softstep::data::Digest().text());
}

TEST_CASE("a digest tells bytes apart by their order, their number and where the words end", "[data]") {
  std::vector<unsigned char> bytes(17);
  for (std::size_t k = 0; k < bytes.size(); ++k) bytes[k] = static_cast<unsigned char>(k + 1);
  std::vector<std::string> seen;
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    softstep::data::Digest digest;
    digest.add_bytes(bytes.data(), n);
    for (const std::string& other : seen) CHECK(digest.text() != other);
    seen.push_back(digest.text());
  }
  std::swap(bytes[3], bytes[11]);
  softstep::data::Digest turned;
  turned.add_bytes(bytes.data(), bytes.size());
  CHECK(turned.text() != seen.back());
}
