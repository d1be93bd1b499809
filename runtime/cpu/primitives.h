// Matrix products by oneDNN, one primitive per shape, built once and kept. The shapes of a model times the buckets of
// LinearRows bound how many there are. Thread-safe.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/dtype.h"
#include "common/status.h"
#include "runtime/cpu/isa.h"

namespace headroom::runtime::cpu {

struct PrimitiveShape {
  int64_t rows = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t x_row_stride = 0;
  int64_t y_row_stride = 0;
  DType dtype = DType::kF32;
  bool bias = false;
  bool accumulate = false;
  bool weight_is_kn = false;

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 finds a null pointer in the generated code
  auto operator<=>(const PrimitiveShape&) const = default;
};

class Primitives {
 public:
  explicit Primitives(int threads);
  ~Primitives();
  Primitives(const Primitives&) = delete;
  Primitives& operator=(const Primitives&) = delete;

  // False in a build without oneDNN (ThreadSanitizer); nothing else may be called then.
  static bool Available();
  // oneDNN uses nothing above `isa` in this process from now on. FAILED_PRECONDITION once it has computed.
  static absl::Status Limit(Isa isa);

  // Of the primitive, which is not built for it.
  absl::StatusOr<int64_t> ScratchBytes(const PrimitiveShape& shape);
  // Builds the primitive if it is new; returns its scratch bytes.
  absl::StatusOr<int64_t> Prepare(const PrimitiveShape& shape);
  // INVALID_ARGUMENT when the scratch is too small; INTERNAL when oneDNN fails.
  absl::Status Run(const PrimitiveShape& shape, const void* x, const void* weight, const float* bias, float* y,
                   std::span<std::byte> scratch);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace headroom::runtime::cpu
