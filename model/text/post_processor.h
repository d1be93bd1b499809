// Ids that stand around a text by itself, as the "post_processor" of a tokenizer.json says. The prompt of a chat has
// none of them: its template writes them out.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "absl/status/statusor.h"

namespace headroom::model {

struct Surroundings {
  std::vector<int32_t> before;
  std::vector<int32_t> behind;
};

// Reads ByteLevel (no ids), TemplateProcessing (its "single"), BertProcessing, RobertaProcessing and Sequence of those;
// null is none. Ids are from 0 to `id_max`. Errors: INVALID_ARGUMENT naming what is not supported.
absl::StatusOr<Surroundings> ReadPostProcessor(const nlohmann::json& json, int32_t id_max);

}  // namespace headroom::model
