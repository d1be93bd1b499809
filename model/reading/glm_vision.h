// The picture encoder that GLM-4.1V, GLM-4.5V and GLM-4.6V share: gated blocks, a convolution that joins 2 x 2 patches,
// and a gated merger. Its tensors in memory:
//
//   vision.patch_embedding.weight  [D, 3·2·P·P], .bias [D]      vision.patch_norm.weight [D]
//   vision.position_embedding.weight [side², D]                 vision.post_norm.weight [D]
//   vision.rope.inv_freq [D / heads / 2] fp32, filled in by the encoder (not in the file)
//   vision.layers.N.norm1|norm2.weight [D]                      vision.layers.N.qkv.weight [3D, D], .bias (if any)
//   vision.layers.N.out.weight [D, D]                       vision.layers.N.gate_up.weight [2E, D], .down.weight [D, E]
//   merger.downsample.weight [E, D·4], .bias [E]                merger.proj.weight [E, E]
//   merger.norm.weight|.bias [E]                                merger.gate_up.weight [2M, E], .down.weight [E, M]
#pragma once

#include "model/reading/field_reader.h"
#include "model/reading/registry.h"

namespace headroom::model::reading {

// Of a head's elements, where the file does not say.
inline constexpr double kGlmRotaryPart = 0.5;

// The decoder's fields: text_config, or, in early files, the top.
FieldReader GlmTextFields(FieldReader& config);

// Reads vision_config and preprocessor_config.json, sets spec.encoder and adds its tensors. The caller looks at the
// status of `config`. spec.llm has been read.
void AddGlmVision(const FamilyInput& input, FieldReader& config, ModelSpec& spec);

}  // namespace headroom::model::reading
