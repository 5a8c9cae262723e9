#pragma once

// What of XLA's interface for foreign functions (xla/ffi/api/c_api.h, version 0.x) a handler on the CPU
// needs, declared here so that nothing of JAX is needed to build. The layout of a struct does not change
// within a major version; later fields are not looked at.

#include <cstddef>
#include <cstdint>

namespace softstep::python::xla {

constexpr int known_major = 0;

enum class ExtensionType : int { metadata = 1 };
enum class ErrorCode : int { invalid_argument = 3, internal = 13 };
enum class Stage : int { execute = 3 };
enum class Kind : int { buffer = 1 };          // of arguments and results
enum class AttributeKind : int { array = 1 };  // of attributes
enum class DataType : int { s32 = 4, s64 = 5, f16 = 10, f32 = 11, f64 = 12, bf16 = 16 };

struct Extension {
  std::size_t struct_size;
  ExtensionType type;
  Extension* next;
};

struct ApiVersion {
  std::size_t struct_size;
  Extension* extensions;
  int major, minor;
};

struct Error;

struct ErrorArguments {
  std::size_t struct_size;
  Extension* extensions;
  const char* message;
  ErrorCode code;
};

// The first entries of the table of functions.
struct Api {
  std::size_t struct_size;
  Extension* extensions;
  ApiVersion version;
  const void* internal;
  Error* (*create_error)(ErrorArguments*);
};

struct Buffer {
  std::size_t struct_size;
  Extension* extensions;
  DataType type;
  void* data;
  std::int64_t rank;
  std::int64_t* dims;
};

// Arguments, and results.
struct Values {
  std::size_t struct_size;
  Extension* extensions;
  std::int64_t size;
  Kind* kinds;
  void** values;
};

struct Bytes {
  const char* data;
  std::size_t size;
};

struct AttributeArray {
  DataType type;
  std::size_t size;
  void* data;
};

struct Attributes {
  std::size_t struct_size;
  Extension* extensions;
  std::int64_t size;
  AttributeKind* kinds;
  Bytes** names;
  void** values;
};

struct CallFrame {
  std::size_t struct_size;
  Extension* extensions;
  const Api* api;
  void* context;
  Stage stage;
  Values arguments;
  Values results;
  Attributes attributes;
};

struct Metadata {
  std::size_t struct_size;
  ApiVersion version;
  std::uint32_t traits;
  std::int64_t state_type;  // not in all of them
};

struct MetadataExtension {
  Extension base;
  Metadata* metadata;
};

using Handler = Error*(CallFrame*);

}  // namespace softstep::python::xla
