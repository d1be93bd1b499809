// Chooses the workers of a grant: what fits, then the least loaded, then near each other, so that embeddings travel a
// short way. All legs or none. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "admission/grant.h"

namespace headroom::admission {

// A worker that may take a leg.
struct Candidate {
  std::string worker;
  std::string endpoint;
  Resources capacity;
  Resources room;                    // free now
  int64_t max_patches_per_step = 0;  // vision
  int64_t max_model_len = 0;         // llm
};

// Whether the worker's model limits allow a leg of `role` of that price. Room is another matter.
bool WithinLimits(const Candidate& candidate, Role role, const Price& price);

// One leg to place and who may take it.
struct LegChoice {
  Role role = Role::kLlm;
  Resources need;
  std::vector<const Candidate*> candidates;
};

enum class Against {
  kRoom,      // could it go now
  kCapacity,  // could it ever go
};

// Index of the chosen candidate for each leg, or nothing when no choice fits all legs. A worker with several roles may
// take several legs when their sum fits. At most two legs.
std::optional<std::vector<size_t>> Place(const std::vector<LegChoice>& legs, Against against);

// 2: the same process, 1: the same host, 0: neither, as far as the addresses tell.
int Nearness(const std::string& endpoint_a, const std::string& endpoint_b);

}  // namespace headroom::admission
