// Which matrices a quantization_config means, and how each is written.
#include "model/reading/quantization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/reading/testing/configs.h"
#include "model/spec.h"

namespace headroom::model::reading {
namespace {

using nlohmann::json;
using testing::CompleteConfig;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = WeightFormat::Kind;

const char* const kAttention = "llm.layers.1.o.weight";
const char* const kDense = "llm.layers.0.down.weight";
const char* const kExpert = "llm.layers.1.experts.down.weight";
const char* const kShared = "llm.layers.1.shared_expert.down.weight";
const WeightFormat kNone, kUnknown{.kind = Kind::kUnknown};
const WeightFormat kInt4{.kind = Kind::kInt4, .scale_cols = 64};

// A DeepSeek-V3 of four layers, the first dense, with this quantization_config.
ModelSpec SpecWith(json quantization) {
  json config = CompleteConfig("DeepseekV3ForCausalLM");
  config["quantization_config"] = std::move(quantization);
  auto spec = ParseModelSpec({.config = config.dump(), .preprocessor = {}, .generation = {}});
  EXPECT_TRUE(spec.ok()) << spec.status();
  return spec.ok() ? *std::move(spec) : ModelSpec();
}

const TensorSpec& Tensor(const ModelSpec& spec, const std::string& name) {
  for (const TensorSpec& tensor : spec.tensors) {
    if (tensor.name == name) return tensor;
  }
  ADD_FAILURE() << "no tensor " << name;
  return spec.tensors.front();
}

WeightFormat FormatOf(const json& quantization, const char* tensor) {
  return Tensor(SpecWith(quantization), tensor).format;
}

json Packed(const json& ignore, const json& targets = {"Linear"}) {
  const json weights = {{"num_bits", 4}, {"type", "int"}, {"group_size", 64}};
  return {{"quant_method", "compressed-tensors"},
          {"ignore", ignore},
          {"config_groups", {{"group_0", {{"targets", targets}, {"weights", weights}}}}}};
}

TEST(Quantization, EveryKnownMethodIsRead) {
  const WeightFormat one{.kind = Kind::kFp8, .scale_rows = 0, .scale_bytes = 4};
  const WeightFormat blocks{.kind = Kind::kFp8, .scale_rows = 128, .scale_cols = 64, .scale_bytes = 4};
  const WeightFormat zero{.kind = Kind::kInt4, .scale_cols = 128, .zero_points = true};
  EXPECT_EQ(FormatOf({{"quant_method", "fp8"}, {"weight_block_size", {128, 64}}}, kAttention), blocks);
  EXPECT_EQ(FormatOf({{"quant_method", "fp8"}}, kAttention), one);
  EXPECT_EQ(FormatOf({{"quant_method", "awq"}, {"bits", 4}, {"group_size", 128}}, kAttention), zero);
  EXPECT_EQ(FormatOf({{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 64}}, kAttention), kInt4);
  EXPECT_EQ(FormatOf(Packed(json::array()), kAttention), kInt4);
  for (const json& other : {json{{"quant_method", "bitsandbytes"}}, json::object()}) {
    const ModelSpec spec = SpecWith(other);
    EXPECT_EQ(Tensor(spec, kExpert).format, kUnknown);
    EXPECT_THAT(spec.assumed, Contains(HasSubstr("scheme not known")));
  }
}

TEST(Quantization, ListsNameModules) {
  EXPECT_EQ(FormatOf(Packed({"re:.*self_attn.*"}), kAttention), kNone);
  EXPECT_EQ(FormatOf(Packed({"re:.*self_attn.*"}), kExpert), kInt4);
  EXPECT_EQ(FormatOf(Packed({"re:self_attn"}), kAttention), kInt4) << "a pattern matches from the beginning";
  EXPECT_EQ(FormatOf(Packed({"re:.*mlp.gate$"}), kDense), kInt4) << "the router's name is not the MLP's";
  EXPECT_EQ(FormatOf(Packed({R"(re:.*mlp\.(gate|up|gate_up|down)_proj.*)"}), kDense), kNone);
  EXPECT_EQ(FormatOf(Packed({R"(re:.*mlp\.(gate|up|gate_up|down)_proj.*)"}), kExpert), kInt4);
  EXPECT_EQ(FormatOf(Packed({"re:^(?!.*experts).*"}), kAttention), kNone);
  EXPECT_EQ(FormatOf(Packed({"re:^(?!.*experts).*"}), kExpert), kInt4);
  EXPECT_EQ(FormatOf(Packed({"re:.*shared_experts.*"}), kShared), kNone);
  EXPECT_EQ(FormatOf(Packed({"re:.*shared_experts.*"}), kExpert), kInt4);
  EXPECT_EQ(FormatOf(Packed(json::array(), {"re:.*mlp.experts.*"}), kAttention), kNone);
  EXPECT_EQ(FormatOf(Packed(json::array(), {"re:.*mlp.experts.*"}), kExpert), kInt4);
  EXPECT_EQ(FormatOf({{"quant_method", "awq"}, {"bits", 4}, {"modules_to_not_convert", {"self_attn"}}}, kAttention),
            kNone);
}

// One layer left alone is that layer, and no other.
TEST(Quantization, LayersDiffer) {
  const ModelSpec spec = SpecWith(Packed({"model.layers.1.self_attn.o_proj"}));
  EXPECT_EQ(Tensor(spec, "llm.layers.1.o.weight").format, kNone);
  EXPECT_EQ(Tensor(spec, "llm.layers.2.o.weight").format, kInt4);
  EXPECT_EQ(Tensor(spec, "llm.layers.1.q_b.weight").format, kInt4);
}

TEST(Quantization, GroupsMayDiffer) {
  const json int8 = {{"num_bits", 8}, {"type", "int"}, {"strategy", "channel"}};
  json config = Packed(json::array(), {"re:.*experts.*"});
  config["config_groups"]["group_1"] = {{"targets", {"Linear"}}, {"weights", int8}, {"format", "int-quantized"}};
  const ModelSpec spec = SpecWith(config);
  EXPECT_EQ(Tensor(spec, kExpert).format, kInt4);
  EXPECT_EQ(Tensor(spec, kExpert).packing, Packing::kPackedRows);
  EXPECT_EQ(Tensor(spec, kAttention).format, (WeightFormat{.kind = Kind::kInt8}));
  EXPECT_EQ(Tensor(spec, kAttention).packing, Packing::kTyped);
  EXPECT_THAT(spec.assumed, Contains(HasSubstr("read as int4 in groups of 64 for experts.down, experts.gate_up")));
}

// Matrices that lie in one piece of memory have one format: where theirs differ, the larger counts.
TEST(Quantization, StackedMatricesAgreeOrCountInFull) {
  json config = CompleteConfig("Qwen2ForCausalLM");
  config["quantization_config"] = Packed({"re:.*[kv]_proj"});
  const auto spec = ParseModelSpec({.config = config.dump(), .preprocessor = {}, .generation = {}});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(Tensor(*spec, "llm.layers.0.qkv.weight").format, kUnknown);
  EXPECT_EQ(Tensor(*spec, "llm.layers.0.o.weight").format, kInt4);
}

// Never less than what there is: what is not understood counts in the compute type.
TEST(Quantization, WhatIsNotUnderstoodIsCountedInFull) {
  const std::string open = "re:(", wide = "re:" + std::string(2000, 'a');
  for (const std::string& entry : {open, wide}) {
    const ModelSpec spec = SpecWith(Packed({entry}));
    EXPECT_EQ(Tensor(spec, kAttention).format, kNone) << entry;
    EXPECT_THAT(spec.assumed, Contains(HasSubstr("was not understood"))) << entry;
  }
  EXPECT_EQ(FormatOf(Packed(json::array(), {open}), kAttention), kNone);
  const json many(std::vector<std::string>(65, "re:never"));
  EXPECT_EQ(FormatOf(Packed(many), kAttention), kNone) << "more patterns than are tried";
  EXPECT_EQ(FormatOf({{"quant_method", "gptq"}, {"bits", 4}, {"dynamic", {{"-:.*", json::object()}}}}, kAttention),
            kNone);
  // A pattern that tries every way to divide a name ends without an answer.
  EXPECT_EQ(FormatOf(Packed({"re:(([a-z0-9_.]+)+)+!"}), kAttention), kInt4);
}

struct Part {
  std::string name;
  std::vector<int64_t> shape;

  friend bool operator==(const Part&, const Part&) = default;
};

std::vector<Part> PartsOf(Packing packing, const WeightFormat& format) {
  std::vector<Part> parts;
  for (const StoredPart& part : StoredParts(packing, format, "m.q.weight", {96, 160})) {
    parts.push_back({part.name, part.shape});
  }
  return parts;
}

// A matrix of 96 rows and 160 columns.
TEST(Packing, PartsHaveThePublishedNamesAndShapes) {
  const WeightFormat groups{.kind = Kind::kInt4, .scale_cols = 32};
  const WeightFormat zeros{.kind = Kind::kInt4, .scale_cols = 32, .zero_points = true};
  const WeightFormat blocks{.kind = Kind::kFp8, .scale_rows = 64, .scale_cols = 128};
  const WeightFormat rows{.kind = Kind::kInt8};
  EXPECT_THAT(PartsOf(Packing::kPlain, {}), ElementsAre(Part{"m.q.weight", {96, 160}}));
  EXPECT_THAT(PartsOf(Packing::kPackedRows, zeros),
              ElementsAre(Part{"m.q.weight_packed", {96, 20}}, Part{"m.q.weight_scale", {96, 5}},
                          Part{"m.q.weight_zero_point", {12, 5}}, Part{"m.q.weight_shape", {2}},
                          Part{"m.q.weight_g_idx", {160}}));
  EXPECT_THAT(
      PartsOf(Packing::kTyped, rows),
      ElementsAre(Part{"m.q.weight", {96, 160}}, Part{"m.q.weight_scale", {96, 1}}, Part{"m.q.input_scale", {1}}));
  EXPECT_THAT(
      PartsOf(Packing::kScaleInv, blocks),
      ElementsAre(Part{"m.q.weight", {96, 160}}, Part{"m.q.weight_scale_inv", {2, 2}}, Part{"m.q.input_scale", {1}}));
  EXPECT_THAT(PartsOf(Packing::kGptq, groups), ElementsAre(Part{"m.q.qweight", {20, 96}}, Part{"m.q.qzeros", {5, 12}},
                                                           Part{"m.q.scales", {5, 96}}, Part{"m.q.g_idx", {160}}));
  EXPECT_THAT(PartsOf(Packing::kAwq, zeros),
              ElementsAre(Part{"m.q.qweight", {160, 12}}, Part{"m.q.qzeros", {5, 12}}, Part{"m.q.scales", {5, 96}}));
}

}  // namespace
}  // namespace headroom::model::reading
