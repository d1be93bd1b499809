#include "gateway/openai/models.h"

#include "gateway/openai/errors.h"

namespace headroom::gateway::openai {
namespace {

Json ModelJson(const ServedModel& model, int64_t created) {
  return {{"id", model.name},
          {"object", "model"},
          {"created", created},
          {"owned_by", "headroom"},
          {"fingerprint", model.fingerprint},
          {"images", model.config.vision.has_value()}};
}

}  // namespace

absl::StatusOr<const ServedModel*> FindModel(const ServedModels& models, const std::string& name) {
  absl::StatusOr<const ServedModel*> model = models.Find(name);
  if (model.ok()) return model;
  return NotFoundError("model_not_found", "model", std::string(model.status().message()));
}

Json ModelsJson(const ServedModels& models, int64_t created) {
  Json list = Json::array();
  for (const auto& model : models.all()) list.push_back(ModelJson(*model, created));
  return {{"object", "list"}, {"data", std::move(list)}};
}

absl::StatusOr<Json> ModelJson(const ServedModels& models, const std::string& name, int64_t created) {
  HEADROOM_ASSIGN_OR_RETURN(const ServedModel* const model, FindModel(models, name));
  return ModelJson(*model, created);
}

}  // namespace headroom::gateway::openai
