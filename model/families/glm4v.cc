// GLM-4.1V and GLM-4.6V-Flash, AutoGLM-Phone: a dense decoder in the manner of GLM-4-0414.
#include <numeric>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "model/reading/decoder_fields.h"
#include "model/reading/glm_vision.h"
#include "model/reading/limits.h"
#include "model/reading/registry.h"
#include "model/reading/tensor_builder.h"

namespace headroom::model::reading {

namespace {

// Positions of three axes: mrope_section, in rope_scaling or, in newer files, rope_parameters.
void ReadRotation(FieldReader& text, DecoderSpec& decoder) {
  constexpr int64_t kAxes = 3;
  constexpr char kName[] = "mrope_section";
  Rope& rope = decoder.rope;
  rope.neighbours = true;
  if (rope.part == 1) rope.part = kGlmRotaryPart;
  const int64_t pairs = rope.Dim(decoder.head_dim) / 2;
  for (const char* object : {"rope_scaling", "rope_parameters"}) {
    if (!text.Has(object)) continue;
    FieldReader fields = FieldReader::Object(text, object);
    if (fields.Has(kName)) rope.sections = fields.Ints(kName, 1, kHeadDimMax, kAxes);
    text.Adopt(fields.status());
  }
  if (rope.sections.empty()) {
    rope.sections = {8, 12, 12};
    text.Note(kName, "8, 12, 12, as in models of this family");  // where it does not fit, served.cc says so
    return;
  }
  const int64_t sum = std::accumulate(rope.sections.begin(), rope.sections.end(), int64_t{0});
  if (rope.sections.size() == kAxes && sum == pairs) return;
  text.Fail(kName, absl::StrCat(rope.sections.size(), " numbers of ", sum, " together, must be ", kAxes, " of ", pairs,
                                " (partial_rotary_factor ", rope.part, " of head_dim ", decoder.head_dim, ", halved)"));
}

absl::StatusOr<ModelSpec> Read(const FamilyInput& input) {
  ModelSpec spec;
  spec.family = "GLM-4.1V";
  FieldReader config(input.config, "", spec.assumed);
  FieldReader text = GlmTextFields(config);
  DecoderDefaults defaults;
  defaults.hidden_size = 4096;
  defaults.intermediate_size = 13696;
  defaults.layers = 40;
  defaults.heads = 32;
  defaults.kv_heads = 2;
  defaults.vocab_size = 151552;
  defaults.positions = 32768;
  defaults.rms_norm_eps = 1e-5;
  spec.llm = ReadDecoder(config, text, defaults);
  ReadRotation(text, spec.llm);
  spec.llm.qkv_bias = true;
  spec.llm.sandwich_norms = true;
  const Quantization quantization = Quantization::Read(config, text);
  config.Adopt(text.status());

  AddGlmVision(input, config, spec);
  HEADROOM_RETURN_IF_ERROR(config.status());
  DecoderNames names;
  names.model = "model.language_model.";
  names.fused_gate_up = true;
  AddDecoder(names, quantization, spec);
  return spec;
}

}  // namespace

extern const Family kGlm4v{{"Glm4vForConditionalGeneration"}, Read};

}  // namespace headroom::model::reading
