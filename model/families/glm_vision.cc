#include "model/families/glm_vision.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "model/families/limits.h"

namespace headroom::model::families {
namespace {

constexpr int64_t kUsualSide = 1024;  // pixels of what EncoderShape calls an ordinary picture

// Bounds are on frames x height x width, and one picture counts as one pair of frames.
int64_t PixelsMax(const FamilyInput& input, FieldReader& config, int64_t patch, int64_t merge, ModelCard& card) {
  FieldReader reader(input.preprocessor, "preprocessor_config.", card.assumed);
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

void AddGlmVision(const FamilyInput& input, FieldReader& config, int64_t text_hidden, CardBuilder& builder,
                  ModelCard& card) {
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
  const int64_t pixels = PixelsMax(input, config, patch, merge, card);
  config.Adopt(vision.status());

  const WeightPart tower = WeightPart::kVision, joint = WeightPart::kResampler;
  const int64_t patch_values = channels * frames * patch * patch;
  builder.Affine(tower, "vision.patch_embedding", 1, width, patch_values);
  builder.Matrix(tower, "vision.position_embedding.weight", 1, side * side, width);
  builder.Vector(tower, "vision.norms.weight", 2 * layers + 2, width);  // two a layer, one before and one behind them
  builder.Matrix(tower, "vision.layers.*.qkv.weight", layers, 3 * width, width);
  if (bias) builder.Vector(tower, "vision.layers.*.qkv.bias", layers, 3 * width);
  builder.Matrix(tower, "vision.layers.*.out.weight", layers, width, width);
  // The blocks' MLP is as wide as the output; intermediate_size is the merger's.
  builder.Matrix(tower, "vision.layers.*.gate_up.weight", layers, 2 * out, width);
  builder.Matrix(tower, "vision.layers.*.down.weight", layers, width, out);
  builder.Affine(joint, "merger.downsample", 1, out, width * merge * merge);
  builder.Matrix(joint, "merger.proj.weight", 1, out, out);
  builder.Vector(joint, "merger.norm.weight", 1, out);
  builder.Vector(joint, "merger.norm.bias", 1, out);
  builder.Matrix(joint, "merger.gate_up.weight", 1, 2 * merger_mlp, out);
  builder.Matrix(joint, "merger.down.weight", 1, out, merger_mlp);

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
  card.encoder = shape;
}

}  // namespace headroom::model::families
