// The picture encoder that GLM-4.1V, GLM-4.5V and GLM-4.6V share: gated blocks, a convolution that joins 2 x 2 patches,
// and a gated merger.
#pragma once

#include "model/families/card_builder.h"
#include "model/families/registry.h"

namespace headroom::model::families {

// Reads vision_config and preprocessor_config.json, sets card.encoder and adds its matrices. The caller looks at the
// status of `config`.
void AddGlmVision(const FamilyInput& input, FieldReader& config, int64_t text_hidden, CardBuilder& builder,
                  ModelCard& card);

}  // namespace headroom::model::families
