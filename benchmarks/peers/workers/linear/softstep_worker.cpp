// softstep's linear attention over heads behind the protocol of worker.py in this folder.

#include <chrono>

#include "benchmarks/peers/workers/heads/arrays.h"
#include "benchmarks/peers/workers/heads/serve.h"
#include "softstep/linear_attention.h"

namespace softstep::peers {
namespace {

template <NumberType T>
class Server : public CaseServer<Server<T>> {
 public:
  using CaseServer<Server<T>>::CaseServer;

  std::string other(const std::string& command, const Fields&) { return this->refuse(command); }

  std::string load(const Fields& fields) {
    const auto number = [&](std::size_t k) { return static_cast<std::size_t>(std::stoull(fields.at(k))); };
    const std::size_t n_heads = number(2), n_tokens = number(3), dim = number(4), columns = number(5);
    this->scale_ = std::stod(fields.at(6));
    const std::string folder = fields.at(1) + "/";
    const std::size_t rows = n_heads * n_tokens;
    const auto array = [&](const char* name, std::size_t width) {
      return read<T>(folder + name, rows * width, this->storage_);
    };
    q_ = array("q", dim), k_ = array("k", dim), v_ = array("v", dim), do_ = array("do", dim);
    log_gates_ = columns == 0 ? blank<T>(0, this->storage_) : array("log_gates", columns);
    for (Array<T>* out : {&o_, &dq_, &dk_, &dv_}) *out = blank<T>(rows * dim, this->storage_);
    dlog_gates_ = blank<T>(rows * columns, this->storage_);
    in_ = {};
    in_.shape = {1, n_heads, n_heads, n_tokens, n_tokens, dim, 0};
    in_.queries = q_.view(), in_.keys = k_.view(), in_.values = v_.view();
    in_.gates = columns == 0 ? HeadGates::none : columns == 1 ? HeadGates::scalar : HeadGates::vector;
    if (columns != 0) in_.log_gates = log_gates_.view();
    return std::string("{\"variants\": {\"softstep\": [") + (columns == 0 ? "\"forward\", \"both\", " : "") +
           "\"forward-causal\", \"both-causal\"]}}";
  }

  double call(std::int64_t times) {
    LinearAttentionOptions options;
    options.scale = this->scale_, options.mask.causal = this->causal_, options.threads = this->threads_;
    LinearAttentionGradients<T> gradients{dq_.span(), dk_.span(), dv_.span(), {}};
    if (in_.gates != HeadGates::none) gradients.log_gates = dlog_gates_.span();
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t k = 0; k < times; ++k) {
      linear_attention_forward<T>(in_, o_.span(), options);
      if (this->backward_) linear_attention_backward<T>(in_, do_.view(), gradients, options);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  std::string check(const std::string& folder) {
    call(1);
    std::vector<std::pair<std::string, const Array<T>*>> made{{"o", &o_}};
    if (this->backward_) {
      made.insert(made.end(), {{"dq", &dq_}, {"dk", &dk_}, {"dv", &dv_}});
      if (in_.gates != HeadGates::none) made.emplace_back("dlog_gates", &dlog_gates_);
    }
    std::string names;
    for (const auto& [name, array] : made) {
      write(folder + "/" + name, *array);
      names += (names.empty() ? "\"" : ", \"") + name + "\"";
    }
    return "{\"outputs\": [" + names + "]}";
  }

  LinearAttentionInputs<T> in_;
  Array<T> q_, k_, v_, do_, log_gates_, o_, dq_, dk_, dv_, dlog_gates_;
};

}  // namespace
}  // namespace softstep::peers

int main(int argc, char** argv) {
  return softstep::peers::serve_program<softstep::peers::Server>(argc, argv);
}
