// Sizes of the families against published and derived numbers, what is assumed, and bad configs one by one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "common/testing/paths.h"
#include "model/reading/registry.h"
#include "model/reading/testing/configs.h"
#include "model/spec.h"

namespace headroom::model::reading {
namespace {

using nlohmann::json;
using testing::CardPath;
using testing::CompleteConfig;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kCompleteConfigs;
using ::testing::Not;

ModelSpec Load(const std::string& name) {
  absl::StatusOr<ModelSpec> card = LoadModelSpec(CardPath(name));
  EXPECT_TRUE(card.ok()) << name << ": " << card.status();
  return card.ok() ? *std::move(card) : ModelSpec();
}

absl::StatusOr<ModelSpec> CardFrom(const json& config, const std::string& preprocessor = "") {
  return ParseModelSpec({.config = config.dump(), .preprocessor = preprocessor, .generation = {}});
}

std::vector<TensorSpec> LoadTensors(const std::string& name) { return Load(name).tensors; }

int64_t Bytes(const ModelSpec& card, DType compute = DType::kBF16) {
  int64_t bytes = 0;
  for (const TensorSpec& tensor : card.tensors) {
    bytes += tensor.count * MatrixBytes(tensor.format, tensor.rows, tensor.cols, compute);
  }
  return bytes;
}

int64_t KvBytes(const ModelSpec& card) {
  const KvShape kv = KvOf(card.llm);
  return kv.layers * kv.vectors * kv.heads * kv.head_dim * 2;
}

const TensorSpec& Tensor(const ModelSpec& card, const std::string& name) {
  for (const TensorSpec& tensor : card.tensors) {
    if (tensor.name == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return card.tensors.front();
}

TEST(Families, ParametersAreThePublishedOnes) {
  // GLM-4.1V-9B: 9.4 in the decoder, 0.9 in the encoder.
  EXPECT_NEAR(static_cast<double>(ParameterCount(LoadTensors("autoglm-phone-9b"))), 10.29e9, 0.01e9);
  // Published as 108 billion (216 GB in bf16).
  EXPECT_NEAR(static_cast<double>(ParameterCount(LoadTensors("glm-4.6v-fp8"))), 108e9, 0.5e9);
  EXPECT_EQ(ParameterCount(LoadTensors("hunyuan-ocr"), WeightPart::kLlm), 539'010'048);
  EXPECT_NEAR(static_cast<double>(ParameterCount(LoadTensors("hunyuan-ocr"))), 1.0e9, 0.01e9);
  EXPECT_EQ(ParameterCount(LoadTensors("glm-tts-llm")), 1'552'009'216);
  const ModelSpec asr = Load("glm-asr-nano-2512");
  const int64_t embeddings = 59264 * 2048;
  EXPECT_NEAR(static_cast<double>(ParameterCount(asr.tensors, WeightPart::kLlm) - embeddings), 1.35e9, 0.005e9);
  EXPECT_NEAR(static_cast<double>(embeddings), 0.12e9, 0.002e9);
  EXPECT_NEAR(static_cast<double>(ParameterCount(asr.tensors, WeightPart::kVision)), 0.6e9, 0.05e9);
  EXPECT_EQ(ParameterCount(asr.tensors, WeightPart::kHead), 0) << "tied";
}

TEST(Families, KimiIsATrillionOf32BillionActiveIn594Gigabytes) {
  const ModelSpec card = Load("kimi-k2-thinking");
  EXPECT_NEAR(static_cast<double>(ParameterCount(card.tensors)), 1.03e12, 0.005e12);
  int64_t active = 0;
  for (const TensorSpec& tensor : card.tensors) {
    if (tensor.name == "llm.embed_tokens.weight") continue;  // one row a token
    const int64_t share = tensor.split == TensorSplit::kExperts ? 384 / 8 : 1;
    active += tensor.count / share * tensor.rows * tensor.cols;
  }
  EXPECT_NEAR(static_cast<double>(active), 32e9, 0.5e9);
  EXPECT_NEAR(static_cast<double>(Bytes(card)), 594e9, 1e9);
  const WeightFormat int4{.kind = WeightFormat::Kind::kInt4, .scale_cols = 32};
  EXPECT_EQ(Tensor(card, "llm.layers.1.experts.gate_up.weight").format, int4);
  EXPECT_EQ(Tensor(card, "llm.layers.1.experts.gate_up.weight").count, 384);
  for (const char* name : {"llm.layers.1.o.weight", "llm.layers.1.shared_expert.gate_up.weight",
                           "llm.layers.0.gate_up.weight", "llm.layers.1.router.weight", "llm.head.weight"}) {
    EXPECT_EQ(Tensor(card, name).format, WeightFormat()) << name;
  }
  // A latent vector of 512 + 64, queries of 192, 64 heads.
  EXPECT_EQ(KvOf(card.llm).vectors, 1);
  EXPECT_EQ(KvOf(card.llm).head_dim, 576);
  EXPECT_EQ(ShapeOf(card.llm).attention_in, 1536 + 576 + 64 * (192 + 576 + 512));
  EXPECT_EQ(ShapeOf(card.llm).attention_out, 64 * 128);
  EXPECT_EQ(ShapeOf(card.llm).mlp_out, 18432) << "nine experts of 2048 are as wide as the dense layer";
  EXPECT_EQ(ShapeOf(card.llm).routed, 8 * 7168);
  EXPECT_EQ(ShapeOf(card.llm).router, 384);
}

TEST(Families, KvBytesATokenAreThoseOfTheTable) {
  const std::pair<const char*, int64_t> rows[] = {{"autoglm-phone-9b", 40'960},  {"glm-4.6v-fp8", 188'416},
                                                  {"kimi-k2-thinking", 70'272},  {"hunyuan-ocr", 98'304},
                                                  {"glm-asr-nano-2512", 57'344}, {"glm-tts-llm", 57'344}};
  for (const auto& [name, bytes] : rows) EXPECT_EQ(KvBytes(Load(name)), bytes) << name;
}

TEST(Families, Fp8IsOneByteForTheDecodersProducts) {
  const ModelSpec card = Load("glm-4.6v-fp8");
  for (const TensorSpec& tensor : card.tensors) {
    EXPECT_EQ(tensor.format.kind == WeightFormat::Kind::kFp8, tensor.linear) << tensor.name;
  }
  EXPECT_NEAR(static_cast<double>(Bytes(card)), 110e9, 1e9);
  EXPECT_THAT(
      card.assumed,
      Contains(HasSubstr("read as fp8 for down, experts.down, experts.gate_up, gate_up, o, qkv, shared_expert.down")));
  EXPECT_EQ(ShapeOf(card.llm).mlp_out, 9 * 1408);
}

TEST(Families, EncodersHaveTheirShapes) {
  const EncoderShape glm = *Load("autoglm-phone-9b").encoder;
  EXPECT_EQ(glm.patch_values, 3 * 2 * 14 * 14);
  EXPECT_EQ(glm.mlp_in, 2 * 4096) << "the blocks' MLP is as wide as the output, not as intermediate_size";
  EXPECT_EQ(glm.merge, 4);
  EXPECT_EQ(glm.largest_patches, 30'000) << "11 760 000 pixels of two frames";
  EXPECT_LT(glm.usual_patches, glm.largest_patches);
  EXPECT_EQ(glm.usual_rows, 36 * 36) << "1024 × 1024 pixels, 28 of them a row";
  EXPECT_EQ(glm.largest_rows, 7500);
  const EncoderShape hunyuan = *Load("hunyuan-ocr").encoder;
  EXPECT_EQ(hunyuan.largest_patches, 16'384);
  EXPECT_EQ(hunyuan.usual_patches, 4096);
  EXPECT_EQ(hunyuan.usual_rows, 32 * (32 + 1) + 2) << "a newline a line, begin and end";
  EXPECT_EQ(hunyuan.largest_rows, 4916) << "a tall picture, whose lines are many";
  EXPECT_EQ(hunyuan.patch_values, 3 * 16 * 16);
  const EncoderShape asr = *Load("glm-asr-nano-2512").encoder;
  EXPECT_EQ(asr.largest_patches / asr.merge, 375) << "tokens of 30 s";
  EXPECT_EQ(asr.usual_rows, 375);
  EXPECT_EQ(asr.pieces_max, 21);
  EXPECT_FALSE(Load("kimi-k2-thinking").encoder.has_value());
}

TEST(Families, PreprocessorBoundsThePicture) {
  const std::string preprocessor = R"({"patch_size": 14, "merge_size": 2, "size": {"longest_edge": 9633792}})";
  const auto card = CardFrom(CompleteConfig("Glm4vForConditionalGeneration"), preprocessor);
  ASSERT_TRUE(card.ok()) << card.status();
  EXPECT_EQ(card->encoder->largest_patches, 24'576);
  EXPECT_THAT(card->assumed, Not(Contains(HasSubstr("longest_edge"))));
}

TEST(Families, GlmTurnsByRowAndColumn) {
  const auto with = [](const char* object, const json& rope) {
    json config = CompleteConfig("Glm4vForConditionalGeneration");
    config["text_config"][object] = rope;
    return CardFrom(config);
  };
  const json rope = {{"rope_type", "default"}, {"mrope_section", {2, 3, 3}}};
  for (const char* object : {"rope_scaling", "rope_parameters"}) {
    const auto card = with(object, rope);
    ASSERT_TRUE(card.ok()) << card.status();
    EXPECT_THAT(card->llm.rope.sections, ElementsAre(2, 3, 3));
    EXPECT_TRUE(card->llm.rope.neighbours);
    EXPECT_EQ(card->llm.rope.Dim(card->llm.head_dim), 16);
    EXPECT_THAT(WhyNotServed(*card), IsEmpty());
  }
  const auto absent = CardFrom(CompleteConfig("Glm4vForConditionalGeneration"));
  ASSERT_TRUE(absent.ok()) << absent.status();
  EXPECT_THAT(absent->assumed, Contains(HasSubstr("mrope_section: 8, 12, 12")));
  EXPECT_THAT(WhyNotServed(*absent), ElementsAre(HasSubstr("mrope_section: not supported: 32 pairs (only the 8")));
  for (const json& wrong : {json({2, 3, 4}), json({4, 4}), json({8, 0, 0}), json("all"), json({2, 2, 2, 2})}) {
    const auto card = with("rope_scaling", {{"rope_type", "default"}, {"mrope_section", wrong}});
    EXPECT_THAT(std::string(card.status().message()), HasSubstr("mrope_section")) << wrong;
  }
}

TEST(Families, HunyuanTurnsByPicture) {
  const auto with = [](const json& rope) {
    json config = CompleteConfig("HunYuanVLForConditionalGeneration");
    config["rope_scaling"] = rope;
    return CardFrom(config);
  };
  const ModelSpec card = Load("hunyuan-ocr");
  EXPECT_THAT(WhyNotServed(card), IsEmpty());
  EXPECT_EQ(card.llm.rope.kind, RopeAxes::kTokenColumnRowPicture);
  EXPECT_THAT(card.llm.rope.sections, ElementsAre(16, 16, 16, 16));
  EXPECT_NEAR(card.llm.rope.theta, 1.116e7, 1e4) << "10000 · 1000^(128/126)";
  EXPECT_EQ(card.llm.head_norm, HeadNorm::kBehindRotation);
  EXPECT_EQ(card.resize.pixels_min, 262'144);
  EXPECT_EQ(card.resize.pixels_max, 4'194'304);
  EXPECT_THAT(card.assumed, Contains(HasSubstr("European Union")));

  const auto three = with({{"type", "xdrope"}, {"alpha", 1000}, {"xdrope_section", {6, 5, 5}}});
  ASSERT_TRUE(three.ok()) << three.status();
  EXPECT_EQ(three->llm.rope.axes(), 3);
  EXPECT_THAT(WhyNotServed(*three), IsEmpty());
  const auto longer = with({{"type", "xdrope"}, {"alpha", 1}, {"factor", 2}, {"xdrope_section", {4, 4, 4, 4}}});
  ASSERT_TRUE(longer.ok()) << longer.status();
  EXPECT_THAT(WhyNotServed(*longer), ElementsAre(HasSubstr("rope_scaling: not supported")));
  const auto text = with({{"type", "dynamic"}, {"alpha", 1000}});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->llm.rope.axes(), 1);
  EXPECT_NEAR(text->llm.rope.theta, 10000 * std::pow(1000, 32.0 / 30), 1);
}

TEST(Families, HunyuansTowerIsNamedWhereItDiffers) {
  json config = CompleteConfig("HunYuanVLForConditionalGeneration");
  config["vision_config"]["interpolate_mode"] = "bicubic";
  config["vision_config"]["hidden_act"] = "relu";
  const auto card = CardFrom(config);
  ASSERT_TRUE(card.ok()) << card.status();
  EXPECT_THAT(WhyNotServed(*card), ElementsAre(HasSubstr("hidden_act: not supported: \"relu\" (only \"gelu\")"),
                                               HasSubstr("interpolate_mode: not supported")));
}

// Older files of HunyuanOCR's processor have the bounds at the top, newer ones in `size`.
TEST(Families, HunyuansPreprocessorBoundsThePicture) {
  const json config = CompleteConfig("HunYuanVLForConditionalGeneration");
  for (const char* preprocessor : {R"({"min_pixels": 9216, "max_pixels": 1048576})",
                                   R"({"size": {"shortest_edge": 9216, "longest_edge": 1048576}})",
                                   R"({"size": {"shortest_edge": 1, "longest_edge": 2}, "min_pixels": 9216,
                                       "max_pixels": 1048576})"}) {
    const auto card = CardFrom(config, preprocessor);
    ASSERT_TRUE(card.ok()) << card.status();
    EXPECT_EQ(card->resize.pixels_min, 9216) << preprocessor;
    EXPECT_EQ(card->resize.pixels_max, 1'048'576) << preprocessor;
    EXPECT_EQ(card->encoder->largest_patches, 4096);
    EXPECT_THAT(card->assumed, Not(Contains(HasSubstr("longest_edge"))));
  }
}

// Nothing is known of Spark-Formalizer-X1-7B but that it has 7 billion parameters: whatever its kin, it plans.
TEST(Families, AnyLlamaOrQwenLikeTextModelPlans) {
  json config = {{"hidden_size", 3584},       {"intermediate_size", 18944}, {"num_hidden_layers", 28},
                 {"num_attention_heads", 28}, {"num_key_value_heads", 4},   {"vocab_size", 152064}};
  for (const char* name : {"LlamaForCausalLM", "Qwen2ForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM"}) {
    config["architectures"] = {name};
    const auto card = CardFrom(config);
    ASSERT_TRUE(card.ok()) << card.status();
    EXPECT_NEAR(static_cast<double>(ParameterCount(card->tensors)), 7.6e9, 0.1e9) << name;
    EXPECT_EQ(KvBytes(*card), 57'344) << name;
  }
  config["architectures"] = {"SparkForCausalLM"};
  const auto unknown = CardFrom(config);
  EXPECT_THAT(unknown.status().message(), HasSubstr("SparkForCausalLM"));
  EXPECT_THAT(unknown.status().message(), HasSubstr("known: DeepseekV3ForCausalLM, Glm4ForCausalLM, "));
}

TEST(Families, UnservedFeaturesOfALlamaAreNamed) {
  json config = CompleteConfig("LlamaForCausalLM");
  const int64_t plain = ParameterCount(CardFrom(config)->tensors);
  config["mlp_bias"] = true;
  config["hidden_act"] = "gelu";
  config["partial_rotary_factor"] = 0.5;
  config["use_sliding_window"] = true;
  config["sliding_window"] = 128;
  config["rope_scaling"] = {{"rope_type", "ntk"}, {"factor", 4.0}};
  config["quantization_config"] = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}};
  const auto card = CardFrom(config);
  ASSERT_TRUE(card.ok()) << card.status();
  EXPECT_THAT(card->assumed, Contains(HasSubstr("read as int4 in groups of 128")));
  for (const char* text :
       {"config.json: hidden_act: not supported: \"gelu\" (only \"silu\")", "partial_rotary_factor: not supported: 0.5",
        "sliding_window: not supported: 128 tokens in 4 of 4 layers", "rope_scaling: not supported: {",
        "mlp_bias: not supported: true", "quantization_config: not supported: int4 in groups of 128"}) {
    EXPECT_THAT(WhyNotServed(*card), Contains(HasSubstr(text)));
  }
  EXPECT_EQ(ParameterCount(card->tensors), plain + 4 * (2 * 512 + 128)) << "biases of the MLP";
}

TEST(Families, NullQueryRankMeansNone) {
  json config = CompleteConfig("DeepseekV3ForCausalLM");
  const int64_t low_rank = ParameterCount(CardFrom(config)->tensors);
  config["q_lora_rank"] = nullptr;
  const auto card = CardFrom(config);
  ASSERT_TRUE(card.ok()) << card.status();
  const int64_t layers = 4, hidden = 128, rank = 48, rows = 4 * (16 + 8);
  EXPECT_EQ(ParameterCount(card->tensors), low_rank + layers * (rows * hidden - rank * (hidden + rows) - rank));
}

// Every field that a plan rests on is either in the file, or listed, or asked for by name.
TEST(Families, WhatAFileLeavesOutIsListed) {
  for (const std::string& architecture : kCompleteConfigs) {
    const json complete = CompleteConfig(architecture);
    const auto whole = CardFrom(complete, testing::kPreprocessor);
    ASSERT_TRUE(whole.ok()) << architecture << ": " << whole.status();
    EXPECT_THAT(whole->assumed, Not(Contains(HasSubstr("class default")))) << architecture;
    const json flat = complete.flatten();
    for (const auto& [pointer, value] : flat.items()) {
      const std::string name = pointer.substr(pointer.rfind('/') + 1);
      if (name == "0" || name == "model_type") continue;  // of "architectures"; a name for people
      json config = complete;
      const json::json_pointer parent = json::json_pointer(pointer).parent_pointer();
      config[parent].erase(name);
      const auto card = CardFrom(config, testing::kPreprocessor);
      if (!card.ok()) {
        EXPECT_THAT(card.status().message(), HasSubstr(name)) << architecture << pointer;
        continue;
      }
      const bool same = ParameterCount(card->tensors) == ParameterCount(whole->tensors) &&
                        KvBytes(*card) == KvBytes(*whole) &&
                        card->llm.max_position_embeddings == whole->llm.max_position_embeddings;
      const bool listed = std::any_of(card->assumed.begin(), card->assumed.end(),
                                      [&](const std::string& line) { return line.find(name) != std::string::npos; });
      // head_dim alone follows from the others.
      EXPECT_TRUE(listed || (same && name == "head_dim")) << architecture << pointer;
    }
  }
}

TEST(Families, NotesOfACardFileAreShown) {
  json config = CompleteConfig("LlamaForCausalLM");
  config["headroom_assumed"] = {"seen in a dream"};
  EXPECT_THAT(CardFrom(config)->assumed, ElementsAre("seen in a dream"));
  config["headroom_assumed"] = {"two\nlines"};
  EXPECT_THAT(CardFrom(config).status().message(), HasSubstr("headroom_assumed"));
  config["headroom_assumed"] = json(std::vector<std::string>(65, "x"));
  EXPECT_THAT(CardFrom(config).status().message(), HasSubstr("has 65 entries, the limit is 64"));
}

TEST(Families, EveryCardFolderLoads) {
  int folders = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SourceDir() + "/models/cards")) {
    if (!entry.is_directory()) continue;
    ++folders;
    const auto card = LoadModelSpec(entry.path().string());
    ASSERT_TRUE(card.ok()) << entry.path() << ": " << card.status();
    EXPECT_FALSE(card->family.empty());
    EXPECT_GT(Bytes(*card), 0);
    EXPECT_TRUE(WhyNotServed(*card).empty() || !card->assumed.empty());
    if (entry.path().filename() == "minicpm-v-2_6") {
      EXPECT_EQ(ParameterCount(card->tensors), 8'099'175'152);
    }
  }
  EXPECT_GE(folders, 6);
}

TEST(Families, PathsThatAreNoModel) {
  EXPECT_THAT(LoadModelSpec("").status().message(), HasSubstr("no path given"));
  EXPECT_THAT(LoadModelSpec("/no/such/model").status().message(), HasSubstr("neither a directory nor a config.json"));
  EXPECT_THAT(LoadModelSpec(SourceDir()).status().message(), HasSubstr("has no config.json"));
  EXPECT_THAT(LoadModelSpec(SourceDir() + "/README.md").status().message(), HasSubstr("not valid JSON"));
}

}  // namespace
}  // namespace headroom::model::reading
