// The named lines that every byte of a device belongs to. Plan, ledger, arena and gauges use these and no others.
#pragma once

#include <array>
#include <cstdint>

namespace headroom::memory {

enum class Component : uint8_t {
  kVisionWeights,
  kResamplerWeights,
  kLlmWeights,
  kHeadWeights,
  kKvPool,
  kLlmWorkspace,
  kVisionWorkspace,
  kEmbeddingStore,
  kCommunication,   // buffers between devices
  kLibraries,       // what libraries hold by themselves (oneDNN code, cuBLAS, NCCL): outside the arena
  kGraphs,          // steps that a device keeps, to launch each as one: outside the arena
  kContextFloor,    // driver, context, the process itself: outside the arena
  kOtherProcesses,  // outside the arena
  kAlignment,       // lost between the lines of the arena
  kHeadroom,        // promised to nobody: outside the arena
};
inline constexpr int kComponents = 15;

constexpr std::array<Component, kComponents> AllComponents() {
  std::array<Component, kComponents> all{};
  for (int i = 0; i < kComponents; ++i) all[i] = static_cast<Component>(i);
  return all;
}

// "llm workspace", for people.
const char* ComponentTitle(Component component);
// "llm_workspace", for metric labels and JSON.
const char* ComponentLabel(Component component);

// Lies in the arena (all but libraries, graphs, context floor, other processes and headroom).
bool InArena(Component component);
// The owner hands its bytes out later and reports reserved and used itself (KV pool, embedding store). For every other
// line of the arena, taking it makes it reserved and used at once.
bool IsPool(Component component);

}  // namespace headroom::memory
