#pragma once

// What a generator draws, sample by sample: into memory, or to whoever takes one sample after another.

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "core/data/finite.h"
#include "softstep/dataset.h"
#include "softstep/error.h"

namespace softstep::data {

/// Where a generator puts the tokens of its samples.
class SampleSink {
 public:
  virtual ~SampleSink() = default;
  /// Called once, before the first sample.
  virtual void begin(std::size_t n_samples, std::size_t sample_size) = 0;
  /// Zeros for the tokens of the next sample, to be written until the next call.
  virtual double* next() = 0;
};

/// Everything but the tokens, which go to `sink`. Throws InvalidArgument naming the field.
DatasetParts<double> draw_samples(const GeneratorOptions& options, SampleSink& sink);

/// Hands each sample on when it is complete, and holds one. Throws InvalidArgument for one that is not
/// finite, as large noise makes: nobody looks at all samples in the end, as make_dataset() does.
class PassedOn final : public SampleSink {
 public:
  explicit PassedOn(std::function<void(const double*)> take) : take_(std::move(take)) {}
  void begin(std::size_t, std::size_t sample_size) override { sample_.resize(sample_size); }
  double* next() override {
    finish();
    has_one_ = true;
    sample_.assign(sample_.size(), 0.0);
    return sample_.data();
  }
  /// Hands on the last one.
  void finish() {
    if (has_one_ && !all_finite(sample_.data(), sample_.size()))
      throw InvalidArgument("tokens", "sample " + std::to_string(n_passed_) + " is not finite");
    if (has_one_) take_(sample_.data());
    n_passed_ += has_one_ ? 1 : 0;
    has_one_ = false;
  }

 private:
  std::function<void(const double*)> take_;
  std::vector<double> sample_;
  std::size_t n_passed_ = 0;
  bool has_one_ = false;
};

}  // namespace softstep::data
