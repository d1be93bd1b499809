// Entry points of the CPU backend for runtime/device.cc.
#pragma once

#include <memory>

#include "common/status.h"
#include "runtime/backend.h"
#include "runtime/device.h"

namespace headroom::runtime::cpu {

absl::StatusOr<Isa> DetectIsa();

// Keeps oneDNN at or below `isa`. Once per process, before its first use. FAILED_PRECONDITION when it was used already.
absl::Status LimitLibraries(Isa isa);

// `isa` must be present; threads ≥ 1.
std::unique_ptr<Backend> CreateBackend(Isa isa, int threads);

}  // namespace headroom::runtime::cpu
