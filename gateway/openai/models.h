// Bodies of /v1/models.
#pragma once

#include <string>

#include "gateway/openai/json.h"
#include "gateway/served_model.h"

namespace headroom::gateway::openai {

// The model that a client names; an empty name means the only one. NOT_FOUND (model_not_found) with those there are.
absl::StatusOr<const ServedModel*> FindModel(const ServedModels& models, const std::string& name);

Json ModelsJson(const ServedModels& models, int64_t created);
absl::StatusOr<Json> ModelJson(const ServedModels& models, const std::string& name, int64_t created);

}  // namespace headroom::gateway::openai
