// HunyuanOCR (HunYuanVL, dense).
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/arith.h"
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

constexpr int64_t kUsualSide = 1024;  // pixels of what EncoderShape calls an ordinary picture

void AddVision(FieldReader& config, ModelSpec& spec) {
  const int64_t text_hidden = spec.llm.hidden_size;
  FieldReader vision = FieldReader::Object(config, "vision_config");
  const int64_t width = vision.IntOr("hidden_size", 2, kWidthMax, 1152);
  const int64_t mlp = vision.IntOr("intermediate_size", 1, kMlpWidthMax, 4304);
  const int64_t layers = vision.IntOr("num_hidden_layers", 1, kLayersMax, 27);
  const int64_t heads = vision.IntOr("num_attention_heads", 1, kHeadsMax, 16);
  const int64_t patch = vision.SideOr("patch_size", 1, 256, 16);
  const int64_t merge = vision.IntOr("spatial_merge_size", 1, 16, 2);
  const int64_t channels = vision.IntOr("num_channels", 3, 3, 3);
  const int64_t side = vision.SideOr("max_image_size", patch * merge, kSideMax, 2048) / patch;
  const int64_t sequence = vision.IntOr("max_vit_seq_len", merge * merge, int64_t{1} << 26, 16384);
  if (width % heads != 0) {
    vision.Fail("hidden_size", absl::StrCat(width, " is not a multiple of num_attention_heads ", heads));
  }
  if (vision.Has("out_hidden_size") && vision.Int("out_hidden_size", 2, kWidthMax) != text_hidden) {
    vision.Fail("out_hidden_size", absl::StrCat(vision.fields().Print("out_hidden_size"),
                                                " differs from the decoder's hidden_size ", text_hidden));
  }
  vision.Note("merger", "one newline a merged row and two ends beside the picture's tokens (not checked)");
  config.Adopt(vision.status());

  const int64_t patch_values = channels * patch * patch;
  TensorBuilder add(spec.tensors);
  add.In(WeightPart::kVision, "vision.", "vit.embeddings.");
  add.Matrix("patch_embedding.weight", {{"patch_embedding.weight", width}}, patch_values).sources[0].shape = {
      width, channels, patch, patch};
  add.Vector("patch_embedding.bias", "patch_embedding.bias", width);
  add.Matrix("position_embedding.weight", {{"position_embedding.weight", side * side + 1}}, width);
  for (int64_t i = 0; i < layers; ++i) {
    add.In(WeightPart::kVision, absl::StrCat("vision.layers.", i, "."), absl::StrCat("vit.layers.", i, "."));
    add.LayerNorm("norm1", "input_layernorm", width);
    add.Affine("qkv", {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, width, width);
    add.Affine("out", {"self_attn.o_proj"}, width, width);
    add.LayerNorm("norm2", "post_attention_layernorm", width);
    add.Affine("fc1", {"mlp.dense_h_to_4h"}, mlp, width);
    add.Affine("fc2", {"mlp.dense_4h_to_h"}, width, mlp);
  }
  add.In(WeightPart::kResampler, "merger.", "vit.perceive.");
  add.Vector("norm_in.weight", "before_rms.weight", width);
  add.Matrix("conv.weight", {{"proj.0.weight", 2 * width}}, width * merge * merge).sources[0].shape = {2 * width, width,
                                                                                                       merge, merge};
  add.Vector("conv.bias", "proj.0.bias", 2 * width);
  add.Matrix("expand.weight", {{"proj.2.weight", 4 * width}}, 2 * width).sources[0].shape = {4 * width, 2 * width, 1,
                                                                                             1};
  add.Vector("expand.bias", "proj.2.bias", 4 * width);
  add.Vector("newline", "image_newline", 4 * width);
  add.Affine("proj", {"mlp"}, text_hidden, 4 * width);
  for (const char* name : {"image_begin", "image_end", "image_sep"}) add.Vector(name, name, text_hidden);
  add.Vector("norm_out.weight", "after_rms.weight", text_hidden);

  EncoderShape shape;
  shape.patch_values = patch_values;
  shape.width = width;
  shape.mlp_in = shape.mlp_out = mlp;
  shape.out = text_hidden;
  shape.merge = merge * merge;
  shape.merger_hidden = 6 * width;  // outputs of both convolutions
  shape.largest_patches = std::max(shape.merge, std::min(side * side, sequence));
  const int64_t usual_side = std::max<int64_t>(1, kUsualSide / (patch * merge)) * merge;
  shape.usual_patches = std::min(usual_side * usual_side, shape.largest_patches);
  // A newline behind each line of merged patches, begin and end around all.
  const RowRule rows{.queries = 0, .merge_side = static_cast<int>(merge), .line_rows = 1, .end_rows = 2};
  const auto square = static_cast<int>(std::sqrt(static_cast<double>(shape.usual_patches)));
  shape.usual_rows = rows.Rows({square, square});
  // One merged patch a line is the worst that the side lets pass; beyond it lines get longer.
  const int64_t merged = CeilDiv(shape.largest_patches, shape.merge);
  shape.largest_rows = merged + std::min(merged, CeilDiv(side, merge)) + 2;
  shape.usual_rows = std::min(shape.usual_rows, shape.largest_rows);
  spec.encoder = shape;
}

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "HunyuanVL";
  FieldReader config(input.config, "", spec.assumed);
  // Published files hold the decoder's fields at the top, newer ones in text_config. The class has no defaults of use.
  FieldReader text = config.Has("text_config") ? FieldReader::Object(config, "text_config") : config;
  DecoderDefaults defaults;
  defaults.tied = true;
  spec.llm = ReadDecoder(config, text, defaults);
  spec.llm.qkv_bias = spec.llm.output_bias = text.BoolOr("attention_bias", false);
  if (text.BoolOr("use_qk_norm", true)) spec.llm.head_norm = HeadNorm::kBehindRotation;
  const Quantization quantization = Quantization::Read(config, text);
  config.Adopt(text.status());

  AddVision(config, spec);
  HEADROOM_RETURN_IF_ERROR(config.status());
  DecoderNames names;
  names.q_norm = "self_attn.query_layernorm";
  names.k_norm = "self_attn.key_layernorm";
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kHunyuanVl{{"HunYuanVLForConditionalGeneration"}, Read};

}  // namespace headroom::model::reading
