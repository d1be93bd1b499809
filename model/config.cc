#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "model/files.h"
#include "model/json_fields.h"

namespace headroom::model {
namespace {

constexpr int64_t kFileBytesMax = 4 << 20;
constexpr int64_t kWidthMax = 1 << 20;
constexpr int64_t kLayersMax = 1024;
constexpr int64_t kHeadsMax = 4096;
constexpr int64_t kHeadDimMax = 4096;
constexpr int64_t kVocabularyMax = 1 << 24;
constexpr int64_t kPositionsMax = 1 << 24;
constexpr int64_t kQueriesMax = 4096;
constexpr int64_t kResamplerHeadDim = 128;
constexpr size_t kStopIdsMax = 64;
constexpr size_t kMarkerBytesMax = 64;

// A field that is absent, null or equal to what we build passes; anything else would change the arithmetic.
absl::Status NotSupported(const JsonFields& fields, const std::string& name, const std::string& only) {
  return fields.Error(name, absl::StrCat("not supported: ", fields.Print(name), " (only ", only, ")"));
}

// Written as a number or as a string, depending on who exported the file.
bool IsVersion26(const JsonFields& fields) {
  return fields.StringOr("version", "").value_or("") == "2.6" ||
         std::abs(fields.NumberOr("version", -1e9, 1e9, 0).value_or(0) - 2.6) < 1e-9;
}

absl::StatusOr<Architecture> ParseArchitecture(const JsonFields& fields) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<std::string> names, fields.Strings("architectures"));
  if (names.empty()) return fields.Error("architectures", "is missing");
  if (names.size() == 1 && names[0] == "Qwen2ForCausalLM") return Architecture::kQwen2;
  if (names.size() == 1 && names[0] == "LlamaForCausalLM") return Architecture::kLlama;
  if (names.size() != 1 || names[0] != "MiniCPMV") {
    return NotSupported(fields, "architectures", "MiniCPMV, Qwen2ForCausalLM, LlamaForCausalLM");
  }
  if (!IsVersion26(fields)) return NotSupported(fields, "version", "MiniCPMV 2.6");
  return Architecture::kMiniCpmV26;
}

absl::Status CheckDecoderIsPlain(const JsonFields& fields, int64_t layers) {
  HEADROOM_ASSIGN_OR_RETURN(const std::string activation, fields.StringOr("hidden_act", "silu"));
  if (activation != "silu") return NotSupported(fields, "hidden_act", "\"silu\"");
  HEADROOM_ASSIGN_OR_RETURN(const bool mlp_bias, fields.BoolOr("mlp_bias", false));
  if (mlp_bias) return NotSupported(fields, "mlp_bias", "false");
  HEADROOM_ASSIGN_OR_RETURN(const double rotary_part, fields.NumberOr("partial_rotary_factor", 0, 1, 1));
  if (rotary_part != 1) return NotSupported(fields, "partial_rotary_factor", "1");
  if (fields.Has("quantization_config")) return NotSupported(fields, "quantization_config", "null");
  HEADROOM_ASSIGN_OR_RETURN(const bool sliding, fields.BoolOr("use_sliding_window", false));
  if (sliding) {
    HEADROOM_ASSIGN_OR_RETURN(const int64_t full_layers, fields.IntOr("max_window_layers", 0, kPositionsMax, 28));
    if (fields.Has("sliding_window") && full_layers < layers)
      return NotSupported(fields, "use_sliding_window", "false");
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<std::string> layer_types, fields.Strings("layer_types"));
  for (const std::string& type : layer_types) {
    if (type != "full_attention") return NotSupported(fields, "layer_types", "\"full_attention\"");
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ParseHeadDim(const JsonFields& fields, int64_t hidden, int64_t heads) {
  if (!fields.Has("head_dim") && hidden % heads != 0) {
    return fields.Error("hidden_size", absl::StrCat(hidden, " is not a multiple of num_attention_heads ", heads,
                                                    ", and head_dim is missing"));
  }
  HEADROOM_ASSIGN_OR_RETURN(const int64_t head_dim, fields.IntOr("head_dim", 2, kHeadDimMax, hidden / heads));
  if (head_dim % 2 != 0 || head_dim > kHeadDimMax) {
    return fields.Error("head_dim", absl::StrCat(head_dim, " must be even and at most ", kHeadDimMax));
  }
  return head_dim;
}

// Ids of tokens that end an answer. One that the model has no row for can never come: left out, with a line.
absl::StatusOr<std::vector<int64_t>> ParseStopIds(const JsonFields& fields, int64_t vocab_size) {
  HEADROOM_ASSIGN_OR_RETURN(std::vector<int64_t> ids, fields.IntOrInts("eos_token_id", 0, kVocabularyMax, kStopIdsMax));
  std::erase_if(ids, [&](int64_t id) {
    if (id < vocab_size) return false;
    Log(LogLevel::kWarning, "model", "eos_token_id beyond the vocabulary ignored")
        .With("id", id)
        .With("vocabulary", vocab_size);
    return true;
  });
  return ids;
}

absl::StatusOr<DecoderConfig> ParseDecoder(const JsonFields& fields, Architecture architecture) {
  DecoderConfig llm;
  HEADROOM_ASSIGN_OR_RETURN(llm.hidden_size, fields.Int("hidden_size", 2, kWidthMax));
  HEADROOM_ASSIGN_OR_RETURN(llm.intermediate_size, fields.Int("intermediate_size", 1, 4 * kWidthMax));
  HEADROOM_ASSIGN_OR_RETURN(llm.layers, fields.Int("num_hidden_layers", 1, kLayersMax));
  HEADROOM_ASSIGN_OR_RETURN(llm.heads, fields.Int("num_attention_heads", 1, kHeadsMax));
  HEADROOM_ASSIGN_OR_RETURN(llm.kv_heads, fields.IntOr("num_key_value_heads", 1, kHeadsMax, llm.heads));
  if (llm.heads % llm.kv_heads != 0) {
    return fields.Error("num_key_value_heads",
                        absl::StrCat(llm.kv_heads, " does not divide num_attention_heads ", llm.heads));
  }
  HEADROOM_ASSIGN_OR_RETURN(llm.head_dim, ParseHeadDim(fields, llm.hidden_size, llm.heads));
  HEADROOM_ASSIGN_OR_RETURN(llm.rms_norm_eps, fields.NumberOr("rms_norm_eps", 0, 1, 1e-6));
  const int64_t class_positions = architecture == Architecture::kLlama ? 2048 : 32768;
  HEADROOM_ASSIGN_OR_RETURN(llm.max_position_embeddings,
                            fields.IntOr("max_position_embeddings", 1, kPositionsMax, class_positions));
  HEADROOM_ASSIGN_OR_RETURN(llm.rope, ParseRope(fields, llm.max_position_embeddings, llm.head_dim));
  llm.max_position_embeddings = RopePositions(llm.rope.scaling, llm.max_position_embeddings);
  HEADROOM_ASSIGN_OR_RETURN(llm.vocab_size, fields.Int("vocab_size", 1, kVocabularyMax));
  HEADROOM_ASSIGN_OR_RETURN(llm.tie_word_embeddings, fields.BoolOr("tie_word_embeddings", false));
  HEADROOM_ASSIGN_OR_RETURN(llm.eos_token_ids, ParseStopIds(fields, llm.vocab_size));
  if (architecture == Architecture::kLlama) {
    HEADROOM_ASSIGN_OR_RETURN(llm.qkv_bias, fields.BoolOr("attention_bias", false));
    llm.output_bias = llm.qkv_bias;
  } else {
    llm.qkv_bias = true;
  }
  HEADROOM_RETURN_IF_ERROR(CheckDecoderIsPlain(fields, llm.layers));
  return llm;
}

// The class defaults that apply when config.json has no vision_config at all (MiniCPM-V 2.6: the SO400M tower at 980
// pixels).
VisionConfig ClassDefaultVision() {
  VisionConfig vision;
  vision.hidden_size = 1152;
  vision.intermediate_size = 4304;
  vision.layers = 27;
  vision.heads = 16;
  vision.patch_size = 14;
  vision.image_size = 980;
  return vision;
}

absl::StatusOr<VisionConfig> ParseVisionObject(const JsonFields& fields) {
  VisionConfig vision;
  HEADROOM_ASSIGN_OR_RETURN(vision.hidden_size, fields.Int("hidden_size", 1, kWidthMax));
  HEADROOM_ASSIGN_OR_RETURN(vision.intermediate_size, fields.Int("intermediate_size", 1, 4 * kWidthMax));
  HEADROOM_ASSIGN_OR_RETURN(vision.layers, fields.Int("num_hidden_layers", 1, kLayersMax));
  HEADROOM_ASSIGN_OR_RETURN(vision.heads, fields.Int("num_attention_heads", 1, kHeadsMax));
  if (vision.hidden_size % vision.heads != 0) {
    return fields.Error("hidden_size",
                        absl::StrCat(vision.hidden_size, " is not a multiple of num_attention_heads ", vision.heads));
  }
  HEADROOM_ASSIGN_OR_RETURN(vision.patch_size, fields.Int("patch_size", 1, 256));
  HEADROOM_ASSIGN_OR_RETURN(vision.image_size, fields.Int("image_size", vision.patch_size, 1 << 14));
  HEADROOM_ASSIGN_OR_RETURN(vision.channels, fields.IntOr("num_channels", 3, 3, 3));
  HEADROOM_ASSIGN_OR_RETURN(vision.layer_norm_eps, fields.NumberOr("layer_norm_eps", 0, 1, 1e-6));
  HEADROOM_ASSIGN_OR_RETURN(const std::string activation, fields.StringOr("hidden_act", "gelu_pytorch_tanh"));
  if (activation != "gelu_pytorch_tanh") return NotSupported(fields, "hidden_act", "\"gelu_pytorch_tanh\"");
  return vision;
}

absl::Status ParseVision(const JsonFields& fields, ModelConfig& config) {
  HEADROOM_ASSIGN_OR_RETURN(const auto object, fields.Object("vision_config"));
  VisionConfig vision = ClassDefaultVision();
  if (object) {
    HEADROOM_ASSIGN_OR_RETURN(vision, ParseVisionObject(*object));
  }
  // The class default really is true; the published file overrides it.
  HEADROOM_ASSIGN_OR_RETURN(const bool drop_last, fields.BoolOr("drop_vision_last_layer", true));
  if (drop_last && vision.layers == 1) {
    return fields.Error("drop_vision_last_layer", "leaves no layer of vision_config.num_hidden_layers 1");
  }
  if (drop_last) --vision.layers;
  // Rounded down where it does not divide, as in the tower's own class.
  vision.position_side = vision.image_size / vision.patch_size;
  HEADROOM_ASSIGN_OR_RETURN(const int64_t patch_size, fields.IntOr("patch_size", 1, 256, vision.patch_size));
  if (patch_size != vision.patch_size) {
    return fields.Error("patch_size",
                        absl::StrCat(patch_size, " differs from vision_config.patch_size ", vision.patch_size));
  }
  // As in the published class: one head for each whole 128 of the width, which they then share equally. Positions take
  // quarters of it.
  const int64_t width = config.llm.hidden_size, heads = width / kResamplerHeadDim;
  if (heads == 0 || width % heads != 0 || width % 4 != 0) {
    return fields.Error("hidden_size", absl::StrCat(width, " is not a multiple of 4 and of the resampler's heads, ",
                                                    heads, " (one for each ", kResamplerHeadDim, ")"));
  }
  config.resampler.heads = heads;
  HEADROOM_ASSIGN_OR_RETURN(config.resampler.query_num, fields.IntOr("query_num", 1, kQueriesMax, 64));
  HEADROOM_ASSIGN_OR_RETURN(config.use_image_id, fields.BoolOr("use_image_id", true));
  config.vision = vision;
  return absl::OkStatus();
}

// Both config.json (slice_config) and preprocessor_config.json hold these; the latter is what the published
// preprocessor reads.
absl::Status ParseSlicing(const JsonFields& fields, ModelConfig& config) {
  SliceConfig& slice = config.slice;
  HEADROOM_ASSIGN_OR_RETURN(slice.max_slice_nums, fields.IntOr("max_slice_nums", 1, 1000, slice.max_slice_nums));
  HEADROOM_ASSIGN_OR_RETURN(slice.scale_resolution, fields.IntOr("scale_resolution", config.vision->patch_size, 1 << 14,
                                                                 slice.scale_resolution));
  HEADROOM_ASSIGN_OR_RETURN(slice.patch_size, fields.IntOr("patch_size", 1, 256, config.vision->patch_size));
  if (slice.patch_size != config.vision->patch_size) {
    return fields.Error("patch_size",
                        absl::StrCat(slice.patch_size, " differs from the tower's ", config.vision->patch_size));
  }
  HEADROOM_ASSIGN_OR_RETURN(const bool slice_mode, fields.BoolOr("slice_mode", true));
  if (!slice_mode) return NotSupported(fields, "slice_mode", "true");
  return absl::OkStatus();
}

absl::Status ParseTriple(const JsonFields& fields, const std::string& name, double min, std::array<double, 3>& triple) {
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<double> numbers, fields.Numbers(name, min, 1000));
  if (!fields.Has(name)) return absl::OkStatus();
  if (numbers.size() != 3) return fields.Error(name, absl::StrCat("must have 3 entries, has ", numbers.size()));
  std::copy(numbers.begin(), numbers.end(), triple.begin());
  return absl::OkStatus();
}

absl::Status ParsePreprocessor(const JsonFields& fields, ModelConfig& config) {
  HEADROOM_RETURN_IF_ERROR(ParseSlicing(fields, config));
  // Version 2.5 puts one pair of slice markers around all slices.
  if (fields.Has("version") && !IsVersion26(fields)) return NotSupported(fields, "version", "2.6");
  HEADROOM_ASSIGN_OR_RETURN(config.use_image_id, fields.BoolOr("use_image_id", config.use_image_id));
  HEADROOM_RETURN_IF_ERROR(ParseTriple(fields, "norm_mean", -1000, config.norm_mean));
  HEADROOM_RETURN_IF_ERROR(ParseTriple(fields, "norm_std", 1e-6, config.norm_std));
  HEADROOM_ASSIGN_OR_RETURN(const int64_t features,
                            fields.IntOr("image_feature_size", 1, kQueriesMax, config.resampler.query_num));
  if (features != config.resampler.query_num) {
    return fields.Error("image_feature_size",
                        absl::StrCat(features, " differs from query_num ", config.resampler.query_num));
  }
  ImageMarkers& markers = config.markers;
  const std::pair<const char*, std::string*> strings[] = {
      {"im_start", &markers.image_start}, {"im_end", &markers.image_end},     {"slice_start", &markers.slice_start},
      {"slice_end", &markers.slice_end},  {"im_id_start", &markers.id_start}, {"im_id_end", &markers.id_end},
      {"unk", &markers.placeholder}};
  for (const auto& [name, marker] : strings) {
    HEADROOM_ASSIGN_OR_RETURN(*marker, fields.StringOr(name, *marker));
    if (marker->empty() || marker->size() > kMarkerBytesMax) {
      return fields.Error(name, absl::StrCat("has ", marker->size(), " bytes, must have 1 to ", kMarkerBytesMax));
    }
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

absl::Status ParseGeneration(const JsonFields& fields, ModelConfig& config) {
  GenerationDefaults& generation = config.generation;
  SetDefault(fields, "temperature", fields.NumberOr("temperature", 0, 100, 1), generation.temperature);
  SetDefault(fields, "top_p", fields.NumberOr("top_p", 1e-6, 1, 1), generation.top_p);
  SetDefault(fields, "top_k", fields.IntOr("top_k", -1, kVocabularyMax, 0), generation.top_k);
  if (generation.top_k == -1) generation.top_k = 0;
  SetDefault(fields, "repetition_penalty", fields.NumberOr("repetition_penalty", 0.01, 100, 1),
             generation.repetition_penalty);
  std::optional<bool> sample;
  SetDefault(fields, "do_sample", fields.BoolOr("do_sample", true), sample);
  if (sample == false) generation.temperature = 0;
  std::vector<int64_t>& stops = config.llm.eos_token_ids;
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<int64_t> more, ParseStopIds(fields, config.llm.vocab_size));
  stops.insert(stops.end(), more.begin(), more.end());
  return absl::OkStatus();
}

void RemoveRepeats(std::vector<int64_t>& ids) {
  std::vector<int64_t> unique;
  for (const int64_t id : ids) {
    if (std::find(unique.begin(), unique.end(), id) == unique.end()) unique.push_back(id);
  }
  ids = std::move(unique);
}

}  // namespace

const char* ArchitectureName(Architecture architecture) {
  switch (architecture) {
    case Architecture::kMiniCpmV26:
      return "MiniCPM-V 2.6";
    case Architecture::kQwen2:
      return "Qwen2ForCausalLM";
    case Architecture::kLlama:
      return "LlamaForCausalLM";
  }
  return "unknown";
}

absl::StatusOr<ModelConfig> ParseModelConfig(const ConfigTexts& texts) {
  HEADROOM_ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Parse("config.json", texts.config));
  ModelConfig config;
  HEADROOM_ASSIGN_OR_RETURN(config.architecture, ParseArchitecture(fields));
  HEADROOM_ASSIGN_OR_RETURN(config.llm, ParseDecoder(fields, config.architecture));
  if (config.architecture == Architecture::kMiniCpmV26) {
    HEADROOM_RETURN_IF_ERROR(ParseVision(fields, config));
    config.slice.patch_size = config.vision->patch_size;
    HEADROOM_ASSIGN_OR_RETURN(const auto slice, fields.Object("slice_config"));
    if (slice) HEADROOM_RETURN_IF_ERROR(ParseSlicing(*slice, config));
    if (!texts.preprocessor.empty()) {
      HEADROOM_ASSIGN_OR_RETURN(const JsonFields preprocessor,
                                JsonFields::Parse("preprocessor_config.json", texts.preprocessor));
      HEADROOM_RETURN_IF_ERROR(ParsePreprocessor(preprocessor, config));
    }
  }
  if (!texts.generation.empty()) {
    HEADROOM_ASSIGN_OR_RETURN(const JsonFields generation,
                              JsonFields::Parse("generation_config.json", texts.generation));
    HEADROOM_RETURN_IF_ERROR(ParseGeneration(generation, config));
  }
  RemoveRepeats(config.llm.eos_token_ids);
  return config;
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& directory) {
  HEADROOM_RETURN_IF_ERROR(CheckDirectory(directory));
  ConfigTexts texts;
  const std::pair<const char*, std::string*> files[] = {{"config.json", &texts.config},
                                                        {"preprocessor_config.json", &texts.preprocessor},
                                                        {"generation_config.json", &texts.generation}};
  for (const auto& [name, text] : files) {
    HEADROOM_ASSIGN_OR_RETURN(std::optional<std::string> content, ReadFileIfPresent(directory, name, kFileBytesMax));
    if (!content && text == &texts.config) {
      return absl::InvalidArgumentError("model directory: has no config.json");
    }
    if (content && content->empty()) return absl::InvalidArgumentError(absl::StrCat(std::string(name), ": is empty"));
    if (content) *text = *std::move(content);
  }
  return ParseModelConfig(texts);
}

}  // namespace headroom::model
