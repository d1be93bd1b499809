#include "model/reading/glm_vision.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/arith.h"
#include "model/reading/grid_preprocessor.h"
#include "model/reading/limits.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

constexpr int64_t kUsualSide = 1024;  // pixels of what EncoderShape calls an ordinary picture

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
  if (width / heads % 4 != 0) {
    vision.Fail("num_heads", absl::StrCat(heads, " of hidden_size ", width, ": a head must be a multiple of 4 wide"));
  }
  if (out != text_hidden) {
    vision.Fail("out_hidden_size", absl::StrCat(out, " differs from the decoder's hidden_size ", text_hidden));
  }
  spec.merging = MergingTower{.hidden_size = width,
                              .layers = layers,
                              .heads = heads,
                              .mlp = out,
                              .channels = channels,
                              .position_side = side,
                              .out = out,
                              .merger_mlp = merger_mlp,
                              .qkv_bias = bias,
                              .norm_eps = vision.Number("rms_norm_eps", 0, 1, 1e-5),
                              .activation = vision.String("hidden_act", "silu")};
  spec.resize.patch_size = static_cast<int>(patch);
  spec.resize.merge = static_cast<int>(merge);
  spec.resize.frames = static_cast<int>(frames);
  config.Adopt(vision.status());
  spec.image_token_id = config.IntOr("image_token_id", 0, int64_t{1} << 26, 151343);
  // Bounds are on frames × height × width, and one picture counts as one pair of frames.
  ReadGridPreprocessor(input, {.pixels_min = 112 * 112, .pixels_max = 11'760'000}, config, spec);

  const int64_t patch_values = channels * frames * patch * patch;
  TensorBuilder add(spec.tensors);
  add.In(WeightPart::kVision, "vision.", "model.visual.");
  add.Matrix("patch_embedding.weight", {{"patch_embed.proj.weight", width}}, patch_values).sources[0].shape = {
      width, channels, frames, patch, patch};
  add.Vector("patch_embedding.bias", "patch_embed.proj.bias", width);
  add.Vector("patch_norm.weight", "post_conv_layernorm.weight", width);
  add.Matrix("position_embedding.weight", {{"embeddings.position_embedding.weight", side * side}}, width);
  add.Computed("rope.inv_freq", 1, width / heads / 2);
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
  shape.merger_in = out;
  shape.merger_hidden = 2 * merger_mlp;
  shape.merger_out = merger_mlp;
  shape.position_taps = 16;  // bicubic
  shape.rotary_axes = 2;
  shape.largest_patches = spec.resize.TokensMax() * shape.merge;
  const int64_t usual_side = std::max<int64_t>(1, kUsualSide / (patch * merge)) * merge;
  shape.smallest_patches = std::max(shape.merge, spec.resize.PatchesMin());
  shape.usual_patches = std::min(usual_side * usual_side, shape.largest_patches);
  shape.usual_rows = CeilDiv(shape.usual_patches, shape.merge);
  shape.largest_rows = spec.resize.RowsMax();
  spec.encoder = shape;
}

}  // namespace headroom::model::reading
