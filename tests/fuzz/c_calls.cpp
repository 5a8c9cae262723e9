// Sequences of calls of the C face, with options, sizes, words and handles from the bytes: null ones, ones
// that have been destroyed and ones of another kind of model too. Each call gives a code; one that is not
// SOFTSTEP_OK leaves a message of one line. Arrays are as long as the header asks for, and end where a
// sanitizer watches. Handles that are still there in the end are destroyed, so that a leak is one of the
// library's.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "bytes.h"
#include "memory_file.h"
#include "softstep/c/softstep.h"

using softstep::fuzz::Bytes;
using softstep::fuzz::require;

namespace {

void expect_code(softstep_status status) {
  require(status >= SOFTSTEP_OK && status < SOFTSTEP_FAILED);
  if (status == SOFTSTEP_OK) return;
  const std::string message = softstep_last_message();
  require(!message.empty() && softstep::fuzz::is_one_line(message));
  require(softstep::fuzz::is_one_line(softstep_last_argument()));
}

// A number that a caller may have in a field.
double real(Bytes& bytes) {
  return bytes.pick({1.0, 0.5, 0.0, -1.0, 1e-300, 1e300, HUGE_VAL, static_cast<double>(NAN), 1e-8, 3.0});
}
std::size_t small(Bytes& bytes) {
  const std::size_t n = bytes.between(0, 40);
  return n > 34 ? std::size_t{0} - n % 7 : n % 8;
}
const char* word(Bytes& bytes) {
  return bytes.pick<const char*>(
      {nullptr,      "combined",     "factored", "prompt",   "logistic",  "exponential", "squared",
       "optimal",    "selected",     "value",    "zero",     "scalar",    "sse2",        "avx2",
       "auto",       "dense",        "ngd",      "gd;ngd",   "muon",      "adam",        "polyak",
       "query-span", "nuclear",      "lp",       "spectral", "max",       "frobenius",   "merged",
       "separate",   "correlation",  "",         "a\nb",     "step-size", "token-span",  "ngd:step-size=-1",
       "sps_plus",   "signal_noise", "mirror"});
}
// The word that a field is likely to want, or any.
const char* word(Bytes& bytes, const char* likely) { return bytes.byte() < 200 ? likely : word(bytes); }

// Numbers in memory of their own length.
template <class T>
std::vector<T> numbers(Bytes& bytes, std::size_t n) {
  std::vector<T> out(n);
  std::uint64_t state = bytes.word() | 1;
  for (T& x : out) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    x = static_cast<T>(static_cast<double>(state >> 40) / (1 << 23) - 1.0);
  }
  for (std::size_t k = bytes.between(0, 2); k > 0 && n != 0; --k)
    out[bytes.byte() % n] = static_cast<T>(bytes.byte() < 250 ? 0.0 : real(bytes));
  return out;
}

template <class Struct>
Struct sized(Bytes& bytes) {
  Struct out{};
  out.struct_size = bytes.byte() < 240 ? sizeof(Struct) : bytes.byte() % (sizeof(Struct) + 1);
  return out;
}

struct Arrays {
  std::vector<double> tokens, decoder, queries, weights, targets;
  std::vector<float> tokens_f32, decoder_f32, queries_f32, targets_f32;
  std::vector<std::int64_t> offsets, query_index;
  std::vector<std::int8_t> labels;
};

class Session {
 public:
  explicit Session(Bytes& bytes) : bytes_(bytes) {}
  ~Session() {
    for (auto* x : workspaces_) softstep_workspace_destroy(x);
    for (auto* x : states_) softstep_state_destroy(x);
    for (auto* x : models_) softstep_model_destroy(x);
    for (auto* x : datasets_) softstep_dataset_destroy(x);
    for (auto* x : certificates_) softstep_margin_certificate_destroy(x);
    for (Arrays* x : arrays_) delete x;
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void step() {
    switch (bytes_.between(0, 25)) {
      case 0:
        return generate();
      case 1:
        return attention_model();
      case 2:
        return linear_model();
      case 3:
        return multiclass_model();
      case 4:
        return relu_model();
      case 5:
        return in_context_model();
      case 6:
        return state();
      case 7:
        return workspace();
      case 8:
        return evaluate();
      case 9:
        return train();
      case 10:
        return read_state();
      case 11:
        return solve();
      case 12:
        return metrics();
      case 13:
        return heads();
      case 14:
        return linear_heads();
      case 15:
        return destroy();
      case 16:
        return ask_model();
      case 17:
        return log_gap();
      case 18:
        return compare();
      case 19:
        return check_gradient();
      case 20:
        return certificate();
      case 21:
        return vocabulary_model();
      case 22:
        return gated_model();
      case 23:
        return induction_model();
      case 24:
        return model_of_batch();
      default:
        expect_code(softstep_force_isa(word(bytes_, "auto")));
    }
  }

 private:
  // One of the handles, null, or one that was destroyed: a build with assertions tells the last.
  template <class Handle>
  Handle* any(const std::vector<Handle*>& live, const std::vector<Handle*>& dead) {
    const std::uint8_t k = bytes_.byte();
    if (k > 250 && !dead.empty() && softstep_checks_handles() == 1) return dead[bytes_.byte() % dead.size()];
    return live.empty() || k > 246 ? nullptr : live[k % live.size()];
  }
  softstep_model* model() { return any(models_, dead_models_); }

  void keep(softstep_status status, softstep_model* made) {
    expect_code(status);
    require((status == SOFTSTEP_OK) == (made != nullptr));
    if (made != nullptr) models_.push_back(made);
  }

  void generate() {
    auto options = sized<softstep_generate_options>(bytes_);
    options.generator = word(bytes_, "signal_noise");
    options.n_samples = bytes_.between(0, 7);
    options.n_tokens = bytes_.between(0, 6);
    options.dim = bytes_.between(0, 9);
    options.seed = bytes_.word();
    options.signal = bytes_.flag() ? 0.0 : real(bytes_);
    options.noise = bytes_.flag() ? 0.0 : real(bytes_);
    options.equal_scores = bytes_.flag() ? 1 : 0;
    softstep_dataset* made = nullptr;
    const softstep_status status = softstep_dataset_generate(&options, &made);
    expect_code(status);
    if (status != SOFTSTEP_OK) return;
    datasets_.push_back(made);
  }

  // A batch of a data set, or of arrays of our own that are as long as it says.
  softstep_batch batch() {
    auto out = sized<softstep_batch>(bytes_);
    out.struct_size = sizeof out;
    if (!datasets_.empty() && bytes_.flag()) {
      expect_code(softstep_dataset_batch(datasets_[bytes_.byte() % datasets_.size()], &out));
      return out;
    }
    auto* own = new Arrays;
    arrays_.push_back(own);
    const std::size_t n = bytes_.between(0, 5), n_tokens = bytes_.between(0, 4), d = bytes_.between(0, 5),
                      pad = bytes_.between(0, 2), rows = n * n_tokens;
    out.type = bytes_.pick<softstep_type>({SOFTSTEP_F64, SOFTSTEP_F64, SOFTSTEP_F32, 7});
    out.n_samples = n;
    out.n_tokens = n_tokens;
    out.dim = d;
    out.token_stride = pad == 0 ? 0 : d + pad;
    const bool single = out.type == SOFTSTEP_F32;
    const auto place = [&](std::vector<double>& in_double, std::vector<float>& in_float, std::size_t size) {
      in_double = numbers<double>(bytes_, size);
      in_float.assign(in_double.begin(), in_double.end());
      return single ? static_cast<const void*>(in_float.data()) : in_double.data();
    };
    out.tokens = place(own->tokens, own->tokens_f32, rows * (d + pad));
    if (bytes_.byte() < 220) out.decoder = place(own->decoder, own->decoder_f32, d);
    for (std::size_t i = 0; i < n; ++i)
      own->labels.push_back(bytes_.byte() < 250 ? (bytes_.flag() ? 1 : -1) : std::int8_t{3});
    if (bytes_.byte() < 230)
      out.labels = own->labels.data();
    else
      out.targets = place(own->targets, own->targets_f32, n);
    if (bytes_.byte() < 60) {
      std::int64_t at = 0;
      for (std::size_t i = 0; i <= n; ++i) {
        own->offsets.push_back(at);
        const std::int64_t left = static_cast<std::int64_t>(rows) - at;
        if (left > 0) at += static_cast<std::int64_t>(bytes_.byte() % (left + 1));
      }
      if (bytes_.byte() > 230) own->offsets[bytes_.byte() % own->offsets.size()] = -1;
      out.offsets = own->offsets.data();
    }
    if (bytes_.byte() < 60) {
      for (std::size_t i = 0; i < n; ++i)
        own->query_index.push_back(static_cast<std::int64_t>(bytes_.between(0, 5)) - 1);
      out.query_index = own->query_index.data();
    } else if (bytes_.byte() < 60) {
      static std::vector<float> unused;
      std::vector<float>& in_float = single ? own->queries_f32 : unused;
      out.queries = place(own->queries, in_float, n * (d + pad));
      out.query_stride = pad == 0 ? 0 : d + pad;
    }
    out.all_tokens_are_queries = bytes_.byte() < 30 ? 1 : 0;
    if (out.all_tokens_are_queries != 0 || bytes_.byte() > 30) return out;
    out.n_queries = bytes_.between(0, 1);
    return out;
  }

  void attention_model() {
    const softstep_batch data = batch();
    auto options = sized<softstep_attention_options>(bytes_);
    options.key_query = word(bytes_, bytes_.pick<const char*>({"combined", "factored", "prompt"}));
    options.rank = bytes_.between(0, 3);
    options.train_decoder = bytes_.byte() < 60 ? 1 : 0;
    options.n_threads = static_cast<std::int32_t>(bytes_.between(0, 2)) - (bytes_.byte() > 250 ? 3 : 0);
    options.loss = word(bytes_, bytes_.pick<const char*>({nullptr, "exponential", "squared"}));
    options.optimal_loss = word(bytes_, nullptr);
    options.optimal_loss_value = bytes_.byte() < 200 ? 0.0 : real(bytes_);
    options.isa = word(bytes_, bytes_.pick<const char*>({nullptr, "scalar", "sse2"}));
    options.token_storage = static_cast<softstep_type>(bytes_.byte() < 220 ? 0 : bytes_.between(0, 4));
    softstep_model* made = nullptr;
    const softstep_status status =
        softstep_attention_model_create(bytes_.byte() > 250 ? nullptr : &data, &options, &made);
    keep(status, made);
  }
  void linear_model() {
    const softstep_batch data = batch();
    auto options = sized<softstep_linear_options>(bytes_);
    options.loss = word(bytes_, nullptr);
    options.optimal_loss = word(bytes_, nullptr);
    options.optimal_loss_value = real(bytes_);
    softstep_model* made = nullptr;
    const softstep_status status = softstep_linear_model_create(&data, &options, &made);
    keep(status, made);
  }
  void multiclass_model() {
    auto data = sized<softstep_multiclass_data>(bytes_);
    data.n_classes = bytes_.between(0, 4);
    data.dim = bytes_.between(0, 4);
    data.n_samples = bytes_.between(0, 6);
    const auto features = numbers<double>(bytes_, data.dim * data.n_samples);
    std::vector<std::size_t> classes;
    for (std::size_t i = 0; i < data.n_samples; ++i) classes.push_back(bytes_.between(0, 4));
    data.features = features.data();
    data.classes = bytes_.byte() > 250 ? nullptr : classes.data();
    softstep_model* made = nullptr;
    const softstep_status status = softstep_multiclass_model_create(
        &data, static_cast<softstep_type>(bytes_.between(0, 2)), word(bytes_, nullptr), &made);
    keep(status, made);
  }
  void relu_model() {
    const softstep_batch data = batch();
    auto options = sized<softstep_relu_options>(bytes_);
    options.n_neurons = bytes_.between(0, 4);
    const auto outer = numbers<double>(bytes_, options.n_neurons);
    if (bytes_.flag()) options.outer = outer.data();
    options.loss = word(bytes_, bytes_.pick<const char*>({nullptr, "correlation", "squared"}));
    options.optimal_loss = word(bytes_, nullptr);
    softstep_model* made = nullptr;
    const softstep_status status = softstep_relu_model_create(&data, &options, &made);
    keep(status, made);
  }
  void in_context_model() {
    auto options = sized<softstep_in_context_options>(bytes_);
    options.dim = bytes_.between(0, 5);
    options.n_examples = small(bytes_);
    const auto spectrum = numbers<double>(bytes_, options.dim);
    std::vector<double> positive;
    for (const double x : spectrum) positive.push_back(bytes_.byte() > 250 ? x : 1.5 + x);
    options.spectrum = positive.data();
    options.form = word(bytes_, bytes_.pick<const char*>({"separate", "merged"}));
    options.n_heads = bytes_.between(0, 3);
    options.rank = bytes_.between(0, 6);
    options.type = static_cast<softstep_type>(bytes_.between(0, 2));
    softstep_model* made = nullptr;
    const softstep_status status = softstep_in_context_model_create(&options, &made);
    keep(status, made);
  }

  std::vector<std::size_t> places(std::size_t n, std::size_t end) {
    std::vector<std::size_t> out = {0};
    for (std::size_t i = 0; i < n; ++i)
      out.push_back(std::min(end, out.back() + (bytes_.byte() > 245 ? 0 : bytes_.between(1, 3))));
    if (bytes_.byte() > 245 && n > 1) std::swap(out[1], out[n]);  // beyond no array: the last is the largest
    return out;
  }
  void vocabulary_model() {
    auto data = sized<softstep_sentence_data>(bytes_);
    data.vocabulary = bytes_.between(0, 4);
    data.dim = bytes_.between(0, 3);
    data.n_sentences = bytes_.between(0, 4);
    const std::size_t most = 12;
    const auto tokens = numbers<double>(bytes_, most * 3), labels = numbers<double>(bytes_, most);
    const auto shares = numbers<double>(bytes_, 4);
    std::vector<double> positive, positive_labels;
    for (const double x : shares) positive.push_back(bytes_.byte() > 250 ? x : 1.5 + std::fabs(x));
    for (const double x : labels) positive_labels.push_back(bytes_.byte() > 250 ? x : 1.5 + std::fabs(x));
    std::vector<std::size_t> next;
    for (std::size_t k = 0; k < most; ++k) next.push_back(bytes_.byte() > 245 ? 7 : k % 4);
    const auto first = places(data.n_sentences, most), first_next = places(data.n_sentences, most);
    data.tokens = tokens.data();
    data.first = first.data();
    data.probabilities = positive.data();
    data.first_next = first_next.data();
    data.next = bytes_.byte() > 250 ? nullptr : next.data();
    data.labels = positive_labels.data();
    auto options = sized<softstep_vocabulary_options>(bytes_);
    options.mixing = word(bytes_, bytes_.pick<const char*>({nullptr, "softmax", "linear"}));
    options.infimum = word(bytes_, bytes_.pick<const char*>({nullptr, "entropy", "best token"}));
    options.n_directions = bytes_.flag() ? bytes_.between(0, 2) : 0;
    if (options.n_directions != 0 || bytes_.byte() > 250) options.directions = tokens.data();
    if (bytes_.flag()) options.values = tokens.data();
    options.has_feed_forward = bytes_.flag() ? 1 : 0;
    if (bytes_.flag()) options.feed_forward = tokens.data();
    options.type = static_cast<softstep_type>(bytes_.between(0, 2));
    double entropy = 0.0;
    expect_code(softstep_sentence_entropy(&data, &entropy));
    softstep_model* made = nullptr;
    const softstep_status status = softstep_vocabulary_attention_model_create(&data, &options, &made);
    keep(status, made);
  }
  void gated_model() {
    auto data = sized<softstep_multitask_regression>(bytes_);
    data.dim = bytes_.between(0, 3);
    data.n_tasks = bytes_.between(0, 3);
    const auto numbers_of = numbers<double>(bytes_, 6);
    std::vector<double> positive;
    for (const double x : numbers_of) positive.push_back(bytes_.byte() > 250 ? x : 0.125 + std::fabs(x));
    std::vector<std::size_t> n_examples;
    for (std::size_t k = 0; k < 3; ++k)
      n_examples.push_back(bytes_.byte() > 250 ? static_cast<std::size_t>(-1) : bytes_.between(0, 5));
    data.spectrum = bytes_.byte() > 250 ? nullptr : positive.data();
    data.n_examples = n_examples.data();
    data.correlations = numbers_of.data();
    data.noise = std::fabs(real(bytes_));
    std::vector<double> weights(3);
    double loss = 0.0;
    expect_code(softstep_multitask_weights(&data, weights.data()));
    expect_code(softstep_multitask_loss(&data, numbers_of.data(), &loss));
    softstep_model* made = nullptr;
    const softstep_status status = softstep_gated_model_create(
        &data, word(bytes_, bytes_.pick<const char*>({nullptr, "free", "constant"})),
        bytes_.flag() ? positive.data() : nullptr, static_cast<softstep_type>(bytes_.between(0, 2)), nullptr,
        &made);
    keep(status, made);
  }
  void induction_model() {
    auto data = sized<softstep_induction_data>(bytes_);
    data.length = bytes_.between(0, 6);
    data.n_samples = bytes_.between(0, 4);
    std::vector<double> sequences(24), targets(4);
    if (bytes_.flag()) {
      expect_code(softstep_induction_generate(data.n_samples, data.length, real(bytes_), real(bytes_), 3,
                                              sequences.data(), targets.data()));
    } else {
      sequences = numbers<double>(bytes_, 24);
    }
    data.sequences = bytes_.byte() > 250 ? nullptr : sequences.data();
    data.targets = targets.data();
    const char* scores = word(bytes_, bytes_.pick<const char*>({nullptr, "product", "single"}));
    double four_gram = 0.0, induction = 0.0;
    expect_code(softstep_induction_parts(&data, real(bytes_), real(bytes_), sequences.data(), scores,
                                         &four_gram, &induction));
    softstep_model* made = nullptr;
    const softstep_status status = softstep_induction_model_create(
        &data, scores, static_cast<softstep_type>(bytes_.between(0, 2)), nullptr, &made);
    keep(status, made);
  }
  // Drawn weights, or diagonal K and Q.
  void model_of_batch() {
    const softstep_batch data = batch();
    softstep_model* made = nullptr;
    if (bytes_.flag()) {
      auto options = sized<softstep_variational_options>(bytes_);
      options.rank = bytes_.between(0, 5);
      options.loss = word(bytes_, bytes_.pick<const char*>({nullptr, "squared", "exponential"}));
      const softstep_status status = softstep_variational_model_create(&data, &options, &made);
      return keep(status, made);
    }
    auto options = sized<softstep_diagonal_options>(bytes_);
    options.form = word(bytes_, bytes_.pick<const char*>({nullptr, "factored", "combined"}));
    options.loss = word(bytes_, nullptr);
    options.optimal_loss = word(bytes_, nullptr);
    options.n_threads = static_cast<std::int32_t>(bytes_.between(0, 2)) - 1;
    const softstep_status status = softstep_diagonal_attention_model_create(&data, &options, &made);
    keep(status, made);
  }

  // Blocks of a live model, in its own type.
  struct Blocks {
    std::vector<std::vector<double>> in_double;
    std::vector<std::vector<float>> in_float;
    std::vector<const void*> pointers;
    std::vector<void*> writable() {
      std::vector<void*> out;
      for (const void* p : pointers) out.push_back(const_cast<void*>(p));
      return out;
    }
    std::vector<const double*> doubles() const {
      std::vector<const double*> out;
      for (const auto& x : in_double) out.push_back(x.data());
      return out;
    }
  };
  Blocks blocks(const softstep_model* of, bool zero = false) {
    Blocks out;
    std::size_t n = 0;
    if (softstep_model_n_blocks(of, &n) != SOFTSTEP_OK) return out;
    softstep_type type = 0;
    expect_code(softstep_model_type(of, &type));
    out.in_double.reserve(n);
    out.in_float.reserve(n);
    for (std::size_t k = 0; k < n; ++k) {
      std::size_t rows = 0, cols = 0;
      const char* name = nullptr;
      expect_code(softstep_model_block(of, k, &name, &rows, &cols));
      out.in_double.push_back(zero ? std::vector<double>(rows * cols) : numbers<double>(bytes_, rows * cols));
      out.in_float.emplace_back(out.in_double.back().begin(), out.in_double.back().end());
      out.pointers.push_back(type == SOFTSTEP_F32 ? static_cast<const void*>(out.in_float.back().data())
                                                  : out.in_double.back().data());
    }
    out.pointers.push_back(nullptr);
    return out;
  }

  void state() {
    softstep_model* of = model();
    softstep_state* made = nullptr;
    softstep_status status = SOFTSTEP_OK;
    if (bytes_.flag()) {
      status = softstep_state_create_normal(of, real(bytes_), bytes_.word(), &made);
    } else {
      const Blocks at = blocks(of);
      const std::vector<const double*> doubles = at.doubles();
      status = softstep_state_create(of, bytes_.flag() || doubles.empty() ? nullptr : doubles.data(), &made);
    }
    expect_code(status);
    if (status == SOFTSTEP_OK) states_.push_back(made);
  }
  void workspace() {
    softstep_workspace* made = nullptr;
    const softstep_status status = softstep_workspace_create(model(), &made);
    expect_code(status);
    if (status == SOFTSTEP_OK) workspaces_.push_back(made);
  }
  void evaluate() {
    softstep_model* of = model();
    softstep_workspace* space = any(workspaces_, dead_workspaces_);
    const Blocks at = blocks(of);
    Blocks gradients = blocks(of, true);
    std::vector<double> exponents(at.pointers.size());
    auto result = sized<softstep_evaluation>(bytes_);
    std::vector<std::size_t> samples;
    for (std::size_t k = bytes_.between(0, 4); k > 0; --k) samples.push_back(bytes_.between(0, 6));
    std::vector<void*> out = gradients.writable();
    if (bytes_.flag()) {
      expect_code(softstep_evaluate(of, space, at.pointers.data(), bytes_.byte() % 20,
                                    bytes_.flag() ? samples.data() : nullptr, samples.size(), &result,
                                    out.data(), exponents.data()));
    } else {
      const Blocks direction = blocks(of);
      expect_code(softstep_hessian_product(of, space, at.pointers.data(), direction.pointers.data(),
                                           out.data(), exponents.data()));
    }
  }

  softstep_train_options train_options() {
    auto options = sized<softstep_train_options>(bytes_);
    options.rules = word(bytes_, bytes_.pick<const char*>({"ngd", "gd", "polyak", "adam", "momentum", "muon",
                                                           "spectral", "sign"}));
    options.n_steps = static_cast<std::int64_t>(bytes_.between(0, 6)) - (bytes_.byte() > 250 ? 9 : 0);
    options.form = word(bytes_, bytes_.pick<const char*>({nullptr, "dense", "query-span", "token-span"}));
    options.float64_masters = bytes_.byte() < 60 ? 1 : 0;
    options.joint = bytes_.byte() < 60 ? 1 : 0;
    options.batch_size = bytes_.byte() < 180 ? 0 : bytes_.between(0, 6);
    options.stop_one_minus_cos = bytes_.byte() < 220 ? 0.0 : real(bytes_);
    options.max_seconds = bytes_.byte() < 240 ? 0.0 : real(bytes_);
    options.trace_rows_per_decade = static_cast<std::int32_t>(bytes_.between(0, 30)) - 1;
    return options;
  }
  void train() {
    softstep_model* of = model();
    softstep_state* from = any(states_, dead_states_);
    const softstep_train_options options = train_options();
    auto summary = sized<softstep_train_summary>(bytes_);
    expect_code(softstep_train(of, from, &options, &summary));
  }
  void compare() {
    softstep_model* of = model();
    softstep_train_options options = train_options();
    options.rules = nullptr;
    const char* rules[2] = {word(bytes_, "ngd"), word(bytes_, "gd")};
    const double values[2] = {real(bytes_), 0.1};
    std::vector<softstep_train_summary> summaries(4);
    for (auto& summary : summaries) summary.struct_size = sizeof summary;
    softstep_state* made[4] = {};
    const bool sweep = bytes_.flag();
    softstep_state* start = bytes_.flag() ? nullptr : any(states_, dead_states_);
    const softstep_status status =
        sweep ? softstep_sweep(of, start, rules, 2, word(bytes_, "step-size"), values, 2, &options,
                               summaries.data(), made)
              : softstep_compare(of, start, rules, 2, &options, summaries.data(), made);
    expect_code(status);
    for (softstep_state* state : made) softstep_state_destroy(state);
  }
  void read_state() {
    softstep_state* of = any(states_, dead_states_);
    std::int64_t step = 0;
    expect_code(softstep_state_step(of, &step));
    std::vector<double> values(bytes_.between(0, 120));
    expect_code(softstep_state_block(of, small(bytes_), values.data(), values.size()));
    expect_code(softstep_observe(model(), of, small(bytes_), values.data(), values.size()));
  }
  void ask_model() {
    softstep_model* of = model();
    std::size_t a = 0, b = 0;
    const char* name = nullptr;
    expect_code(softstep_model_block(of, small(bytes_), &name, &a, &b));
    expect_code(softstep_model_observable(of, small(bytes_), &a, &b));
    expect_code(softstep_model_n_samples(of, &a));
    std::vector<double> attention(bytes_.between(0, 30));
    const Blocks at = blocks(of);
    expect_code(softstep_attention_of_tokens(of, at.pointers.data(), attention.data(), attention.size()));
  }
  void log_gap() {
    softstep_model* of = model();
    softstep_workspace* space = any(workspaces_, dead_workspaces_);
    std::size_t size = 0;
    expect_code(softstep_flat_size(of, &size));
    if (bytes_.byte() > 240) size = bytes_.between(0, 3);
    const auto in_double = numbers<double>(bytes_, size);
    std::vector<double> gradient(size);  // the wider type: either fits
    auto result = sized<softstep_log_gap_result>(bytes_);
    auto plain = sized<softstep_plain_loss_result>(bytes_);
    expect_code(softstep_log_gap(of, space, in_double.data(), size, bytes_.flag() ? gradient.data() : nullptr,
                                 static_cast<softstep_type>(bytes_.between(0, 2)), &result));
    expect_code(softstep_plain_loss(of, space, in_double.data(), size, gradient.data(), &plain));
  }
  void check_gradient() {
    softstep_model* of = model();
    const Blocks at = blocks(of);
    auto options = sized<softstep_gradient_check_options>(bytes_);
    options.tolerance = bytes_.byte() < 200 ? 0.0 : real(bytes_);
    options.max_entries = bytes_.between(0, 5);
    std::size_t size = 0;
    if (of != nullptr) expect_code(softstep_flat_size(of, &size));
    // Each entry is a hundred evaluations, and up to five hundred where the loss jumps: one of the 3660 of a
    // default data set can take two minutes with sanitizers.
    if (size > 1000) return;
    if (size > 100) options.max_entries = 1;
    std::int32_t passed = 0;
    expect_code(softstep_check_gradient(of, at.pointers.data(), &options, nullptr, &passed));
  }

  void solve() {
    const softstep_batch data = batch();
    auto options = sized<softstep_max_margin_options>(bytes_);
    options.tolerance = bytes_.byte() < 200 ? 0.0 : real(bytes_);
    options.max_sweeps = bytes_.between(0, 50);
    options.n_threads = static_cast<std::int32_t>(bytes_.between(0, 2));
    std::vector<std::size_t> selected;
    for (std::size_t i = 0; i < 40; ++i) selected.push_back(bytes_.between(0, 3));
    if (bytes_.byte() < 60) options.selected = selected.data();
    std::vector<double> weights(data.dim * data.dim);
    auto result = sized<softstep_max_margin_result>(bytes_);
    if (bytes_.byte() < 160) {
      expect_code(softstep_solve_max_margin(&data, &options, weights.data(), &result));
    } else {
      // Each is many products and decompositions, and slow with sanitizers.
      if (data.dim > 12) return;
      options.max_sweeps = bytes_.between(1, 5);
      options.selected = nullptr;
      expect_code(softstep_solve_max_margin_in_norm(&data,
                                                    word(bytes_, bytes_.pick<const char*>({"nuclear", "lp"})),
                                                    real(bytes_), &options, weights.data(), &result));
    }
  }
  void metrics() {
    const std::size_t rows = bytes_.between(0, 6), cols = bytes_.between(0, 6);
    const auto a = numbers<double>(bytes_, rows * cols), b = numbers<double>(bytes_, rows * cols);
    double x = 0.0, y = 0.0;
    expect_code(softstep_compare_direction(a.data(), b.data(), a.size(), &x, &y));
    const char* norm = word(bytes_, bytes_.pick<const char*>({"frobenius", "spectral", "nuclear", "lp"}));
    expect_code(softstep_matrix_norm(a.data(), rows, cols, norm, real(bytes_), &x));
    expect_code(softstep_dual_norm(a.data(), rows, cols, norm, real(bytes_), &x));
    std::vector<double> values(std::min(rows, cols) + (bytes_.byte() > 250 ? 1 : 0));
    expect_code(softstep_singular_values(a.data(), rows, cols, values.data(), values.size()));
    const softstep_batch data = batch();
    const auto weights = numbers<double>(bytes_, data.dim * data.dim);
    expect_code(softstep_normalized_margin(&data, weights.data(), &x));
    expect_code(softstep_margin_in_norm(&data, weights.data(), norm, real(bytes_), &x));
    auto sparsity = sized<softstep_sparsity>(bytes_);
    expect_code(softstep_attention_sparsity(&data, weights.data(), real(bytes_), &sparsity));
    std::vector<std::size_t> selected(bytes_.between(0, 20));
    expect_code(softstep_selected_tokens(&data, weights.data(), selected.data(), selected.size()));
  }
  void certificate() {
    if (certificates_.empty() || bytes_.byte() < 80) {
      softstep_margin_certificate* made = nullptr;
      const softstep_status status =
          softstep_margin_certificate_create(bytes_.between(0, 5), bytes_.between(0, 5), &made);
      expect_code(status);
      if (status == SOFTSTEP_OK) certificates_.push_back(made);
      return;
    }
    softstep_margin_certificate* of = certificates_[bytes_.byte() % certificates_.size()];
    const softstep_batch data = batch();
    const auto weights = numbers<double>(bytes_, data.dim * data.dim), matrix = numbers<double>(bytes_, 25);
    std::int32_t added = 0;
    double x = 0.0;
    expect_code(softstep_margin_certificate_add(of, matrix.data(), real(bytes_)));
    expect_code(
        softstep_margin_certificate_add_attention(of, &data, weights.data(), word(bytes_, nullptr), &added));
    expect_code(softstep_margin_certificate_bound(of, word(bytes_, "nuclear"), real(bytes_), &x));
    expect_code(
        softstep_margin_certificate_share(of, real(bytes_), word(bytes_, "frobenius"), real(bytes_), &x));
    expect_code(softstep_certified_share(&data, weights.data(), word(bytes_, "frobenius"), real(bytes_), &x));
  }

  // `size` is what is there; the strides may say anything.
  softstep_heads_array heads_array(std::vector<double>& memory, std::size_t size) {
    memory = numbers<double>(bytes_, size);
    softstep_heads_array out{};
    out.data = bytes_.byte() > 250 ? nullptr : memory.data();
    out.size = size;
    out.type = static_cast<softstep_type>(bytes_.byte() < 240 ? 0 : bytes_.between(0, 5));
    if (out.type == SOFTSTEP_F32) out.size *= 2;
    if (bytes_.byte() < 200) return out;
    out.strided = 1;
    out.origin = small(bytes_);
    for (std::ptrdiff_t* stride : {&out.batch_stride, &out.head_stride, &out.row_stride})
      *stride = bytes_.byte() > 240 ? static_cast<std::ptrdiff_t>(bytes_.word())
                                    : static_cast<std::ptrdiff_t>(bytes_.between(0, 60)) - 20;
    return out;
  }
  template <class Options>
  Options heads_options() {
    auto options = sized<Options>(bytes_);
    options.type = static_cast<softstep_type>(bytes_.byte() < 240 ? 0 : bytes_.between(0, 3));
    options.n_threads = 1;
    options.batch = bytes_.between(1, 2);
    options.n_key_heads = bytes_.between(1, 2);
    options.n_heads = options.n_key_heads * bytes_.between(1, 2);
    options.n_queries = bytes_.between(0, 5);
    options.n_keys = bytes_.between(0, 5);
    options.dim = bytes_.between(1, 5);
    options.value_dim = bytes_.between(0, 5);
    if (bytes_.byte() > 230) {
      std::size_t* const sizes[] = {&options.batch,     &options.n_heads, &options.n_key_heads,
                                    &options.n_queries, &options.n_keys,  &options.dim,
                                    &options.value_dim};
      *sizes[bytes_.byte() % std::size(sizes)] =
          bytes_.flag() ? bytes_.word() : std::size_t{1} << bytes_.between(0, 63);
    }
    options.has_scale = bytes_.flag() ? 1 : 0;
    options.scale = real(bytes_);
    options.causal = bytes_.flag() ? 1 : 0;
    options.has_before = bytes_.flag() ? 1 : 0;
    options.before = small(bytes_);
    options.has_after = bytes_.flag() ? 1 : 0;
    options.after = small(bytes_);
    return options;
  }
  // Room for n rows of d in every head, as much as sizes that were not blown up need.
  static std::size_t room(std::size_t batch, std::size_t heads, std::size_t rows, std::size_t dim) {
    return std::min<std::size_t>(batch, 3) * std::min<std::size_t>(heads, 5) *
           std::min<std::size_t>(rows, 6) * std::min<std::size_t>(dim, 6);
  }

  void heads() {
    const auto options = heads_options<softstep_heads_options>();
    std::int64_t lengths[3];
    for (std::int64_t& n : lengths)
      n = static_cast<std::int64_t>(bytes_.between(0, 6)) - (bytes_.byte() > 250 ? 5 : 0);
    auto with_lengths = options;
    if (options.batch <= 3 && bytes_.byte() < 60) with_lengths.key_lengths = lengths;
    if (bytes_.byte() < 100) with_lengths.soft_cap = real(bytes_);
    const std::size_t b = options.batch, h = options.n_heads, g = options.n_key_heads, m = options.n_queries,
                      n = options.n_keys, d = options.dim, v = options.value_dim == 0 ? d : options.value_dim;
    std::vector<double> q, k, x, o, dq, dk, dx, d_o;
    const auto queries = heads_array(q, room(b, h, m, d)), keys = heads_array(k, room(b, g, n, d)),
               values = heads_array(x, room(b, g, n, v)), outputs = heads_array(o, room(b, h, m, v));
    softstep_heads_state* state = nullptr;
    const softstep_status made =
        softstep_heads_state_create(static_cast<softstep_type>(bytes_.byte() < 240 ? 0 : 1), &state);
    expect_code(made);
    std::vector<double> lse(room(b, h, m, 1));
    const bool plain = m <= 6 && h <= 5 && b <= 3;
    const softstep_status status = softstep_heads_forward(&with_lengths, &queries, &keys, &values, &outputs,
                                                          plain ? lse.data() : nullptr, state);
    expect_code(status);
    const auto d_outputs = heads_array(d_o, room(b, h, m, v)),
               query_gradient = heads_array(dq, room(b, h, m, d)),
               key_gradient = heads_array(dk, room(b, g, n, d)),
               value_gradient = heads_array(dx, room(b, g, n, v));
    expect_code(softstep_heads_backward(&with_lengths, &queries, &keys, &values, state, &d_outputs,
                                        &query_gradient, &key_gradient, &value_gradient, nullptr, nullptr,
                                        nullptr));
    softstep_heads_state_destroy(state);
  }
  void linear_heads() {
    auto options = heads_options<softstep_linear_heads_options>();
    options.gates = static_cast<std::int32_t>(bytes_.between(0, 3));
    const std::size_t b = options.batch, h = options.n_heads, g = options.n_key_heads, m = options.n_queries,
                      n = options.n_keys, d = options.dim, v = options.value_dim == 0 ? d : options.value_dim;
    std::vector<double> q, k, x, o, gates;
    const auto queries = heads_array(q, room(b, h, m, d)), keys = heads_array(k, room(b, g, n, d)),
               values = heads_array(x, room(b, g, n, v)), outputs = heads_array(o, room(b, h, m, v)),
               log_gates = heads_array(gates, room(b, g, n, options.gates == SOFTSTEP_GATES_VECTOR ? d : 1));
    expect_code(softstep_linear_heads_forward(&options, &queries, &keys, &values,
                                              options.gates == 0 ? nullptr : &log_gates, &outputs));
  }

  void destroy() {
    // A workspace looks at its model: what looks goes first.
    const auto end_one = [&](auto& live, auto& dead, auto&& destroy) {
      if (live.empty()) return;
      const auto at = live.begin() + bytes_.byte() % static_cast<std::ptrdiff_t>(live.size());
      destroy(*at);
      dead.push_back(*at);
      live.erase(at);
    };
    switch (bytes_.between(0, 2)) {
      case 0:
        end_one(states_, dead_states_, softstep_state_destroy);
        break;
      case 1:
        end_one(workspaces_, dead_workspaces_, softstep_workspace_destroy);
        break;
      default:
        while (!workspaces_.empty()) end_one(workspaces_, dead_workspaces_, softstep_workspace_destroy);
        end_one(models_, dead_models_, softstep_model_destroy);
    }
  }

  Bytes& bytes_;
  std::vector<softstep_dataset*> datasets_;
  std::vector<softstep_model*> models_, dead_models_;
  std::vector<softstep_workspace*> workspaces_, dead_workspaces_;
  std::vector<softstep_state*> states_, dead_states_;
  std::vector<softstep_margin_certificate*> certificates_;
  std::vector<Arrays*> arrays_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1 << 13) return 0;
  Bytes bytes(data, size);
  Session session(bytes);
  while (!bytes.empty()) session.step();
  softstep_force_isa("auto");
  return 0;
}
