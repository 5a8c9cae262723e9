#include "core/data/files/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/data/text.h"

namespace softstep::data {
namespace {

using Json = nlohmann::json;

constexpr std::size_t most_dimensions = 64;  // what NumPy 2 has; a longer list is no tensor's shape
constexpr const char* metadata_key = "__metadata__";

// Takes the parser's events. Depth 1 is the header, 2 a tensor or the metadata, 3 a list in a tensor; nothing
// in a header is nested deeper. Members that the format does not know are passed over, as the reference
// reader does.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(Header& header) : header_(header) {}
  const std::string& problem() const { return problem_; }

  bool null() override { return other(); }
  bool boolean(bool) override { return other(); }
  bool number_integer(number_integer_t) override { return other(); }  // of negative numbers alone
  bool number_float(number_float_t, const string_t&) override { return other(); }
  bool binary(binary_t&) override { return other(); }

  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3 || list_ == nullptr) return other();
    if (list_->size() == limit_)
      return list_ == &offsets_ ? refuse_tensor("has no data_offsets (need two non-negative integers)")
                                : refuse_tensor("has more than " + std::to_string(limit_) + " dimensions");
    list_->push_back(value);
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ == 2 && in_metadata_) {
      header_.metadata.emplace_back(std::move(key_), std::move(value));
      return true;
    }
    if (depth_ != 2 || member_ != Member::dtype) return other();
    tensor_.dtype = std::move(value);
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ >= 2 && wanted()) return refuse_member();
    return deeper();
  }

  bool start_array(std::size_t) override {
    if (depth_ == 1) return other();
    if (depth_ == 2 && member_ == Member::dtype) return refuse_member();
    if (depth_ == 2 && in_metadata_) return refuse_metadata();
    if (depth_ == 3 && list_ != nullptr) return refuse("is nested too deeply");
    if (depth_ == 2 && member_ == Member::shape) {
      list_ = &tensor_.shape;
      limit_ = most_dimensions;
      has_shape_ = true;
    } else if (depth_ == 2 && member_ == Member::data_offsets) {
      list_ = &offsets_;
      limit_ = 2;
    }
    return deeper();
  }

  bool end_array() override {
    list_ = nullptr;
    --depth_;
    return true;
  }

  bool end_object() override {
    if (--depth_ != 1) return true;
    if (in_metadata_) {
      in_metadata_ = false;
      return true;
    }
    if (seen_[dtype_] == 0) return refuse_tensor("has no dtype");
    if (!has_shape_) return refuse_tensor("has no shape (need a list of non-negative integers)");
    if (offsets_.size() != 2) return refuse_tensor("has no data_offsets (need two non-negative integers)");
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
    header_.tensors.push_back(std::move(tensor_));
    return true;
  }

  bool key(string_t& name) override {
    if (depth_ == 1) return begin_tensor(name);
    member_ = Member::unknown;
    if (depth_ != 2) return true;
    if (in_metadata_) {
      key_ = std::move(name);
      return true;
    }
    for (const auto& [known, which] : {std::pair{"dtype", Member::dtype}, std::pair{"shape", Member::shape},
                                       std::pair{"data_offsets", Member::data_offsets}})
      if (name == known) {
        member_ = which;
        if (seen_[static_cast<int>(which)]++ != 0)
          return refuse("has the name " + name_text(name) + " twice");
      }
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return refuse("is not JSON");
  }

 private:
  enum class Member { dtype, shape, data_offsets, unknown };
  static constexpr int dtype_ = static_cast<int>(Member::dtype);

  bool refuse(const std::string& problem) {
    if (problem_.empty()) problem_ = "has a header that " + problem;
    return false;
  }
  bool refuse_tensor(const std::string& problem) {
    if (problem_.empty()) problem_ = "tensor " + name_text(tensor_.name) + " " + problem;
    return false;
  }
  bool refuse_metadata() {
    if (problem_.empty()) problem_ = "has metadata " + name_text(key_) + " that is not a string";
    return false;
  }

  bool wanted() const {
    return in_metadata_ || list_ != nullptr || (depth_ == 2 && member_ != Member::unknown);
  }

  // A value of a kind that is not wanted at this place.
  bool refuse_member() {
    if (in_metadata_) return refuse_metadata();
    if (member_ == Member::dtype) return refuse_tensor("has no dtype");
    if (member_ == Member::shape) return refuse_tensor("has no shape (need a list of non-negative integers)");
    return refuse_tensor("has no data_offsets (need two non-negative integers)");
  }
  bool other() {
    if (depth_ == 1)
      return in_metadata_ ? refuse_top_metadata() : refuse_tensor("is not described by a JSON object");
    return wanted() ? refuse_member() : true;
  }
  bool refuse_top_metadata() {
    if (problem_.empty()) problem_ = "has __metadata__ that is not a JSON object";
    return false;
  }
  bool deeper() { return depth_ == 3 ? refuse("is nested too deeply") : (++depth_, true); }

  bool begin_tensor(std::string& name) {
    in_metadata_ = name == metadata_key;
    if (in_metadata_ && std::exchange(has_metadata_, true))
      return refuse("has the name " + name_text(name) + " twice");
    tensor_ = {};
    if (!in_metadata_) tensor_.name = std::move(name);
    offsets_.clear();
    member_ = Member::unknown;
    has_shape_ = false;
    std::fill(std::begin(seen_), std::end(seen_), 0);
    return true;
  }

  Header& header_;
  std::string problem_, key_;
  int depth_ = 0;
  bool in_metadata_ = false, has_metadata_ = false, has_shape_ = false;
  Member member_ = Member::unknown;
  int seen_[3] = {};
  DescribedTensor tensor_;
  std::vector<std::size_t> offsets_, *list_ = nullptr;
  std::size_t limit_ = 0;
};

template <class Items, class NameOf>
void sort_by_name(const std::string& path, Items& items, const NameOf& name_of) {
  std::sort(items.begin(), items.end(),
            [&](const auto& a, const auto& b) { return name_of(a) < name_of(b); });
  const auto twice = std::adjacent_find(
      items.begin(), items.end(), [&](const auto& a, const auto& b) { return name_of(a) == name_of(b); });
  if (twice != items.end())
    throw BadFile(path, "has a header that has the name " + name_text(name_of(*twice)) + " twice");
}

}  // namespace

Header parse_header(const std::string& path, const char* text, std::size_t size) {
  Header header;
  HeaderReader reader(header);
  // The parser takes a NUL for the end of the text.
  if (std::memchr(text, '\0', size) != nullptr)
    throw BadFile(path, "has a header that is not JSON: it holds a NUL");
  if (!Json::sax_parse(text, text + size, &reader)) throw BadFile(path, reader.problem());
  sort_by_name(path, header.tensors,
               [](const DescribedTensor& tensor) -> const std::string& { return tensor.name; });
  sort_by_name(path, header.metadata, [](const auto& entry) -> const std::string& { return entry.first; });
  return header;
}

}  // namespace softstep::data
