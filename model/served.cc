// What the engine has, of all that a model may ask for. Whoever teaches it something new takes a line away here.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/spec.h"

namespace headroom::model {
namespace {

class Reasons {
 public:
  void Add(const std::string& field, const std::string& value, const std::string& only) {
    list_.push_back(absl::StrCat("config.json: ", field, ": not supported: ", value, " (only ", only, ")"));
  }
  void AddText(const std::string& text) { list_.push_back(text); }
  std::vector<std::string> Take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

std::string Quoted(const std::string& text) { return absl::StrCat("\"", text, "\""); }

void CheckRope(const Rope& rope, int64_t head_dim, Reasons& reasons) {
  // Parts of a head that turn in halves would run, too; no family that is served has them.
  if (rope.part != 1 && !rope.neighbours) reasons.Add("partial_rotary_factor", absl::StrCat(rope.part), "1");
  const bool pictures = rope.kind == RopeAxes::kTokenColumnRowPicture;
  const char* const field = pictures ? "xdrope_section" : "mrope_section";
  if (rope.axes() != 1 && rope.axes() != 3 && !(pictures && rope.axes() == 4)) {
    reasons.Add(field, absl::StrCat(rope.axes(), " axes"),
                pictures ? "3 or 4: token, column, row, picture" : "3: sequence, row, column");
  }
  const int64_t pairs = std::accumulate(rope.sections.begin(), rope.sections.end(), int64_t{0});
  if (rope.axes() > 1 && 2 * pairs != rope.Dim(head_dim)) {
    reasons.Add(field, absl::StrCat(pairs, " pairs"), absl::StrCat("the ", rope.Dim(head_dim) / 2, " that turn"));
  }
  if (rope.scaling.type == RopeScaling::Type::kOther) {
    reasons.Add("rope_scaling", rope.scaling.text, "null, or the types linear, dynamic, llama3, yarn and longrope");
  }
}

void CheckDecoder(const DecoderSpec& decoder, Reasons& reasons) {
  CheckRope(decoder.rope, decoder.head_dim, reasons);
  if (decoder.activation != "silu") reasons.Add("hidden_act", Quoted(decoder.activation), "\"silu\"");
  if (decoder.mlp_bias) reasons.Add("mlp_bias", "true", "false");
  if (decoder.windowed_layers > 0) {
    reasons.AddText(absl::StrCat("config.json: sliding_window: not supported: ", decoder.window, " tokens in ",
                                 decoder.windowed_layers, " of ", decoder.layers,
                                 " layers (layer_types, use_sliding_window; only full attention)"));
  }
  if (decoder.latent) reasons.AddText("attention through latent vectors is not served");
}

void CheckMerging(const MergingTower& tower, Reasons& reasons) {
  const std::string activation = tower.gated ? "silu" : "gelu";
  if (tower.activation != activation) {
    reasons.Add("vision_config.hidden_act", Quoted(tower.activation), Quoted(activation));
  }
  if (tower.table == MergingTower::Table::kOther) {
    reasons.AddText("config.json: vision_config.interpolate_mode: not supported (only \"bilinear\")");
  }
}

void CheckFormats(const std::vector<TensorSpec>& tensors, Reasons& reasons) {
  const auto quantized = std::find_if(tensors.begin(), tensors.end(), [](const TensorSpec& one) {
    return one.format.quantized() || one.format.kind == WeightFormat::Kind::kUnknown;
  });
  if (quantized == tensors.end()) return;
  reasons.Add("quantization_config", WeightFormatName(quantized->format, DType::kBF16), "bf16, fp16 and fp32 weights");
}

}  // namespace

std::vector<std::string> WhyNotServed(const ModelSpec& spec) {
  Reasons reasons;
  CheckDecoder(spec.llm, reasons);
  const bool experts =
      std::any_of(spec.tensors.begin(), spec.tensors.end(), [](const auto& one) { return one.count > 1; });
  if (spec.llm.experts || experts) reasons.AddText("experts are not served");
  CheckFormats(spec.tensors, reasons);
  if (spec.vision && spec.vision->activation != "gelu_pytorch_tanh") {
    reasons.Add("vision_config.hidden_act", Quoted(spec.vision->activation), "\"gelu_pytorch_tanh\"");
  }
  if (spec.merging) CheckMerging(*spec.merging, reasons);
  if (spec.encoder && !spec.Sees()) {
    reasons.AddText(absl::StrCat("the encoder of ", spec.family, " is not served"));
  }
  return reasons.Take();
}

}  // namespace headroom::model
