// quantization_config of a config.json: which matrices of a decoder are stored in how many bits.
#pragma once

#include <array>
#include <cstdint>

#include "model/families/field_reader.h"
#include "model/weight_format.h"

namespace headroom::model::families {

// Groups of matrices that checkpoints quantize or leave alone as a whole.
enum class Site { kAttention, kMlp, kSharedExpert, kExpert };
inline constexpr int kSites = 4;

// By site: format, and (as input) the number of layers that have it, 0 for none.
using SiteFormats = std::array<WeightFormat, kSites>;
using SiteLayers = std::array<int64_t, kSites>;

// What `config` says in quantization_config, or `text` where config.json has none. What was understood, and what could
// not be told, is noted as assumed; errors go to the readers.
//   compressed-tensors  4-bit integers in groups, 8-bit integers, 8-bit floats
//   fp8                 8-bit floats
//   gptq, awq           4 or 8 bits in groups
// Everything else is WeightFormat::Kind::kUnknown.
// Embeddings, head, router, norms and encoders are never counted as quantized.
SiteFormats ReadQuantization(FieldReader& config, FieldReader& text, const SiteLayers& layers);

}  // namespace headroom::model::families
