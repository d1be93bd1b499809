// For builds under ThreadSanitizer, which would report libgomp's and oneDNN's own synchronisation: own kernels compute
// instead.
#include "runtime/cpu/primitives.h"

namespace headroom::runtime::cpu {

struct Primitives::State {};

Primitives::Primitives(int) {}
Primitives::~Primitives() = default;
bool Primitives::Available() { return false; }
absl::Status Primitives::Limit(Isa) { return absl::OkStatus(); }

absl::StatusOr<int64_t> Primitives::ScratchBytes(const PrimitiveShape&) {
  return absl::InternalError("this build has no oneDNN");
}

absl::StatusOr<int64_t> Primitives::Prepare(const PrimitiveShape&) {
  return absl::InternalError("this build has no oneDNN");
}

absl::Status Primitives::Run(const PrimitiveShape&, const void*, const void*, const float*, float*,
                             std::span<std::byte>) {
  return absl::InternalError("this build has no oneDNN");
}

}  // namespace headroom::runtime::cpu
