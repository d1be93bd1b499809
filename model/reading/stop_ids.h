// eos_token_id of config.json and generation_config.json.
#pragma once

#include <cstdint>
#include <vector>

#include "model/reading/field_reader.h"

namespace headroom::model::reading {

// Appends the ids of tokens that end an answer, without repeats. One that the model has no row for can never come: left
// out, with a line of the log.
void AddStopIds(FieldReader& reader, int64_t vocab_size, std::vector<int64_t>& ids);

}  // namespace headroom::model::reading
