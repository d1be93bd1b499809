#include "model/spec.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/log.h"
#include "common/status.h"
#include "model/files.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/stop_ids.h"

namespace headroom::model {
namespace {

constexpr int64_t kFileBytesMax = 4 << 20;
constexpr int64_t kSideLengthMax = int64_t{1} << 26;
constexpr int64_t kCountMax = int64_t{1} << 20;
constexpr int64_t kParametersMax = int64_t{1} << 50;
constexpr int64_t kShapeMax = (int64_t{1} << 31) - 1;
constexpr size_t kNotesMax = 64;
constexpr size_t kNoteBytesMax = 200;

absl::StatusOr<std::string> ArchitectureOf(const JsonFields& config) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<std::string> names, config.Strings("architectures"));
  if (names.size() == 1 && reading::FamilyOf(names[0])) return names[0];
  const std::string known = absl::StrJoin(reading::KnownArchitectures(), ", ");
  return config.Error("architectures", names.empty() ? absl::StrCat("is missing (known: ", known, ")")
                                                     : absl::StrCat(config.Print("architectures"),
                                                                    " is not known (known: ", known, ")"));
}

// Card files of this project say here what their sources did not: "headroom_assumed": ["…"].
absl::Status AddNotes(const JsonFields& config, std::vector<std::string>& assumed) {
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
    assumed.push_back(note);
  }
  return absl::OkStatus();
}

// A default for sampling is no reason not to start: one that is of no use is left out, and a line says so.
template <typename T>
void SetDefault(const JsonFields& fields, const std::string& name, const absl::StatusOr<T>& value,
                std::optional<T>& target) {
  if (!value.ok()) {
    Log(LogLevel::kWarning, "model", "sampling default ignored").With("reason", std::string(value.status().message()));
  } else if (fields.Has(name)) {
    target = *value;
  }
}

absl::Status ReadGeneration(const std::string& text, ModelSpec& spec) {
  if (text.empty()) return absl::OkStatus();
  HEADROOM_ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Parse("generation_config.json", text));
  GenerationDefaults& generation = spec.generation;
  SetDefault(fields, "temperature", fields.NumberOr("temperature", 0, 100, 1), generation.temperature);
  SetDefault(fields, "top_p", fields.NumberOr("top_p", 1e-6, 1, 1), generation.top_p);
  SetDefault(fields, "top_k", fields.IntOr("top_k", -1, reading::kVocabularyMax, 0), generation.top_k);
  if (generation.top_k == -1) generation.top_k = 0;
  SetDefault(fields, "repetition_penalty", fields.NumberOr("repetition_penalty", 0.01, 100, 1),
             generation.repetition_penalty);
  std::optional<bool> sample;
  SetDefault(fields, "do_sample", fields.BoolOr("do_sample", true), sample);
  if (sample == false) generation.temperature = 0;
  reading::FieldReader reader(fields, "", spec.assumed);
  reading::AddStopIds(reader, spec.llm.vocab_size, spec.llm.eos_token_ids);
  return reader.status();
}

absl::Status CheckTensorSizes(const std::vector<TensorSpec>& tensors) {
  int64_t total = 0;
  for (const TensorSpec& tensor : tensors) {
    const std::string what =
        absl::StrCat("config.json: ", tensor.name, ": ", tensor.count, " of [", tensor.rows, ", ", tensor.cols, "]");
    const std::pair<int64_t, int64_t> sizes[] = {
        {tensor.rows, kSideLengthMax}, {tensor.cols, kSideLengthMax}, {tensor.count, kCountMax}};
    for (const auto& [size, limit] : sizes) {
      if (size >= 1 && size <= limit) continue;
      return absl::InvalidArgumentError(absl::StrCat(what, ": ", size, " is not between 1 and ", limit));
    }
    int64_t elements = 0;
    if (__builtin_mul_overflow(tensor.count * tensor.rows, tensor.cols, &elements) || elements > kParametersMax ||
        (total += elements) > kParametersMax) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, " bring the model above the limit of ", kParametersMax, " parameters"));
    }
  }
  return absl::OkStatus();
}

// Less than 2^50 parameters and every width within bounds, so that sums and products of a plan stay inside int64.
absl::Status CheckSizes(const ModelSpec& spec) {
  HEADROOM_RETURN_IF_ERROR(CheckTensorSizes(spec.tensors));
  const DecoderShape d = ShapeOf(spec.llm);
  std::vector<int64_t> widths = {d.hidden,  d.attention_in, d.attention_out, d.mlp_in,
                                 d.mlp_out, d.routed,       d.router,        d.vocab};
  if (spec.encoder) {
    const EncoderShape& e = *spec.encoder;
    widths.insert(widths.end(),
                  {e.patch_values, e.width, e.mlp_in, e.mlp_out, e.out, e.query_num, e.merge, e.merger_hidden,
                   e.merger_in, e.merger_out, e.line_rows, e.end_rows, e.smallest_patches, e.usual_patches,
                   e.largest_patches, e.usual_rows, e.largest_rows, e.pieces_max});
  }
  for (const int64_t width : widths) {
    if (width >= 0 && width <= kShapeMax) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("config.json: a step needs ", width, " elements a row, the limit is ", kShapeMax));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelSpec> ParseModelSpec(const ConfigTexts& texts) {
  HEADROOM_ASSIGN_OR_RETURN(JsonFields config, JsonFields::Parse("config.json", texts.config));
  HEADROOM_ASSIGN_OR_RETURN(const std::string architecture, ArchitectureOf(config));
  HEADROOM_ASSIGN_OR_RETURN(
      JsonFields preprocessor,
      JsonFields::Parse("preprocessor_config.json", texts.preprocessor.empty() ? "{}" : texts.preprocessor));
  const reading::FamilyInput input{architecture, std::move(config), std::move(preprocessor)};
  HEADROOM_ASSIGN_OR_RETURN(ModelSpec spec, reading::FamilyOf(architecture)(input));
  spec.architecture = architecture;
  HEADROOM_RETURN_IF_ERROR(ReadGeneration(texts.generation, spec));
  HEADROOM_RETURN_IF_ERROR(AddNotes(input.config, spec.assumed));
  HEADROOM_RETURN_IF_ERROR(CheckSizes(spec));
  return spec;
}

absl::StatusOr<ModelSpec> LoadModelSpec(const std::string& path) {
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
    HEADROOM_ASSIGN_OR_RETURN(std::optional<std::string> content, ReadFileIfPresent(directory, file, kFileBytesMax));
    if (!content && text == &texts.config) return absl::InvalidArgumentError("model directory: has no config.json");
    if (content && content->empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": is empty"));
    if (content) *text = *std::move(content);
    // Another name than config.json stands for itself: what lies beside it belongs to another model.
    if (name != "config.json") break;
  }
  return ParseModelSpec(texts);
}

absl::StatusOr<ModelSpec> LoadServedModel(const std::string& directory) {
  HEADROOM_RETURN_IF_ERROR(CheckDirectory(directory));
  HEADROOM_ASSIGN_OR_RETURN(ModelSpec spec, LoadModelSpec(directory));
  const std::vector<std::string> reasons = WhyNotServed(spec);
  if (!reasons.empty()) return absl::InvalidArgumentError(absl::StrJoin(reasons, "; "));
  return spec;
}

}  // namespace headroom::model
