// GLM-ASR: an audio encoder in the manner of Whisper, with rotary positions, before a Llama decoder. What EncoderShape
// calls a patch is a frame here: one position of the encoder, 20 ms of sound. A piece is a window of 30 s.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/families/card_builder.h"
#include "model/families/limits.h"
#include "model/families/registry.h"

namespace headroom::model::families {
namespace {

constexpr int64_t kConvWidth = 3;
constexpr int64_t kWindowsMax = 21;  // of 30 s in what one request may hold

void AddAudio(FieldReader& config, int64_t text_hidden, CardBuilder& builder, ModelCard& card) {
  FieldReader audio = FieldReader::Object(config, "audio_config");
  const int64_t width = audio.IntOr("hidden_size", 2, kWidthMax, 1280);
  const int64_t mlp = audio.IntOr("intermediate_size", 1, kMlpWidthMax, 5120);
  const int64_t layers = audio.IntOr("num_hidden_layers", 1, kLayersMax, 32);
  const int64_t heads = audio.IntOr("num_attention_heads", 1, kHeadsMax, 20);
  const int64_t kv_heads = audio.Has("num_key_value_heads") ? audio.Int("num_key_value_heads", 1, kHeadsMax) : heads;
  const int64_t bins = audio.IntOr("num_mel_bins", 1, 4096, 128);
  const int64_t frames = audio.IntOr("max_position_embeddings", 4, kSideMax, 1500);
  if (width % heads != 0) {
    audio.Fail("hidden_size", absl::StrCat(width, " is not a multiple of num_attention_heads ", heads));
  } else if (heads % kv_heads != 0) {
    audio.Fail("num_key_value_heads", absl::StrCat(kv_heads, " does not divide num_attention_heads ", heads));
  }
  // The projector reads so many frames at once as make one row of the encoder's MLP width.
  if (mlp % width != 0) {
    audio.Fail("intermediate_size", absl::StrCat(mlp, " is not a multiple of hidden_size ", width,
                                                 ", and the projector joins whole frames"));
  }
  const int64_t merge = std::max<int64_t>(1, mlp / width);
  audio.Note("merge", absl::StrCat(merge, " frames a token, ", frames, " frames a window, at most ", kWindowsMax,
                                   " windows a request"));
  config.Adopt(audio.status());

  const WeightPart tower = WeightPart::kVision, joint = WeightPart::kResampler;
  const int64_t kv_width = width / heads * kv_heads;
  builder.Affine(tower, "audio.conv1", 1, width, bins * kConvWidth);
  builder.Affine(tower, "audio.conv2", 1, width, width * kConvWidth);
  builder.Vector(tower, "audio.norms", 4 * layers + 2, width);  // two a layer and one behind, each with a bias
  builder.Matrix(tower, "audio.layers.*.qkv.weight", layers, width + 2 * kv_width, width);
  builder.Vector(tower, "audio.layers.*.qkv.bias", layers, width + kv_width);  // keys have none
  builder.Affine(tower, "audio.layers.*.out", layers, width, width);
  builder.Affine(tower, "audio.layers.*.fc1", layers, mlp, width);
  builder.Affine(tower, "audio.layers.*.fc2", layers, width, mlp);
  builder.Affine(joint, "projector.linear_1", 1, 2 * text_hidden, mlp);
  builder.Affine(joint, "projector.linear_2", 1, text_hidden, 2 * text_hidden);

  EncoderShape shape;
  // The second convolution reads more than the first: three columns of its width; the first, at twice the rate, two
  // times three of the mel bins.
  shape.patch_values = std::max(kConvWidth * width, 2 * kConvWidth * bins);
  shape.width = width;
  shape.mlp_in = shape.mlp_out = mlp;
  shape.out = text_hidden;
  shape.merge = merge;
  shape.merger_hidden = 2 * text_hidden;
  shape.usual_patches = shape.largest_patches = frames;
  shape.pieces_max = kWindowsMax;
  card.encoder = shape;
}

}  // namespace

absl::StatusOr<ModelCard> GlmAsrCard(const FamilyInput& input) {
  ModelCard card;
  card.family = "GLM-ASR";
  FieldReader config(input.config, "", card.assumed);
  FieldReader text = FieldReader::Object(config, "text_config");
  TextShape shape;
  shape.hidden = text.IntOr("hidden_size", 2, kWidthMax, 2048);
  shape.mlp = text.IntOr("intermediate_size", 1, kMlpWidthMax, 6144);
  shape.layers = text.IntOr("num_hidden_layers", 1, kLayersMax, 28);
  shape.heads = text.IntOr("num_attention_heads", 1, kHeadsMax, 16);
  shape.vocab = text.IntOr("vocab_size", 1, kVocabularyMax, 59264);
  ReadHeads(text, shape, 4);
  shape.positions = text.IntOr("max_position_embeddings", 1, kPositionsMax, 8192);
  shape.tied = ReadTied(config, text, true);
  const SiteFormats formats = ReadQuantization(config, text, LayersOfSites(shape.layers, {}));
  config.Adopt(text.status());

  CardBuilder builder(card, formats);
  AddAudio(config, shape.hidden, builder, card);
  HEADROOM_RETURN_IF_ERROR(config.status());
  AddDenseDecoder(shape, shape.head_dim, builder, card);
  return card;
}

}  // namespace headroom::model::families
