// HunyuanOCR (HunYuanVL, dense). Where the released code and transformers' own differ (sections of the rotation, scale
// of the position table) this follows the released code.
//
//   vision.patch_embedding.weight [D, 3·P·P], .bias [D]       vision.position_embedding.weight [1 + side², D]
//   vision.layers.N.norm1|norm2.weight|.bias [D]              vision.layers.N.qkv|out|fc1|fc2.weight, .bias
//   merger.norm_in.weight [D], merger.norm_out.weight [E]     merger.conv.weight [2D, D·4], .bias [2D]
//   merger.expand.weight [4D, 2D], .bias [4D]                 merger.proj.weight [E, 4D], .bias [E]
//   merger.newline [4D], merger.ends [2E]: begin, end         merger.image_sep [E], which nobody reads
//   merger.added [3, E] fp32, filled in by the encoder (not in the file)
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/arith.h"
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/grid_preprocessor.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

constexpr int64_t kUsualSide = 1024;  // pixels of what EncoderShape calls an ordinary picture

// {type xdrope, alpha, xdrope_section}. Of type dynamic alone alpha is read, as in other models of the house.
void ReadRotation(FieldReader& text, DecoderSpec& decoder) {
  constexpr size_t kAxesMax = 4;
  constexpr char kSections[] = "xdrope_section";
  Rope& rope = decoder.rope;
  const int64_t pairs = decoder.head_dim / 2;
  for (const char* object : {"rope_scaling", "rope_parameters"}) {
    if (!text.Has(object)) continue;
    FieldReader fields = FieldReader::Object(text, object);
    const std::string type = fields.String("rope_type", fields.String("type", ""));
    const bool by_picture = type == "xdrope";
    if (!by_picture && !(type == "dynamic" && fields.Has("alpha"))) continue;
    if (decoder.head_dim < 4) text.Fail("head_dim", absl::StrCat(decoder.head_dim, " must be at least 4"));
    if (!fields.Has("alpha")) fields.Fail("alpha", "is missing");
    const double alpha = fields.Number("alpha", 1, 1e6, 1), dim = static_cast<double>(decoder.head_dim);
    rope.theta *= std::pow(alpha, dim / std::max(2.0, dim - 2));
    if (by_picture) {
      rope.kind = RopeAxes::kTokenColumnRowPicture;
      rope.sections = fields.Ints(kSections, 1, kHeadDimMax, kAxesMax);
      const int64_t sum = std::accumulate(rope.sections.begin(), rope.sections.end(), int64_t{0});
      if (rope.sections.size() < kAxesMax - 1 || sum != pairs) {
        fields.Fail(kSections, absl::StrCat(rope.sections.size(), " numbers of ", sum, " together, must be 3 or 4 of ",
                                            pairs, " (head_dim ", decoder.head_dim, ", halved)"));
      }
      // No other factor is published: what it would mean is not known, and the reason that is given says so.
      if (rope.scaling.factor == 1) rope.scaling = {};
    }
    text.Adopt(fields.status());
    return;
  }
}

void AddVision(const FamilyInput& input, FieldReader& config, ModelSpec& spec) {
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
  if (width % heads != 0) {
    vision.Fail("hidden_size", absl::StrCat(width, " is not a multiple of num_attention_heads ", heads));
  }
  if (vision.Has("out_hidden_size") && vision.Int("out_hidden_size", 2, kWidthMax) != text_hidden) {
    vision.Fail("out_hidden_size", absl::StrCat(vision.fields().Print("out_hidden_size"),
                                                " differs from the decoder's hidden_size ", text_hidden));
  }
  using Tower = MergingTower;
  const bool bilinear = vision.String("interpolate_mode", "bilinear") == "bilinear";
  spec.merging = Tower{.hidden_size = width,
                       .layers = layers,
                       .heads = heads,
                       .mlp = mlp,
                       .channels = channels,
                       .position_side = side,
                       .position_first = 1,  // of a class token that there is none of
                       .out = text_hidden,
                       .qkv_bias = true,
                       .norm_eps = vision.Number("rms_norm_eps", 0, 1, 1e-5),
                       .table = bilinear ? Tower::Table::kBilinear : Tower::Table::kOther,
                       .merger = Tower::Merger::kLines,
                       .gated = false,
                       .activation = vision.String("hidden_act", "gelu")};
  config.Adopt(vision.status());
  spec.image_token_id = config.IntOr("image_token_id", 0, int64_t{1} << 26, 120120);
  spec.resize = {.patch_size = static_cast<int>(patch),
                 .merge = static_cast<int>(merge),
                 .frames = 1,
                 .enlarges = false,
                 .line_rows = 1,
                 .end_rows = 2};
  ReadGridPreprocessor(input, {.pixels_min = 512 * 512, .pixels_max = 2048 * 2048, .flat = true}, config, spec);

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
  add.Vector("ends", {{"image_begin", text_hidden}, {"image_end", text_hidden}});
  add.Vector("image_sep", "image_sep", text_hidden);
  add.Vector("norm_out.weight", "after_rms.weight", text_hidden);
  add.Computed("added", 3, text_hidden);

  EncoderShape shape;
  shape.patch_values = patch_values;
  shape.width = width;
  shape.mlp_in = shape.mlp_out = mlp;
  shape.out = text_hidden;
  shape.merge = merge * merge;
  shape.merger_in = shape.merger_hidden = 4 * width;
  shape.merger_out = 2 * width;
  shape.position_taps = 4;  // bilinear
  shape.line_rows = spec.resize.line_rows;
  shape.end_rows = spec.resize.end_rows;
  shape.largest_patches = spec.resize.TokensMax() * shape.merge;
  const int64_t usual_side = std::max<int64_t>(1, kUsualSide / (patch * merge)) * merge;
  shape.smallest_patches = std::max(shape.merge, spec.resize.PatchesMin());
  shape.usual_patches = std::min(usual_side * usual_side, shape.largest_patches);
  shape.largest_rows = spec.resize.RowsMax();
  const auto square = static_cast<int>(std::sqrt(static_cast<double>(shape.usual_patches)));
  shape.usual_rows = std::min(spec.resize.row_rule().Rows({square, square}), shape.largest_rows);
  spec.encoder = shape;
}

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "HunyuanVL";
  FieldReader config(input.config, "", spec.assumed);
  // Published files hold the decoder's fields at the top, newer ones in text_config. The class has no defaults of use.
  FieldReader text = config.Has("text_config") ? FieldReader::Object(config, "text_config") : config;
  DecoderDefaults defaults;
  defaults.rms_norm_eps = 1e-5;
  defaults.tied = true;
  spec.llm = ReadDecoder(config, text, defaults);
  spec.llm.qkv_bias = spec.llm.output_bias = text.BoolOr("attention_bias", false);
  if (text.BoolOr("use_qk_norm", true)) spec.llm.head_norm = HeadNorm::kBehindRotation;
  ReadRotation(text, spec.llm);
  const Quantization quantization = Quantization::Read(config, text);
  config.Adopt(text.status());

  AddVision(input, config, spec);
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
