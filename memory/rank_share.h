// What one of N tensor-parallel ranks holds of a model: its share of every matrix, of the KV cache of a token and of
// the widths of a step. With one rank this is the whole model. Internal to memory/.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "memory/kv_layout.h"
#include "model/spec.h"

namespace headroom::memory {

// INVALID_ARGUMENT when `ranks` does not divide the query heads, or a matrix or a number of experts that ranks share.
absl::Status CheckRanks(const model::ModelSpec& spec, int64_t ranks);

// Bytes by part as the arena takes them, in PlannedFormat(): every matrix starts at a multiple of 64. INVALID_ARGUMENT
// when a sum leaves int64.
absl::StatusOr<std::array<int64_t, model::kWeightParts>> RankWeightBytes(
    const model::ModelSpec& spec, DType compute, const std::optional<model::WeightFormat>& quantization, int64_t ranks);

// In which format a plan holds it: `quantization` replaces the compute type of the decoder's products.
model::WeightFormat PlannedFormat(const model::TensorSpec& tensor,
                                  const std::optional<model::WeightFormat>& quantization);

// A matrix with the rank's number of rows, columns or matrices.
model::TensorSpec RankTensor(const model::ModelSpec& spec, model::TensorSpec tensor, int64_t ranks);

model::DecoderShape RankDecoder(const model::ModelSpec& spec, int64_t ranks);

// KV heads stop splitting at one a rank; a latent cache is whole on every rank.
absl::StatusOr<KvLayout> RankKv(const model::ModelSpec& spec, int64_t ranks, int64_t block_size, DType dtype);

}  // namespace headroom::memory
