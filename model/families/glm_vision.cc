#include "model/families/glm_vision.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "model/families/limits.h"
#include "model/families/tensor_builder.h"

namespace headroom::model::families {
namespace {

constexpr int64_t kUsualSide = 1024;  // pixels of what EncoderShape calls an ordinary picture

// Bounds are on frames x height x width, and one picture counts as one pair of frames.
int64_t PixelsMax(const FamilyInput& input, FieldReader& config, int64_t patch, int64_t merge,
                  std::vector<std::string>& assumed) {
  FieldReader reader(input.preprocessor, "preprocessor_config.", assumed);
  FieldReader size = FieldReader::Object(reader, "size");
  const int64_t pixels = size.IntOr("longest_edge", 1, int64_t{1} << 34, 11'760'000);
  for (const auto& [name, value] : {std::pair{"patch_size", patch}, {"merge_size", merge}}) {
    if (reader.Has(name) && reader.Int(name, 1, kSideMax) != value) {
      reader.Fail(name, absl::StrCat(reader.fields().Print(name), " differs from vision_config's ", value));
    }
  }
  reader.Adopt(size.status());
  config.Adopt(reader.status());
  return pixels;
}

}  // namespace

FieldReader GlmTextFields(FieldReader& config) {
  return config.Has("text_config") || !config.Has("hidden_size") ? FieldReader::Object(config, "text_config") : config;
}

void AddGlmVision(const FamilyInput& input, FieldReader& config, ModelSpec& spec) {
  const int64_t text_hidden = spec.llm.hidden_size;
  FieldReader vision = FieldReader::Object(config, "vision_config");
  const int64_t width = vision.IntOr("hidden_size", 2, kWidthMax, 1536);
  const int64_t layers = vision.IntOr("depth", 1, kLayersMax, 24);
  const int64_t heads = vision.IntOr("num_heads", 1, kHeadsMax, 12);
  const int64_t merger_mlp = vision.IntOr("intermediate_size", 1, kMlpWidthMax, 13696);
  const int64_t out = vision.IntOr("out_hidden_size", 2, kWidthMax, 4096);
  const int64_t patch = vision.SideOr("patch_size", 1, 256, 14);
  const int64_t frames = vision.SideOr("temporal_patch_size", 1, 16, 2);
  const int64_t merge = vision.IntOr("spatial_merge_size", 1, 16, 2);
  const int64_t channels = vision.IntOr("in_channels", 3, 3, 3);
  const int64_t side = vision.SideOr("image_size", patch, kSideMax, 336) / patch;
  const bool bias = vision.BoolOr("attention_bias", false);
  if (width % heads != 0) {
    vision.Fail("hidden_size", absl::StrCat(width, " is not a multiple of num_heads ", heads));
  }
  if (out != text_hidden) {
    vision.Fail("out_hidden_size", absl::StrCat(out, " differs from the decoder's hidden_size ", text_hidden));
  }
  const int64_t pixels = PixelsMax(input, config, patch, merge, spec.assumed);
  config.Adopt(vision.status());

  const int64_t patch_values = channels * frames * patch * patch;
  TensorBuilder add(spec.tensors);
  add.In(WeightPart::kVision, "vision.", "model.visual.");
  add.Matrix("patch_embedding.weight", {{"patch_embed.proj.weight", width}}, patch_values).sources[0].shape = {
      width, channels, frames, patch, patch};
  add.Vector("patch_embedding.bias", "patch_embed.proj.bias", width);
  add.Vector("patch_norm.weight", "post_conv_layernorm.weight", width);
  add.Matrix("position_embedding.weight", {{"embeddings.position_embedding.weight", side * side}}, width);
  for (int64_t i = 0; i < layers; ++i) {
    add.In(WeightPart::kVision, absl::StrCat("vision.layers.", i, "."), absl::StrCat("model.visual.blocks.", i, "."));
    add.Vector("norm1.weight", "norm1.weight", width);
    add.Matrix("qkv.weight", {{"attn.qkv.weight", 3 * width}}, width);
    if (bias) add.Vector("qkv.bias", "attn.qkv.bias", 3 * width);
    add.Matrix("out.weight", {{"attn.proj.weight", width}}, width);
    add.Vector("norm2.weight", "norm2.weight", width);
    // The blocks' MLP is as wide as the output; intermediate_size is the merger's.
    add.Matrix("gate_up.weight", {{"mlp.gate_proj.weight", out}, {"mlp.up_proj.weight", out}}, width);
    add.Matrix("down.weight", {{"mlp.down_proj.weight", width}}, out);
  }
  add.In(WeightPart::kVision, "vision.", "model.visual.");
  add.Vector("post_norm.weight", "post_layernorm.weight", width);
  add.In(WeightPart::kResampler, "merger.", "model.visual.");
  add.Matrix("downsample.weight", {{"downsample.weight", out}}, width * merge * merge).sources[0].shape = {
      out, width, merge, merge};
  add.Vector("downsample.bias", "downsample.bias", out);
  add.In(WeightPart::kResampler, "merger.", "model.visual.merger.");
  add.Matrix("proj.weight", {{"proj.weight", out}}, out);
  add.LayerNorm("norm", "post_projection_norm", out);
  add.Matrix("gate_up.weight", {{"gate_proj.weight", merger_mlp}, {"up_proj.weight", merger_mlp}}, out);
  add.Matrix("down.weight", {{"down_proj.weight", out}}, merger_mlp);

  EncoderShape shape;
  shape.patch_values = patch_values;
  shape.width = width;
  shape.mlp_in = 2 * out;
  shape.mlp_out = out;
  shape.out = out;
  shape.merge = merge * merge;
  shape.merger_hidden = 2 * merger_mlp;
  shape.largest_patches = std::max(shape.merge, pixels / frames / (patch * patch));
  const int64_t usual_side = std::max<int64_t>(1, kUsualSide / (patch * merge)) * merge;
  shape.usual_patches = std::min(usual_side * usual_side, shape.largest_patches);
  spec.encoder = shape;
}

}  // namespace headroom::model::families
