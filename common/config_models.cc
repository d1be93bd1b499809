#include "common/config_models.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "common/units.h"
#include "common/utf8.h"

namespace headroom {
namespace {

constexpr size_t kModelNameBytesMax = 128;
constexpr int64_t kDeviceBytesMin = 16 * kMiB;
// Of shares such as 0.7 + 0.2 + 0.1, which are no sums of powers of two.
constexpr double kShareRounding = 1e-9;

// Clients, labels of metrics and commands name models: nothing in a name needs quoting anywhere.
absl::Status CheckName(const std::string& key, const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("._:/@+-").find(c) != std::string_view::npos;
  };
  if (!name.empty() && name.size() <= kModelNameBytesMax && std::all_of(name.begin(), name.end(), allowed)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(key, ": wanted 1 to ", kModelNameBytesMax,
                                                 " letters, digits or any of . _ : / @ + -, got '", CutText(name, 80),
                                                 "'"));
}

absl::Status CheckNames(const std::string& key, const ModelSection& model, std::set<std::string>& seen) {
  // A directory may have any name; one that was given must be one that clients can write.
  if (!model.name.empty()) HEADROOM_RETURN_IF_ERROR(CheckName(key + ".name", model.name));
  std::vector<std::string> names = model.aliases;
  for (const std::string& alias : names) HEADROOM_RETURN_IF_ERROR(CheckName(key + ".aliases", alias));
  names.push_back(model.Name());
  for (const std::string& name : names) {
    if (!seen.insert(name).second) return absl::InvalidArgumentError(key + ": the name '" + name + "' stands twice");
  }
  return absl::OkStatus();
}

std::string NamesOf(const std::vector<ModelSection>& models) {
  std::string names;
  for (const ModelSection& model : models) absl::StrAppend(&names, names.empty() ? "'" : ", '", model.Name(), "'");
  return names;
}

template <typename T>
void Prefer(const std::optional<T>& own, std::optional<T>& knob) {
  if (own) knob = own;
}

void PreferOwn(const KnobsSection& own, KnobsSection& knobs) {
  Prefer(own.max_num_seqs, knobs.max_num_seqs);
  Prefer(own.max_model_len, knobs.max_model_len);
  Prefer(own.max_num_batched_tokens, knobs.max_num_batched_tokens);
  Prefer(own.gpu_memory_utilization, knobs.gpu_memory_utilization);
  Prefer(own.block_size, knobs.block_size);
  Prefer(own.max_patches_per_step, knobs.max_patches_per_step);
  Prefer(own.embedding_store_pages, knobs.embedding_store_pages);
  if (own.kv_cache_dtype != KnobsSection().kv_cache_dtype) knobs.kv_cache_dtype = own.kv_cache_dtype;
  if (own.decode_graphs != KnobsSection().decode_graphs) knobs.decode_graphs = own.decode_graphs;
}

}  // namespace

void ModelSection::Declare(ConfigFields& fields) {
  fields.Text("name", &name, "what clients call it; empty: the last part of the path");
  fields.List("aliases", &aliases, "other names for it");
  fields.Text("path", &path, "directory in Hugging Face layout (config.json, *.safetensors, tokenizer.json)");
  fields.Choice("dtype", &dtype, {"bf16", "fp32"}, "number format of weights and matrix products");
  fields.Text("chat_template", &chat_template,
              "file with a Jinja chat template, instead of the model's own; the same for all services");
}

void ModelSection::DeclareEntry(ConfigFields& fields) {
  Declare(fields);
  fields.OptionalNumber("share", &share, 0, 1, true,
                        "part of device.memory that its workers take; of the models on one device at most 1 together. "
                        "Absent: all");
  ConfigFields own;
  knobs.Declare(own);
  fields.Nested("knobs", std::move(own), "keys of the section `knobs`, for this model alone");
}

std::string ModelSection::Name() const {
  if (!name.empty()) return name;
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
}

bool ModelSection::IsCalled(const std::string& called) const {
  return Name() == called || std::find(aliases.begin(), aliases.end(), called) != aliases.end();
}

int64_t ModelSection::ShareOf(int64_t device_bytes) const {
  constexpr int64_t kPage = 4096;
  if (!share) return device_bytes;
  return static_cast<int64_t>(std::floor(*share * static_cast<double>(device_bytes))) / kPage * kPage;
}

absl::Status CheckModels(const ClusterConfig& config) {
  std::set<std::string> seen;
  if (config.models.empty()) return CheckNames("model", config.model, seen);
  if (!config.model.path.empty()) {
    return absl::InvalidArgumentError(
        "model.path and models are both given: one model stands in `model`, several in "
        "`models`");
  }
  for (size_t i = 0; i < config.models.size(); ++i) {
    const ModelSection& model = config.models[i];
    const std::string key = absl::StrCat("models[", i, "]");
    if (model.path.empty()) return absl::InvalidArgumentError(key + ".path is not set ('" + model.name + "')");
    HEADROOM_RETURN_IF_ERROR(CheckNames(key, model, seen));
  }
  if (config.models.size() > kModelsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("models has ", config.models.size(), " entries, at most ", kModelsMax));
  }
  return absl::OkStatus();
}

absl::StatusOr<ClusterConfig> ConfigOfModel(const ClusterConfig& config, const std::string& name,
                                            const std::string& key) {
  const std::vector<ModelSection> models = config.Models();
  const auto found = name.empty() && models.size() == 1
                         ? models.begin()
                         : std::find_if(models.begin(), models.end(), [&](const auto& m) { return m.IsCalled(name); });
  if (found == models.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, " is '", CutText(name, 80), "': it must name one of the models ", NamesOf(models)));
  }
  ClusterConfig own = config;
  own.model = *found;
  own.models.clear();
  PreferOwn(found->knobs, own.knobs);
  own.model.knobs = {};
  if (!found->share) return own;
  own.device.memory = found->ShareOf(config.device.memory);
  if (own.device.memory < kDeviceBytesMin) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the share of the model '", found->Name(), "' is ", own.device.memory, " bytes, at least ", kDeviceBytesMin,
        " are needed: models.share (", *found->share, ") of device.memory (", config.device.memory, " bytes)"));
  }
  return own;
}

absl::Status CheckShares(const ClusterConfig& config) {
  double sum = 0;
  std::string shares;
  for (const ModelSection& model : config.models) {
    sum += model.share.value_or(1);
    absl::StrAppend(&shares, shares.empty() ? "" : ", ", "models.", model.Name(), ".share ", model.share.value_or(1),
                    model.share ? "" : " (not set)");
  }
  if (config.models.size() < 2 || sum <= 1 + kShareRounding) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the models of one device want ", sum, " of its device.memory (",
                                                 FormatBytes(config.device.memory), "), and it has 1: ", shares));
}

}  // namespace headroom
