// MiniCPM-V 2.6: a SigLIP tower over the pieces of a picture, a resampler that makes query_num rows of each, and a
// Qwen2 decoder. Its tensors in memory beside those of the decoder:
//
//   vision.patch_embedding.weight      [D, 3·P·P], .bias [D]     vision.position_embedding.weight  [side², D]
//   vision.layers.N.norm1.weight/.bias [D]                       vision.layers.N.norm2.weight/.bias [D]
//   vision.layers.N.qkv.weight [3D, D], .bias                    vision.layers.N.out.weight [D, D], .bias
//   vision.layers.N.fc1.weight [I, D], .bias                     vision.layers.N.fc2.weight [D, I], .bias
//   vision.post_norm.weight/.bias [D]
//
//   resampler.query [64, E] fp32        resampler.kv_proj.weight [E, D]
//   resampler.in_proj.weight [3E, E], .bias [3E] (q, k, v)        resampler.out_proj.weight [E, E], .bias
//   resampler.norm_q|norm_kv|norm_post.weight/.bias [E]           resampler.proj [E, E] as stored: input index first
//   resampler.q [64, E] fp32, space for LN_q(query)·Wqᵀ + bq, computed by the encoder at load (not in the file)
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

constexpr int64_t kQueriesMax = 4096;
constexpr int64_t kResamplerHeadDim = 128;
constexpr size_t kMarkerBytesMax = 64;

// Written as a number or as a string, depending on who exported the file.
bool IsVersion26(const FieldReader& config) {
  const JsonFields& fields = config.fields();
  return fields.StringOr("version", "").value_or("") == "2.6" ||
         std::abs(fields.NumberOr("version", -1e9, 1e9, 0).value_or(0) - 2.6) < 1e-9;
}

// What would change the arithmetic and is not known.
void FailUnknown(FieldReader& reader, const char* name, const char* only) {
  reader.Fail(name, absl::StrCat("not supported: ", reader.fields().Print(name), " (only ", only, ")"));
}

// The class defaults that apply when config.json has no vision_config at all: the SO400M tower at 980 pixels.
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

VisionConfig ReadTower(FieldReader& config) {
  if (!config.Has("vision_config")) {
    config.Note("vision_config", "class default");
    return ClassDefaultVision();
  }
  FieldReader fields = FieldReader::Object(config, "vision_config");
  VisionConfig vision;
  vision.hidden_size = fields.Int("hidden_size", 1, kWidthMax);
  vision.intermediate_size = fields.Int("intermediate_size", 1, kMlpWidthMax);
  vision.layers = fields.Int("num_hidden_layers", 1, kLayersMax);
  vision.heads = fields.Int("num_attention_heads", 1, kHeadsMax);
  if (vision.hidden_size % vision.heads != 0) {
    fields.Fail("hidden_size",
                absl::StrCat(vision.hidden_size, " is not a multiple of num_attention_heads ", vision.heads));
  }
  vision.patch_size = fields.Int("patch_size", 1, 256);
  vision.image_size = fields.Int("image_size", vision.patch_size, kSideMax);
  vision.channels = fields.Has("num_channels") ? fields.Int("num_channels", 3, 3) : 3;
  vision.layer_norm_eps = fields.Number("layer_norm_eps", 0, 1, vision.layer_norm_eps);
  vision.activation = fields.String("hidden_act", vision.activation);
  config.Adopt(fields.status());
  return vision;
}

void ReadVision(FieldReader& config, ModelSpec& spec) {
  VisionConfig vision = ReadTower(config);
  // The class default really is true; the published file overrides it.
  const bool drop_last = config.BoolOr("drop_vision_last_layer", true);
  if (drop_last && vision.layers == 1) {
    config.Fail("drop_vision_last_layer", "leaves no layer of vision_config.num_hidden_layers 1");
  } else if (drop_last) {
    --vision.layers;
  }
  // Rounded down where it does not divide, as in the tower's own class.
  vision.position_side = vision.image_size / vision.patch_size;
  const int64_t patch_size = config.Has("patch_size") ? config.Int("patch_size", 1, 256) : vision.patch_size;
  if (patch_size != vision.patch_size) {
    config.Fail("patch_size", absl::StrCat(patch_size, " differs from vision_config.patch_size ", vision.patch_size));
  }
  // As in the published class: one head for each whole 128 of the width, which they then share equally. Positions take
  // quarters of it.
  const int64_t width = spec.llm.hidden_size, heads = width / kResamplerHeadDim;
  if (heads == 0 || width % heads != 0 || width % 4 != 0) {
    config.Fail("hidden_size", absl::StrCat(width, " is not a multiple of 4 and of the resampler's heads, ", heads,
                                            " (one for each ", kResamplerHeadDim, ")"));
  }
  spec.resampler.heads = std::max<int64_t>(1, heads);
  spec.resampler.query_num = config.IntOr("query_num", 1, kQueriesMax, 64);
  spec.use_image_id = config.Bool("use_image_id", true);
  spec.slice.patch_size = static_cast<int>(vision.patch_size);
  spec.slice.rows.queries = spec.resampler.query_num;
  spec.vision = vision;
}

// Both config.json (slice_config) and preprocessor_config.json hold these; the latter is what the published
// preprocessor reads.
void ReadSlicing(FieldReader& fields, ModelSpec& spec) {
  SliceConfig& slice = spec.slice;
  const int64_t tower = spec.vision->patch_size;
  const auto read = [&fields](const char* name, int64_t min, int64_t max, int64_t absent) {
    return fields.Has(name) ? fields.Int(name, min, max) : absent;
  };
  slice.max_slice_nums = static_cast<int>(read("max_slice_nums", 1, 1000, slice.max_slice_nums));
  slice.scale_resolution = static_cast<int>(read("scale_resolution", tower, kSideMax, slice.scale_resolution));
  slice.patch_size = static_cast<int>(read("patch_size", 1, 256, tower));
  if (slice.patch_size != tower) {
    fields.Fail("patch_size", absl::StrCat(slice.patch_size, " differs from the tower's ", tower));
  }
  if (!fields.Bool("slice_mode", true)) FailUnknown(fields, "slice_mode", "true");
}

void ReadMarkers(FieldReader& fields, ImageMarkers& markers) {
  const std::pair<const char*, std::string*> strings[] = {
      {"im_start", &markers.image_start}, {"im_end", &markers.image_end},     {"slice_start", &markers.slice_start},
      {"slice_end", &markers.slice_end},  {"im_id_start", &markers.id_start}, {"im_id_end", &markers.id_end},
      {"unk", &markers.placeholder}};
  for (const auto& [name, marker] : strings) {
    *marker = fields.String(name, *marker);
    if (marker->empty() || marker->size() > kMarkerBytesMax) {
      fields.Fail(name, absl::StrCat("has ", marker->size(), " bytes, must have 1 to ", kMarkerBytesMax));
    }
  }
}

void ReadPreprocessor(const FamilyInput& input, FieldReader& config, ModelSpec& spec) {
  FieldReader fields(input.preprocessor, "preprocessor_config.", spec.assumed);
  ReadSlicing(fields, spec);
  // Version 2.5 puts one pair of slice markers around all slices.
  if (fields.Has("version") && !IsVersion26(fields)) FailUnknown(fields, "version", "2.6");
  spec.use_image_id = fields.Bool("use_image_id", spec.use_image_id);
  fields.Triple("norm_mean", -1000, spec.norm_mean);
  fields.Triple("norm_std", 1e-6, spec.norm_std);
  if (fields.Has("image_feature_size")) {
    const int64_t features = fields.Int("image_feature_size", 1, kQueriesMax);
    if (features != spec.resampler.query_num) {
      fields.Fail("image_feature_size", absl::StrCat(features, " differs from query_num ", spec.resampler.query_num));
    }
  }
  ReadMarkers(fields, spec.markers);
  config.Adopt(fields.status());
}

void AddTower(const VisionConfig& vision, std::vector<TensorSpec>& tensors) {
  const int64_t width = vision.hidden_size, patch = vision.patch_size;
  TensorBuilder add(tensors);
  add.In(WeightPart::kVision, "vision.", "vpm.embeddings.");
  add.Matrix("patch_embedding.weight", {{"patch_embedding.weight", width}}, vision.patch_values()).sources[0].shape = {
      width, vision.channels, patch, patch};
  add.Vector("patch_embedding.bias", "patch_embedding.bias", width);
  add.Matrix("position_embedding.weight", {{"position_embedding.weight", vision.position_side * vision.position_side}},
             width);
  for (int64_t i = 0; i < vision.layers; ++i) {
    add.In(WeightPart::kVision, absl::StrCat("vision.layers.", i, "."), absl::StrCat("vpm.encoder.layers.", i, "."));
    add.LayerNorm("norm1", "layer_norm1", width);
    add.Affine("qkv", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, width, width);
    add.Affine("out", {"self_attn.out_proj"}, width, width);
    add.LayerNorm("norm2", "layer_norm2", width);
    add.Affine("fc1", {"mlp.fc1"}, vision.intermediate_size, width);
    add.Affine("fc2", {"mlp.fc2"}, width, vision.intermediate_size);
  }
  add.In(WeightPart::kVision, "vision.", "vpm.");
  add.LayerNorm("post_norm", "post_layernorm", width);
}

void AddResampler(const ModelSpec& spec, std::vector<TensorSpec>& tensors) {
  const int64_t width = spec.llm.hidden_size, queries = spec.resampler.query_num;
  TensorBuilder add(tensors);
  add.In(WeightPart::kResampler, "resampler.", "resampler.");
  // It passes a layer norm before its first product.
  add.Matrix("query", {{"query", queries}}, width).format.kind = WeightFormat::Kind::kF32;
  add.Matrix("kv_proj.weight", {{"kv_proj.weight", width}}, spec.vision->hidden_size);
  add.LayerNorm("norm_q", "ln_q", width);
  add.LayerNorm("norm_kv", "ln_kv", width);
  add.Matrix("in_proj.weight", {{"attn.in_proj_weight", 3 * width}}, width);
  add.Vector("in_proj.bias", "attn.in_proj_bias", 3 * width);
  add.Affine("out_proj", {"attn.out_proj"}, width, width);
  add.LayerNorm("norm_post", "ln_post", width);
  add.Matrix("proj", {{"proj", width}}, width);
  add.Computed("q", queries, width);
}

EncoderShape ShapeOfEncoder(const ModelSpec& spec) {
  const VisionConfig& vision = *spec.vision;
  const int64_t side = std::max<int64_t>(1, spec.slice.scale_resolution / spec.slice.patch_size);
  EncoderShape shape;
  shape.patch_values = vision.patch_values();
  shape.width = vision.hidden_size;
  shape.mlp_in = shape.mlp_out = vision.intermediate_size;
  shape.out = spec.llm.hidden_size;
  shape.query_num = shape.usual_rows = shape.largest_rows = spec.resampler.query_num;
  shape.usual_patches = side * side;
  // A piece of an aspect ratio up to 50 to 1 needs about an eighth more than the usual one.
  shape.largest_patches = shape.usual_patches * 9 / 8 + 1;
  shape.pieces_max = spec.slice.max_slice_nums + 1;
  return shape;
}

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "MiniCPM-V 2.6";
  FieldReader config(input.config, "", spec.assumed);
  if (!IsVersion26(config)) FailUnknown(config, "version", "MiniCPMV 2.6");
  DecoderDefaults defaults;
  defaults.positions = 32768;
  spec.llm = ReadDecoder(config, config, defaults);
  spec.llm.qkv_bias = true;
  ReadVision(config, spec);
  if (config.Has("slice_config")) {
    FieldReader slice = FieldReader::Object(config, "slice_config");
    ReadSlicing(slice, spec);
    config.Adopt(slice.status());
  }
  ReadPreprocessor(input, config, spec);
  const Quantization quantization = Quantization::Read(config, config);
  HEADROOM_RETURN_IF_ERROR(config.status());

  spec.encoder = ShapeOfEncoder(spec);
  AddTower(*spec.vision, spec.tensors);
  AddResampler(spec, spec.tensors);
  DecoderNames names;
  names.model = "llm.model.";
  names.head = "llm.lm_head";
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kMinicpmv{{"MiniCPMV"}, Read};

}  // namespace headroom::model::reading
