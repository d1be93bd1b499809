// GLM-ASR: an audio encoder in the manner of Whisper, with rotary positions, before a Llama decoder. What EncoderShape
// calls a patch is a frame here: one position of the encoder, 20 ms of sound. A piece is a window of 30 s.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/arith.h"
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {
namespace {

constexpr int64_t kConvWidth = 3;
constexpr int64_t kWindowsMax = 21;  // of 30 s in what one request may hold

void AddAudio(FieldReader& config, ModelSpec& spec) {
  const int64_t text_hidden = spec.llm.hidden_size;
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

  const int64_t kv_width = width / heads * kv_heads;
  TensorBuilder add(spec.tensors);
  const auto convolution = [&](const char* name, const std::string& source, int64_t channels) {
    add.Matrix(absl::StrCat(name, ".weight"), {{source + ".weight", width}}, channels * kConvWidth).sources[0].shape = {
        width, channels, kConvWidth};
    add.Vector(absl::StrCat(name, ".bias"), source + ".bias", width);
  };
  add.In(WeightPart::kVision, "audio.", "audio_tower.");
  convolution("conv1", "conv1", bins);
  convolution("conv2", "conv2", width);
  for (int64_t i = 0; i < layers; ++i) {
    add.In(WeightPart::kVision, absl::StrCat("audio.layers.", i, "."), absl::StrCat("audio_tower.layers.", i, "."));
    add.LayerNorm("norm1", "input_layernorm", width);
    add.Matrix("qkv.weight",
               {{"self_attn.q_proj.weight", width},
                {"self_attn.k_proj.weight", kv_width},
                {"self_attn.v_proj.weight", kv_width}},
               width);
    // Keys have none.
    add.Vector("qkv.bias", {{"self_attn.q_proj.bias", width}, {"self_attn.v_proj.bias", kv_width}});
    add.Affine("out", {"self_attn.o_proj"}, width, width);
    add.LayerNorm("norm2", "post_attention_layernorm", width);
    add.Affine("fc1", {"mlp.fc1"}, mlp, width);
    add.Affine("fc2", {"mlp.fc2"}, width, mlp);
  }
  add.In(WeightPart::kVision, "audio.", "audio_tower.");
  add.LayerNorm("norm", "norm", width);
  add.In(WeightPart::kResampler, "projector.", "multi_modal_projector.");
  add.Affine("linear_1", {"linear_1"}, 2 * text_hidden, mlp);
  add.Affine("linear_2", {"linear_2"}, text_hidden, 2 * text_hidden);

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
  shape.usual_rows = shape.largest_rows = CeilDiv(frames, merge);
  shape.pieces_max = kWindowsMax;
  spec.encoder = shape;
}

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "GLM-ASR";
  FieldReader config(input.config, "", spec.assumed);
  FieldReader text = FieldReader::Object(config, "text_config");
  DecoderDefaults defaults;
  defaults.hidden_size = 2048;
  defaults.intermediate_size = 6144;
  defaults.layers = 28;
  defaults.heads = 16;
  defaults.kv_heads = 4;
  defaults.vocab_size = 59264;
  defaults.positions = 8192;
  defaults.tied = true;
  spec.llm = ReadDecoder(config, text, defaults);
  const Quantization quantization = Quantization::Read(config, text);
  config.Adopt(text.status());

  AddAudio(config, spec);
  HEADROOM_RETURN_IF_ERROR(config.status());
  DecoderNames names;
  names.model = "language_model.model.";
  names.head = "language_model.lm_head";
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kGlmAsr{{"GlmAsrForConditionalGeneration"}, Read};

}  // namespace headroom::model::reading
