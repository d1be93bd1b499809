// For builds under ThreadSanitizer, which would report libgomp's and oneDNN's own synchronisation: own kernels compute
// instead.
#include "runtime/cpu/onednn.h"

namespace headroom::runtime::cpu {

struct Products::State {};

Products::Products(int) {}
Products::~Products() = default;
bool Products::Available() { return false; }
absl::Status Products::Limit(Isa) { return absl::OkStatus(); }

absl::StatusOr<int64_t> Products::ScratchBytes(const ProductShape&) {
  return absl::InternalError("this build has no oneDNN");
}

absl::StatusOr<int64_t> Products::Prepare(const ProductShape&) {
  return absl::InternalError("this build has no oneDNN");
}

absl::Status Products::Run(const ProductShape&, const void*, const void*, const float*, float*, std::span<std::byte>) {
  return absl::InternalError("this build has no oneDNN");
}

}  // namespace headroom::runtime::cpu
