// softstep's attention over heads behind the protocol of worker.py.

#include <chrono>

#include "arrays.h"
#include "serve.h"
#include "softstep/isa.h"
#include "softstep/version.h"

namespace softstep::peers {
namespace {

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
    if (command == "run")
      return timed(std::stod(fields.at(3)), [&](std::int64_t times) { return call(times); });
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

}  // namespace
}  // namespace softstep::peers

int main(int argc, char** argv) {
  return softstep::peers::serve_program<softstep::peers::Server>(argc, argv);
}
