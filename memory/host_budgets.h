// Host memory beside the device: what the services of one process may hold at most, and how that and the device are
// made to fit what the machine, or the control group around the process, has at start.
//
// Three steps, each only as far as the one before does not suffice: budgets that nobody set are lowered, the KV pool
// yields, the start is refused. Budgets are ceilings that usual use stays far below, so they go first; one that was
// set is a promise and stays.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config.h"
#include "memory/host_memory.h"

namespace headroom::memory {

struct HostedServices {
  bool gateway = false;
  bool scheduler = false;
  int vision = 0;                 // vision-workers: one for each model that takes images
  int llm = 0;                    // llm-workers: one for each model
  int64_t decoder_bytes = 0;      // of the sandboxed image decoders of one vision-worker
  int64_t model_files_bytes = 0;  // of tokenizers and templates, out of the gateway's budget
};

// A ceiling, by what holds the memory.
struct HostLine {
  std::string service;
  std::string what;
  int64_t bytes = 0;
  int64_t bytes_min = 0;                                 // a start may lower it to this; `bytes`: it does not
  std::string keys;                                      // of the configuration that it follows from; empty: none
  int64_t& (*setting)(ClusterConfig& config) = nullptr;  // null: it follows from other keys
};

std::vector<HostLine> HostLines(const ClusterConfig& config, const HostedServices& services);

// The machine as it was before the process took anything, and the ceilings that were made to fit it.
struct HostFit {
  HostMemory machine;
  std::vector<HostLine> lines;

  int64_t budget_bytes() const;
  // What the machine lacks of a device of so many bytes and the budgets: what the KV pool must yield.
  int64_t LackingBytes(int64_t device_bytes) const;
  // For refusals: the sum that does not work out, and the keys to lower.
  std::string Account(int64_t device_bytes) const;
};

// Lowers budgets in `config`, with a line in the log. With kind cpu and a worker among the services, device.memory is
// counted and may still be lacking afterwards; it is INVALID_ARGUMENT when it is more than the machine has at all.
// Without a worker, FAILED_PRECONDITION when the budgets do not fit.
absl::StatusOr<HostFit> FitHostMemory(const HostedServices& services, ClusterConfig& config,
                                      const HostMemory& machine = ReadHostMemory());

}  // namespace headroom::memory
