// Bodies of /v1/models.
#pragma once

#include <string>

#include "gateway/cluster_view.h"
#include "gateway/openai/json.h"
#include "gateway/served_model.h"

namespace headroom::gateway::openai {

// ServedModels::Find, its errors as clients of OpenAI's API know them: model_not_found, model_not_loaded.
absl::StatusOr<const ServedModel*> FindModel(const ServedModels& models, const std::string& name);

// All models of the configuration, those that cannot answer now among them (`ready`). `created`: seconds since 1970.
Json ModelsJson(const ClusterView& cluster, int64_t created);
// The one of this name or alias. NOT_FOUND (model_not_found) with those that there are.
absl::StatusOr<Json> ModelJson(const ServedModels& models, const ClusterView& cluster, const std::string& name,
                               int64_t created);

}  // namespace headroom::gateway::openai
