#include "gateway/openai/models.h"

#include <algorithm>

#include "common/error_details.h"
#include "gateway/openai/errors.h"

namespace headroom::gateway::openai {
namespace {

constexpr char kParam[] = "model";

Json ModelJson(const v1::ModelStatus& model, int64_t created) {
  Json json = {{"id", model.name()},
               {"object", "model"},
               {"created", created},
               {"owned_by", "headroom"},
               {"aliases", std::vector<std::string>(model.aliases().begin(), model.aliases().end())},
               {"ready", model.ready()}};
  if (!model.ready()) json["not_ready"] = model.not_ready();
  if (model.ready()) json["max_model_len"] = model.max_model_len();
  if (!model.has_fingerprint()) return json;
  json["fingerprint"] = model.fingerprint().sha256();
  json["images"] = model.images();
  return json;
}

}  // namespace

absl::StatusOr<const ServedModel*> FindModel(const ServedModels& models, const std::string& name) {
  absl::StatusOr<const ServedModel*> model = models.Find(name);
  if (model.ok()) return model;
  const std::optional<RefusalReason> reason = ReasonOf(model.status());
  if (reason == RefusalReason::kModelNotFound) return WithCode("model_not_found", kParam, model.status());
  if (reason == RefusalReason::kModelNotLoaded) return WithCode("model_not_loaded", kParam, model.status());
  return WithCode("missing_required_parameter", kParam, model.status());
}

Json ModelsJson(const ClusterView& cluster, int64_t created) {
  Json list = Json::array();
  for (const v1::ModelStatus& model : cluster.Models()) list.push_back(ModelJson(model, created));
  return {{"object", "list"}, {"data", std::move(list)}};
}

absl::StatusOr<Json> ModelJson(const ServedModels& models, const ClusterView& cluster, const std::string& name,
                               int64_t created) {
  for (const v1::ModelStatus& model : cluster.Models()) {
    const bool is_alias = std::find(model.aliases().begin(), model.aliases().end(), name) != model.aliases().end();
    if (model.name() == name || is_alias) return ModelJson(model, created);
  }
  return FindModel(models, name).status();
}

}  // namespace headroom::gateway::openai
