// The words of admission as plain structs: grants, legs, prices. They mirror headroom/v1/common.proto;
// admission/link/convert.h translates. ARCHITECTURE.md, "Admission", explains the protocol.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "admission/resources.h"

namespace headroom::admission {

using std::chrono::milliseconds;

// 128 random bits, unique for ever.
struct GrantId {
  uint64_t high = 0;
  uint64_t low = 0;
  friend auto operator<=>(const GrantId&, const GrantId&) = default;
};

enum class Role { kVision, kLlm };
inline const char* RoleName(Role role) { return role == Role::kVision ? "vision" : "llm"; }

enum class WorkerState { kLoading, kReady, kDraining };
inline const char* StateName(WorkerState state) {
  return state == WorkerState::kLoading ? "loading" : state == WorkerState::kReady ? "ready" : "draining";
}

// One worker's part of a grant. A grant has at most one leg per role.
struct Leg {
  Role role = Role::kLlm;
  std::string worker;
  std::string endpoint;
  uint64_t incarnation = 0;
  int32_t rank = 0;  // always 0 in this version
  Resources resources;
};

struct Grant {
  GrantId id;
  std::string cluster_id;
  uint64_t epoch = 0;
  std::vector<Leg> legs;
  milliseconds ttl{0};  // relative: counted from the receipt of the message that carries it
  std::string model;    // fingerprint

  const Leg* Find(Role role) const {
    for (const Leg& leg : legs) {
      if (leg.role == role) return &leg;
    }
    return nullptr;
  }
};

// Of a request; higher goes first. The range that the protocol states: every value is a class of the queue.
inline constexpr int32_t kPriorityMin = -8;
inline constexpr int32_t kPriorityMax = 8;

// Names a leg: the grant and the role.
struct LegKey {
  GrantId id;
  Role role = Role::kLlm;
  friend auto operator<=>(const LegKey&, const LegKey&) = default;
};

// What a request needs, one entry per role that it needs. Text-only requests have no vision entry; a moved request
// whose embeddings are still held has none either.
struct Price {
  std::optional<Resources> vision;
  std::optional<Resources> llm;
  int64_t largest_piece_patches = 0;  // against the worker's max_patches_per_step
  int64_t sequence_tokens = 0;        // prompt + max_tokens, against max_model_len
  // What the above was made of; 0 where it is not said. Only explanations read them.
  int64_t prompt_tokens = 0;  // image tokens included
  int64_t image_tokens = 0;
  int64_t pieces = 0;

  const std::optional<Resources>& ForRole(Role role) const { return role == Role::kVision ? vision : llm; }
};

}  // namespace headroom::admission
