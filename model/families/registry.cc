#include "model/families/registry.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "common/status.h"
#include "model/files.h"

namespace headroom::model {
namespace families {
namespace {

constexpr int64_t kFileBytesMax = 4 << 20;
constexpr int64_t kSideLengthMax = int64_t{1} << 26;
constexpr int64_t kCountMax = int64_t{1} << 20;
constexpr int64_t kParametersMax = int64_t{1} << 50;
constexpr int64_t kShapeMax = (int64_t{1} << 31) - 1;
constexpr size_t kNotesMax = 64;
constexpr size_t kNoteBytesMax = 200;

using CardFunction = absl::StatusOr<ModelCard> (*)(const FamilyInput&);

struct Family {
  const char* architecture;
  CardFunction card;  // null: only as the engine serves it
};

// Sorted by name.
constexpr Family kFamilies[] = {
    {"DeepseekV3ForCausalLM", DeepseekV3Card},
    {"Glm4vForConditionalGeneration", Glm4vCard},
    {"Glm4vMoeForConditionalGeneration", Glm4vMoeCard},
    {"GlmAsrForConditionalGeneration", GlmAsrCard},
    {"HunYuanVLForConditionalGeneration", HunyuanVlCard},
    {"LlamaForCausalLM", LlamaLikeCard},
    {"MiniCPMV", nullptr},
    {"MistralForCausalLM", LlamaLikeCard},
    {"Qwen2ForCausalLM", LlamaLikeCard},
    {"Qwen3ForCausalLM", LlamaLikeCard},
};

// The engine has this architecture; whether it has all that a config asks for is another question.
bool EngineHas(const std::string& architecture) {
  return architecture == "MiniCPMV" || architecture == "Qwen2ForCausalLM" || architecture == "LlamaForCausalLM";
}

absl::StatusOr<std::string> ArchitectureOf(const JsonFields& config) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<std::string> names, config.Strings("architectures"));
  if (names.size() == 1) {
    for (const Family& family : kFamilies) {
      if (names[0] == family.architecture) return names[0];
    }
  }
  std::string known;
  for (const std::string& name : KnownArchitectures()) absl::StrAppend(&known, known.empty() ? "" : ", ", name);
  return config.Error("architectures", absl::StrCat(names.empty() ? "is missing" : config.Print("architectures"),
                                                    names.empty() ? "" : " is not known", " (known: ", known, ")"));
}

// Card files of this project say here what their sources did not: "headroom_assumed": ["…"].
absl::Status AddNotes(const JsonFields& config, ModelCard& card) {
  const char* field = "headroom_assumed";
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<std::string> notes, config.Strings(field));
  if (notes.size() > kNotesMax) {
    return config.Error(field, absl::StrCat("has ", notes.size(), " entries, the limit is ", kNotesMax));
  }
  for (const std::string& note : notes) {
    const bool printable =
        std::all_of(note.begin(), note.end(), [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 127; });
    if (note.size() > kNoteBytesMax || !printable) {
      return config.Error(field, absl::StrCat("an entry is longer than ", kNoteBytesMax, " bytes or not plain text"));
    }
    card.assumed.push_back(note);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelCard> CardOfTexts(const ConfigTexts& texts) {
  HEADROOM_ASSIGN_OR_RETURN(JsonFields config, JsonFields::Parse("config.json", texts.config));
  HEADROOM_ASSIGN_OR_RETURN(const std::string architecture, ArchitectureOf(config));
  std::string refusal;  // why the engine does not serve it
  if (EngineHas(architecture)) {
    // What the engine says of config.json alone decides; a bad file beside it is an error whoever reads it.
    const absl::Status served =
        ParseModelConfig({.config = texts.config, .preprocessor = {}, .generation = {}}).status();
    if (served.ok()) {
      HEADROOM_ASSIGN_OR_RETURN(const ModelConfig model, ParseModelConfig(texts));
      ModelCard card = CardOf(model);
      HEADROOM_RETURN_IF_ERROR(AddNotes(config, card));
      HEADROOM_RETURN_IF_ERROR(CheckCard(card));
      return card;
    }
    if (architecture == "MiniCPMV") return served;
    refusal = std::string(served.message());
  }
  HEADROOM_ASSIGN_OR_RETURN(
      JsonFields preprocessor,
      JsonFields::Parse("preprocessor_config.json", texts.preprocessor.empty() ? "{}" : texts.preprocessor));
  const FamilyInput input{architecture, std::move(config), std::move(preprocessor)};
  const Family* family = std::find_if(std::begin(kFamilies), std::end(kFamilies),
                                      [&](const Family& one) { return architecture == one.architecture; });
  HEADROOM_ASSIGN_OR_RETURN(ModelCard card, family->card(input));
  card.architecture = architecture;
  card.not_served = refusal.empty() ? "the engine does not serve " + architecture : refusal;
  HEADROOM_RETURN_IF_ERROR(AddNotes(input.config, card));
  HEADROOM_RETURN_IF_ERROR(CheckCard(card));
  return card;
}

std::vector<std::string> KnownArchitectures() {
  std::vector<std::string> names;
  for (const Family& family : kFamilies) names.emplace_back(family.architecture);
  return names;
}

absl::Status CheckCard(const ModelCard& card) {
  int64_t total = 0;
  for (const CardTensor& tensor : card.tensors) {
    const std::pair<int64_t, int64_t> sizes[] = {
        {tensor.rows, kSideLengthMax}, {tensor.cols, kSideLengthMax}, {tensor.count, kCountMax}};
    for (const auto& [size, limit] : sizes) {
      if (size >= 1 && size <= limit) continue;
      return absl::InvalidArgumentError(absl::StrCat("config.json: ", tensor.name, ": ", tensor.count, " of [",
                                                     tensor.rows, ", ", tensor.cols, "]: ", size,
                                                     " is not between 1 and ", limit));
    }
    int64_t elements = 0;
    if (__builtin_mul_overflow(tensor.count * tensor.rows, tensor.cols, &elements) || elements > kParametersMax ||
        (total += elements) > kParametersMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("config.json: ", tensor.name, ": ", tensor.count, " of [", tensor.rows, ", ", tensor.cols,
                       "] bring the model above the limit of ", kParametersMax, " parameters"));
    }
  }
  const DecoderShape& d = card.decoder;
  std::vector<int64_t> shapes = {d.hidden,  d.attention_in, d.attention_out, d.mlp_in,
                                 d.mlp_out, d.routed,       d.router,        d.vocab};
  if (card.encoder) {
    const EncoderShape& e = *card.encoder;
    shapes.insert(shapes.end(), {e.patch_values, e.width, e.mlp_in, e.mlp_out, e.out, e.query_num, e.merge,
                                 e.merger_hidden, e.usual_patches, e.largest_patches, e.pieces_max});
  }
  for (const int64_t shape : shapes) {
    if (shape >= 0 && shape <= kShapeMax) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("config.json: a step needs ", shape, " elements a row, the limit is ", kShapeMax));
  }
  return absl::OkStatus();
}

}  // namespace families

absl::StatusOr<ModelCard> LoadModelCard(const std::string& path) {
  std::error_code ignored;
  std::string directory = path, name = "config.json";
  if (!path.empty() && !std::filesystem::is_directory(path, ignored)) {
    const std::filesystem::path file(path);
    if (!std::filesystem::exists(file, ignored)) {
      return absl::InvalidArgumentError(absl::StrCat("model ", path, ": neither a directory nor a config.json"));
    }
    directory = file.has_parent_path() ? file.parent_path().string() : ".";
    name = file.filename().string();
  }
  HEADROOM_RETURN_IF_ERROR(CheckDirectory(directory));
  ConfigTexts texts;
  const std::pair<std::string, std::string*> files[] = {{name, &texts.config},
                                                        {"preprocessor_config.json", &texts.preprocessor},
                                                        {"generation_config.json", &texts.generation}};
  for (const auto& [file, text] : files) {
    HEADROOM_ASSIGN_OR_RETURN(std::optional<std::string> content,
                              ReadFileIfPresent(directory, file, families::kFileBytesMax));
    if (!content && text == &texts.config) return absl::InvalidArgumentError("model directory: has no config.json");
    if (content && content->empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": is empty"));
    if (content) *text = *std::move(content);
    // Another name than config.json stands for itself: what lies beside it belongs to another model.
    if (name != "config.json") break;
  }
  return families::CardOfTexts(texts);
}

}  // namespace headroom::model
