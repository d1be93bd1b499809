// HunyuanOCR (HunYuanVL, dense).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/families/card_builder.h"
#include "model/families/limits.h"
#include "model/families/registry.h"

namespace headroom::model::families {
namespace {

constexpr int64_t kUsualSide = 1024;  // pixels of what EncoderShape calls an ordinary picture

void AddVision(FieldReader& config, int64_t text_hidden, CardBuilder& builder, ModelCard& card) {
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

  const WeightPart tower = WeightPart::kVision, joint = WeightPart::kResampler;
  const int64_t patch_values = channels * patch * patch;
  builder.Affine(tower, "vision.patch_embedding", 1, width, patch_values);
  builder.Matrix(tower, "vision.position_embedding.weight", 1, side * side + 1, width);
  builder.Vector(tower, "vision.layers.*.norms", 4 * layers, width);  // two norms, each with a bias
  builder.Affine(tower, "vision.layers.*.qkv", layers, 3 * width, width);
  builder.Affine(tower, "vision.layers.*.out", layers, width, width);
  builder.Affine(tower, "vision.layers.*.fc1", layers, mlp, width);
  builder.Affine(tower, "vision.layers.*.fc2", layers, width, mlp);
  builder.Vector(joint, "merger.norm_in.weight", 1, width);
  builder.Affine(joint, "merger.conv", 1, 2 * width, width * merge * merge);
  builder.Affine(joint, "merger.expand", 1, 4 * width, 2 * width);
  builder.Affine(joint, "merger.proj", 1, text_hidden, 4 * width);
  builder.Vector(joint, "merger.newline", 1, 4 * width);
  builder.Vector(joint, "merger.ends", 3, text_hidden);
  builder.Vector(joint, "merger.norm_out.weight", 1, text_hidden);

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
  card.encoder = shape;
}

}  // namespace

absl::StatusOr<ModelCard> HunyuanVlCard(const FamilyInput& input) {
  ModelCard card;
  card.family = "HunyuanVL";
  FieldReader config(input.config, "", card.assumed);
  // Published files hold the decoder's fields at the top, newer ones in text_config. The class has no defaults of use.
  FieldReader text = config.Has("text_config") ? FieldReader::Object(config, "text_config") : config;
  TextShape shape;
  shape.hidden = text.Int("hidden_size", 2, kWidthMax);
  shape.mlp = text.Int("intermediate_size", 1, kMlpWidthMax);
  shape.layers = text.Int("num_hidden_layers", 1, kLayersMax);
  shape.heads = text.Int("num_attention_heads", 1, kHeadsMax);
  shape.vocab = text.Int("vocab_size", 1, kVocabularyMax);
  ReadHeads(text, shape);
  shape.positions = text.IntOr("max_position_embeddings", 1, kPositionsMax, 2048);
  shape.tied = ReadTied(config, text, true);
  shape.qkv_bias = shape.output_bias = text.BoolOr("attention_bias", false);
  shape.qk_norm = text.BoolOr("use_qk_norm", true);
  const SiteFormats formats = ReadQuantization(config, text, LayersOfSites(shape.layers, {}));
  config.Adopt(text.status());

  CardBuilder builder(card, formats);
  AddVision(config, shape.hidden, builder, card);
  HEADROOM_RETURN_IF_ERROR(config.status());
  AddDenseDecoder(shape, shape.head_dim, builder, card);
  return card;
}

}  // namespace headroom::model::families
