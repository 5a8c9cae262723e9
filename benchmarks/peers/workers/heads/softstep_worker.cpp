// softstep's attention over heads behind the protocol of worker.py.

#include <chrono>

#include "arrays.h"
#include "serve.h"

namespace softstep::peers {
namespace {

std::size_t status(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(key + ":", 0) == 0) return std::stoull(line.substr(key.size() + 1)) * 1024;
  throw std::runtime_error("no " + key + " in /proc/self/status");
}

template <NumberType T>
class Server : public CaseServer<Server<T>> {
 public:
  using CaseServer<Server<T>>::CaseServer;

  std::string other(const std::string& command, const Fields& fields) {
    if (command == "exponents") return with_exponents(fields.at(3));
    if (command == "memory") return memory();
    return this->refuse(command);
  }

  std::string load(const Fields& fields) {
    const auto number = [&](std::size_t k) { return static_cast<std::size_t>(std::stoull(fields.at(k))); };
    in_ = {};
    in_.shape = {number(2), number(3), number(4), number(5), number(6), number(7), 0};
    this->scale_ = std::stod(fields.at(8));
    const HeadsShape& s = in_.shape;
    const std::size_t rows = s.batch * s.n_heads * s.n_queries, keys = s.batch * s.n_key_heads * s.n_keys;
    const std::string folder = fields.at(1) + "/";
    q_ = read<T>(folder + "q", rows * s.dim, this->storage_);
    k_ = read<T>(folder + "k", keys * s.dim, this->storage_);
    v_ = read<T>(folder + "v", keys * s.dim, this->storage_);
    do_ = read<T>(folder + "do", rows * s.dim, this->storage_);
    o_ = blank<T>(q_.size(), this->storage_);
    dq_ = blank<T>(q_.size(), this->storage_);
    dk_ = blank<T>(k_.size(), this->storage_);
    dv_ = blank<T>(v_.size(), this->storage_);
    in_.queries = q_.view();
    in_.keys = k_.view();
    in_.values = v_.view();
    state_ = {};
    return std::string("{\"variants\": {\"softstep\": [\"forward\", \"both\"") +
           (s.n_queries == s.n_keys ? ", \"forward-causal\", \"both-causal\"" : "") + "]}}";
  }

  HeadsOptions options() const {
    HeadsOptions options;
    options.scale = this->scale_;
    options.mask.causal = this->causal_;
    options.threads = this->threads_;
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
    out.state = this->backward_ ? &state_ : nullptr;
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t k = 0; k < times; ++k) {
      attention_forward(in_, out, options);
      if (this->backward_) attention_backward(in_, state_, do_.view(), gradients, options);
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
    if (!this->backward_) return "{\"outputs\": [\"o\"]}";
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

  HeadsInputs<T> in_;
  Array<T> q_, k_, v_, do_, o_, dq_, dk_, dv_;
  HeadsState<T> state_;
};

}  // namespace
}  // namespace softstep::peers

int main(int argc, char** argv) {
  return softstep::peers::serve_program<softstep::peers::Server>(argc, argv);
}
