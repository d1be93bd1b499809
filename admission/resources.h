// Resources: what a request needs, what a worker has, what is left: always all dimensions. Mirrors the proto message.
//
// Every value that enters admission from outside goes through ValidateResources first. With its bound and at most
// kLegsPerWorkerMax legs per worker no sum can overflow, so the operators below only check for programmer errors.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"

namespace headroom::admission {

inline constexpr int64_t kDimensionMax = int64_t{1} << 46;      // 64 TiB where the unit is bytes
inline constexpr int64_t kLegsPerWorkerMax = int64_t{1} << 16;  // active and pending legs of one worker

struct Resources {
  int64_t slots = 0;            // sequences (llm) or images in flight (vision)
  int64_t kv_blocks = 0;        // llm
  int64_t patches = 0;          // vision: patches accepted and not yet encoded
  int64_t embedding_bytes = 0;  // vision: embedding store
  int64_t host_bytes = 0;       // compressed images, decoded pixels, fetched embeddings, queues

  friend bool operator==(const Resources&, const Resources&) = default;
  Resources& operator+=(const Resources& other);
  Resources& operator-=(const Resources& other);
  friend Resources operator+(Resources a, const Resources& b) { return a += b; }
  friend Resources operator-(Resources a, const Resources& b) { return a -= b; }
};

struct Dimension {
  const char* name;  // as in Shortfall.budget
  int64_t Resources::*member;
};

inline constexpr std::array<Dimension, 5> kDimensions = {{
    {"slots", &Resources::slots},
    {"kv_blocks", &Resources::kv_blocks},
    {"patches", &Resources::patches},
    {"embedding_bytes", &Resources::embedding_bytes},
    {"host_bytes", &Resources::host_bytes},
}};

// Every dimension in [0, kDimensionMax]; otherwise INVALID_ARGUMENT that names the dimension, the value and the limit.
absl::Status ValidateResources(const Resources& resources);

// need ≤ room in every dimension.
bool Fits(const Resources& need, const Resources& room);
// Negative dimensions become 0: the room of a worker that reported more than was planned.
Resources ClampedAtZero(Resources resources);
// The largest reserved / capacity of any dimension that has a capacity; 1 where something is reserved of nothing.
double LoadRatio(const Resources& reserved, const Resources& capacity);

// What a refusal was short of. Mirrors the proto message.
struct Shortfall {
  std::string budget;  // a dimension's name, or queue, model_len, max_patches_per_step
  std::string worker;  // empty: every worker of the role
  int64_t needed = 0;
  int64_t free = 0;
  int64_t capacity = 0;
};

// One entry for each dimension in which `need` is above `room`.
std::vector<Shortfall> Shortfalls(const Resources& need, const Resources& room, const Resources& capacity,
                                  const std::string& worker);
// The entry that is short of the largest part of its capacity; empty when `need` fits.
std::optional<Shortfall> WorstShortfall(const Resources& need, const Resources& room, const Resources& capacity,
                                        const std::string& worker);
// "kv_blocks: needs 12, free 3 of 8 (short by 9)".
std::string Describe(const Shortfall& shortfall);

}  // namespace headroom::admission
