// What one rendering may use. Steps bound its time: a step is an expression or statement that is evaluated, an element
// that is copied or 64 bytes of text that are read or written. Bytes bound its memory: all strings, lists and maps that
// are alive, about. Used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/status.h"

namespace headroom::model::jinja {

struct Limits {
  int64_t steps = 10'000'000;
  int64_t bytes = int64_t{128} << 20;
  int64_t output_bytes = int64_t{16} << 20;
};

class Allowance {
 public:
  explicit Allowance(const Limits& limits) : limits_(limits) {}
  Allowance(const Allowance&) = delete;
  Allowance& operator=(const Allowance&) = delete;

  // The following give INVALID_ARGUMENT beyond the limit.
  absl::Status Work(size_t steps) {
    steps_ += static_cast<int64_t>(steps);
    if (steps_ <= limits_.steps) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("takes more than ", limits_.steps, " steps"));
  }
  absl::Status WorkOnText(size_t bytes) { return Work(1 + bytes / kTextBytesPerStep); }
  // Before something of `bytes` is made. Counts nothing: Charge does.
  absl::Status CheckRoom(size_t bytes) const {
    if (bytes <= static_cast<size_t>(limits_.bytes) && bytes_ + static_cast<int64_t>(bytes) <= limits_.bytes)
      return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("needs more than ", limits_.bytes, " bytes of memory"));
  }
  absl::Status CheckOutput(size_t bytes) const {
    if (static_cast<int64_t>(bytes) <= limits_.output_bytes) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("writes more than ", limits_.output_bytes, " bytes"));
  }

  int64_t steps() const { return steps_; }
  int64_t bytes() const { return bytes_; }

 private:
  friend class Charge;
  static constexpr size_t kTextBytesPerStep = 64;

  const Limits limits_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
};

// The bytes of one value, given back when it goes. A value without an allowance belongs to the template.
class Charge {
 public:
  Charge() = default;
  Charge(Allowance* allowance, size_t bytes) : allowance_(allowance), bytes_(static_cast<int64_t>(bytes)) {
    if (allowance_ != nullptr) allowance_->bytes_ += bytes_;
  }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge() { Add(-bytes_); }

  void Add(int64_t bytes) {
    bytes_ += bytes;
    if (allowance_ != nullptr) allowance_->bytes_ += bytes;
  }

 private:
  Allowance* allowance_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace headroom::model::jinja
