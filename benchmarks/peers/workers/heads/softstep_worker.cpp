// softstep's attention over heads behind the protocol of worker.py.

#include <sys/types.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "softstep/attention.h"
#include "softstep/isa.h"
#include "softstep/version.h"

namespace softstep::peers {
namespace {

using Fields = std::vector<std::string>;

/// An array in the type that is measured: numbers, or the bits of f16 or bf16.
template <NumberType T>
struct Array {
  std::vector<T> numbers;
  std::vector<std::uint16_t> halves;
  StoredType storage = StoredType::working;

  std::size_t size() const { return storage == StoredType::working ? numbers.size() : halves.size(); }
  std::size_t bytes() const { return numbers.size() * sizeof(T) + halves.size() * sizeof(std::uint16_t); }
  HeadsView<T> view() const { return {numbers, halves, storage, {}}; }
  HeadsSpan<T> span() { return {numbers, halves, storage, {}}; }
};

/// The bits of a number that both types hold, normal or zero in them.
std::uint16_t half_of(float x, StoredType storage) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (storage == StoredType::bf16 || x == 0.0f) return static_cast<std::uint16_t>(bits >> 16);
  const std::uint32_t exponent = (bits >> 23 & 0xff) - 127 + 15;
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 0x3ff));
}

float number_of(std::uint16_t half, StoredType storage) {
  if (storage == StoredType::bf16) return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
  const int exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
  const float size = exponent == 0    ? std::ldexp(static_cast<float>(mantissa), -24)
                     : exponent == 31 ? (mantissa == 0 ? INFINITY : NAN)
                                      : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return half & 0x8000 ? -size : size;
}

template <NumberType T>
Array<T> blank(std::size_t size, StoredType storage) {
  Array<T> out;
  out.storage = storage;
  if (storage == StoredType::working)
    out.numbers.assign(size, T(0));
  else
    out.halves.assign(size, 0);
  return out;
}

template <NumberType T>
Array<T> read(const std::string& file, std::size_t size, StoredType storage) {
  std::vector<float> numbers(size);
  std::ifstream in(file, std::ios::binary);
  in.read(reinterpret_cast<char*>(numbers.data()), static_cast<std::streamsize>(size * sizeof(float)));
  if (!in) throw std::runtime_error("cannot read " + file);
  Array<T> out = blank<T>(size, storage);
  for (std::size_t k = 0; k < size; ++k) {
    if (storage == StoredType::working)
      out.numbers[k] = static_cast<T>(numbers[k]);
    else
      out.halves[k] = half_of(numbers[k], storage);
  }
  return out;
}

template <NumberType T>
void write(const std::string& file, const Array<T>& array) {
  std::vector<T> numbers = array.numbers;
  for (const std::uint16_t half : array.halves)
    numbers.push_back(static_cast<T>(number_of(half, array.storage)));
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(numbers.data()),
            static_cast<std::streamsize>(numbers.size() * sizeof(T)));
  if (!out) throw std::runtime_error("cannot write " + file);
}

std::size_t status(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(key + ":", 0) == 0) return std::stoull(line.substr(key.size() + 1)) * 1024;
  throw std::runtime_error("no " + key + " in /proc/self/status");
}

template <NumberType T>
class Server {
 public:
  Server(StoredType storage, int threads) : storage_(storage), threads_(threads) {}

  std::string answer(const Fields& fields) {
    const std::string& command = fields.at(0);
    if (command == "version") return "{\"version\": \"" + std::string(version) + ", " + active_isa() + "\"}";
    if (command == "load") return load(fields);
    const std::string& what = fields.at(2);
    backward_ = what.rfind("both", 0) == 0;
    causal_ = what.find("-causal") != std::string::npos;
    if (command == "prepare") {
      call(1);
      return "{\"variant\": \"" + fields.at(1) + "\"}";
    }
    if (command == "check") return check(fields.at(3));
    if (command == "exponents") return with_exponents(fields.at(3));
    if (command == "run") return run(std::stod(fields.at(3)));
    if (command == "memory") return memory();
    throw std::runtime_error("unknown request " + command);
  }

 private:
  std::string load(const Fields& fields) {
    const auto number = [&](std::size_t k) { return static_cast<std::size_t>(std::stoull(fields.at(k))); };
    in_ = {};
    in_.shape = {number(2), number(3), number(4), number(5), number(6), number(7), 0};
    scale_ = std::stod(fields.at(8));
    const HeadsShape& s = in_.shape;
    const std::size_t rows = s.batch * s.n_heads * s.n_queries, keys = s.batch * s.n_key_heads * s.n_keys;
    const std::string folder = fields.at(1) + "/";
    q_ = read<T>(folder + "q", rows * s.dim, storage_);
    k_ = read<T>(folder + "k", keys * s.dim, storage_);
    v_ = read<T>(folder + "v", keys * s.dim, storage_);
    do_ = read<T>(folder + "do", rows * s.dim, storage_);
    o_ = blank<T>(q_.size(), storage_);
    dq_ = blank<T>(q_.size(), storage_);
    dk_ = blank<T>(k_.size(), storage_);
    dv_ = blank<T>(v_.size(), storage_);
    in_.queries = q_.view();
    in_.keys = k_.view();
    in_.values = v_.view();
    state_ = {};
    return std::string("{\"variants\": {\"softstep\": [\"forward\", \"both\"") +
           (s.n_queries == s.n_keys ? ", \"forward-causal\", \"both-causal\"" : "") + "]}}";
  }

  HeadsOptions options() const {
    HeadsOptions options;
    options.scale = scale_;
    options.mask.causal = causal_;
    options.threads = threads_;
    return options;
  }

  HeadsGradients<T> gradients() {
    HeadsGradients<T> gradients;
    gradients.queries = dq_.span();
    gradients.keys = dk_.span();
    gradients.values = dv_.span();
    return gradients;
  }

  double call(std::int64_t times) {
    const HeadsOptions options = this->options();
    const HeadsGradients<T> gradients = this->gradients();
    HeadsOutputs<T> out;
    out.outputs = o_.span();
    out.state = backward_ ? &state_ : nullptr;
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t k = 0; k < times; ++k) {
      attention_forward(in_, out, options);
      if (backward_) attention_backward(in_, state_, do_.view(), gradients, options);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  /// dQ and dK with their exponents in files of their own, raw doubles: of each row, of each key head.
  std::string with_exponents(const std::string& folder) {
    const HeadsShape& s = in_.shape;
    std::vector<double> of_rows(s.batch * s.n_heads * s.n_queries), of_heads(s.batch * s.n_key_heads);
    call(1);
    HeadsGradients<T> gradients = this->gradients();
    gradients.query_exponents = of_rows;
    gradients.key_exponents = of_heads;
    attention_backward(in_, state_, do_.view(), gradients, options());
    write(folder + "/dq", dq_);
    write(folder + "/dk", dk_);
    write(folder + "/dq_exponents", Array<double>{of_rows, {}});
    write(folder + "/dk_exponents", Array<double>{of_heads, {}});
    return "{\"outputs\": [\"dq\", \"dk\", \"dq_exponents\", \"dk_exponents\"]}";
  }

  std::string check(const std::string& folder) {
    call(1);
    write(folder + "/o", o_);
    if (!backward_) return "{\"outputs\": [\"o\"]}";
    write(folder + "/dq", dq_);
    write(folder + "/dk", dk_);
    write(folder + "/dv", dv_);
    return "{\"outputs\": [\"o\", \"dq\", \"dk\", \"dv\"]}";
  }

  /// The first guess of the number of calls may be far off: then it is corrected once.
  std::string run(double wanted) {
    double each = call(1);
    std::int64_t calls = 1;
    for (int attempt = 0; attempt < 2; ++attempt) {
      calls = std::max<std::int64_t>(1, std::llround(wanted / each));
      const double elapsed = call(calls);
      each = elapsed / static_cast<double>(calls);
      if (elapsed > 0.5 * wanted) break;
    }
    char text[100];
    std::snprintf(text, sizeof text, "{\"us\": %.17g, \"calls\": %lld}", 1e6 * each,
                  static_cast<long long>(calls));
    return text;
  }

  /// Of a process that did nothing else: one call with few rows starts the threads, outputs have their pages.
  std::string memory() {
    const HeadsInputs<T> all = in_;
    in_.shape.n_queries = std::min<std::size_t>(64, all.shape.n_queries);
    in_.shape.n_keys = std::min<std::size_t>(64, all.shape.n_keys);
    call(1);
    in_ = all;
    state_ = {};
    std::ofstream("/proc/self/clear_refs") << "5";
    const std::size_t before = status("VmRSS");
    call(1);
    return "{\"bytes\": " + std::to_string(status("VmHWM") - before) + "}";
  }

  StoredType storage_;
  int threads_;
  bool backward_ = false, causal_ = false;
  double scale_ = 1.0;
  HeadsInputs<T> in_;
  Array<T> q_, k_, v_, do_, o_, dq_, dk_, dv_;
  HeadsState<T> state_;
};

template <NumberType T>
int serve(StoredType storage, int threads) {
  Server<T> server(storage, threads);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    Fields fields;
    for (std::string field; std::getline(in, field, '\t');) fields.push_back(field);
    try {
      std::puts(server.answer(fields).c_str());
    } catch (const std::exception& error) {
      std::string text = error.what();
      std::replace(text.begin(), text.end(), '"', '\'');
      std::printf("{\"error\": \"%s\"}\n", text.c_str());
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace softstep::peers

int main(int argc, char** argv) {
  using namespace softstep::peers;
  if (argc != 3) return 2;
  const std::string type = argv[1];
  const int threads = std::atoi(argv[2]);
  if (type == "f64") return serve<double>(softstep::StoredType::working, threads);
  return serve<float>(type == "f16"    ? softstep::StoredType::f16
                      : type == "bf16" ? softstep::StoredType::bf16
                                       : softstep::StoredType::working,
                      threads);
}
