#pragma once

// What every C++ worker of a step shares: the data, the requests and the clock.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "lines.h"
#include "softstep/softstep.h"

namespace softstep::peers {

/// While the clock runs W hardly moves, so that nobody computes with NaN or denormal numbers.
inline constexpr double timed_step_size = 1e-6;

/// Everything that does not depend on W is computed once, for every peer; arrays are the process's own.
template <class T>
struct Data {
  std::size_t n = 0, n_tokens = 0, d = 0;
  std::vector<T> tokens;   ///< [n, T, d]
  std::vector<T> scores;   ///< [n, T] gamma_it = y_i u^T x_it
  std::vector<T> queries;  ///< [n, d]
  std::vector<T> decoder;
  std::vector<std::int8_t> labels;
  std::vector<T> weights;  ///< [d, d] W_0

  const T* sample(std::size_t i) const { return tokens.data() + i * n_tokens * d; }
};

template <class T>
Data<T> load(const std::string& data_file, const std::string& weights_file) {
  const Dataset<T> set = load_dataset<T>(data_file);
  const BatchView<T>& view = set.view();
  if (view.offsets != nullptr || view.queries != nullptr || view.query_index != nullptr)
    throw std::runtime_error("only uniform data with token 0 as the query");
  Data<T> data;
  data.n = view.n_samples;
  data.n_tokens = view.n_tokens;
  data.d = view.dim;
  data.tokens.assign(view.tokens, view.tokens + data.n * data.n_tokens * data.d);
  data.decoder.assign(view.decoder, view.decoder + data.d);
  data.labels.assign(view.labels, view.labels + data.n);
  for (std::size_t i = 0; i < data.n; ++i) {
    data.queries.insert(data.queries.end(), data.sample(i), data.sample(i) + data.d);
    for (std::size_t t = 0; t < data.n_tokens; ++t) {
      double score = 0.0;
      for (std::size_t c = 0; c < data.d; ++c)
        score += static_cast<double>(data.decoder[c]) * data.sample(i)[t * data.d + c];
      data.scores.push_back(static_cast<T>(data.labels[i] * score));
    }
  }
  for (const double w : load_weights(weights_file, data.d)) data.weights.push_back(static_cast<T>(w));
  return data;
}

/// One way to compute the step W -= step_size G / ||G||; holds the data and its own weights.
template <class T>
class Variant {
 public:
  virtual ~Variant() = default;
  virtual void reset() = 0;  ///< W = W_0
  /// Seconds of so many steps.
  virtual double advance(std::int64_t steps, double step_size) = 0;
  virtual double loss() = 0;
  virtual std::vector<T> weights() const = 0;
};

template <class Function>
double seconds_of(Function&& function) {
  const auto start = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// As JSON readers take it; told by the text, since isfinite means nothing under -ffast-math.
inline std::string number(double x) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", x);
  return std::string(text).find('n') == std::string::npos ? text : "NaN";
}

/// `make(name, data, threads)` makes a variant.
template <class T, class Make>
class Server {
 public:
  Server(std::vector<std::string> names, std::string version, int threads, Make make)
      : names_(std::move(names)), version_(std::move(version)), threads_(threads), make_(make) {}

  std::string answer(const Fields& fields) {
    const std::string& command = fields.at(0);
    if (command == "version") return "{\"version\": \"" + version_ + "\"}";
    if (command == "load") {
      ready_.clear();
      data_ = {};
      data_ = load<T>(fields.at(1), fields.at(2));
      std::string list;
      for (const std::string& name : names_) list += (list.empty() ? "\"" : ", \"") + name + "\"";
      return "{\"variants\": [" + list + "]}";
    }
    const std::string& name = fields.at(1);
    if (command == "prepare") {
      ready_[name] = {make_(name, data_, threads_), 0.0};
      ready_[name].variant->reset();
      ready_[name].variant->advance(1, timed_step_size);
      ready_[name].seconds_per_step = ready_[name].variant->advance(1, timed_step_size);
      return "{\"variant\": \"" + name + "\"}";
    }
    Ready& ready = ready_.at(name);
    if (command == "check") {
      ready.variant->reset();
      ready.variant->advance(std::stoll(fields.at(3)), std::stod(fields.at(2)));
      const double loss = ready.variant->loss();
      const std::vector<T> w = ready.variant->weights();
      save_weights(fields.at(4), std::vector<double>(w.begin(), w.end()), data_.d);
      ready.variant->reset();
      return "{\"loss\": " + number(loss) + "}";
    }
    if (command != "run") throw std::runtime_error("unknown request " + command);
    // The first guess of the number of steps may be far off: then it is corrected once.
    const double wanted = std::stod(fields.at(2));
    std::int64_t steps = 1;
    for (int attempt = 0; attempt < 2; ++attempt) {
      steps = std::max<std::int64_t>(1, std::llround(wanted / ready.seconds_per_step));
      const double elapsed = ready.variant->advance(steps, timed_step_size);
      ready.seconds_per_step = elapsed / static_cast<double>(steps);
      if (elapsed > 0.5 * wanted) break;
    }
    return "{\"us\": " + number(1e6 * ready.seconds_per_step) + ", \"steps\": " + std::to_string(steps) + "}";
  }

 private:
  struct Ready {
    std::unique_ptr<Variant<T>> variant;
    double seconds_per_step;
  };
  std::vector<std::string> names_;
  std::string version_;
  int threads_;
  Make make_;
  Data<T> data_;
  std::map<std::string, Ready> ready_;
};

/// main() of a worker: its arguments are TYPE (f32 or f64) and THREADS.
template <class Make>
int serve(int argc, char** argv, const std::vector<std::string>& names, const std::string& version,
          Make make) {
  if (argc != 3) return 2;
  const int threads = std::atoi(argv[2]);
  if (std::string(argv[1]) == "f32") {
    Server<float, Make> server(names, version, threads, make);
    return serve_lines(server);
  }
  Server<double, Make> server(names, version, threads, make);
  return serve_lines(server);
}

/// Mean of log(1 + e^-m).
template <class T>
double mean_loss(const std::vector<T>& margins) {
  double sum = 0.0;
  for (const T m : margins) sum += std::log1p(std::exp(-static_cast<double>(m)));
  return sum / static_cast<double>(margins.size());
}

}  // namespace softstep::peers
