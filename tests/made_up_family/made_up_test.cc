// A family that is its file alone is read, planned and served: the weights of tests/golden/llama under its names give
// the answers of the published code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/testing/paths.h"
#include "memory/alignment.h"
#include "memory/plan.h"
#include "model/checkpoint.h"
#include "model/reading/registry.h"
#include "model/spec.h"
#include "model/testing/checkpoint_writer.h"
#include "tools/golden_check/golden_check.h"

namespace headroom {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kCard = SourceDir() + "/tests/made_up_family/card";
const std::string kLlama = SourceDir() + "/tests/golden/llama";

// A tensor of the family, and the tensors of tests/golden/llama that lie below one another in it.
struct Renamed {
  std::string name;
  std::vector<std::string> sources;
};

std::vector<Renamed> Names() {
  constexpr int kLayers = 4;
  std::vector<Renamed> names = {{"token_table", {"model.embed_tokens.weight"}},
                                {"norm_last", {"model.norm.weight"}},
                                {"readout", {"lm_head.weight"}}};
  for (int i = 0; i < kLayers; ++i) {
    const std::string made_up = absl::StrCat("block.", i, "."), llama = absl::StrCat("model.layers.", i, ".");
    names.push_back({made_up + "norm_1", {llama + "input_layernorm.weight"}});
    names.push_back(
        {made_up + "look",
         {llama + "self_attn.q_proj.weight", llama + "self_attn.k_proj.weight", llama + "self_attn.v_proj.weight"}});
    names.push_back({made_up + "mix", {llama + "self_attn.o_proj.weight"}});
    names.push_back({made_up + "norm_2", {llama + "post_attention_layernorm.weight"}});
    names.push_back({made_up + "widen", {llama + "mlp.gate_proj.weight", llama + "mlp.up_proj.weight"}});
    names.push_back({made_up + "narrow", {llama + "mlp.down_proj.weight"}});
  }
  return names;
}

model::testing::StoredTensor Stacked(const model::Checkpoint& checkpoint, const Renamed& renamed, DType type) {
  model::testing::StoredTensor stacked{.name = renamed.name,
                                       .type = type == DType::kF32 ? model::StoredType::kF32 : model::StoredType::kBF16,
                                       .shape = {},
                                       .data = {}};
  for (const std::string& source : renamed.sources) {
    const model::TensorInfo* const found = checkpoint.Find(source);
    EXPECT_NE(found, nullptr) << source;
    if (found == nullptr) continue;
    std::string data(found->elements * SizeOf(type), '\0');
    const auto read = model::testing::ReadTensor(checkpoint, source, type, std::as_writable_bytes(std::span(data)));
    EXPECT_TRUE(read.ok()) << read;
    stacked.data += data;
    if (stacked.shape.empty()) {
      stacked.shape = found->shape;
    } else {
      stacked.shape[0] += found->shape[0];
    }
  }
  return stacked;
}

// tests/golden/llama as the family has it: its config.json, its tensors, and the tokenizer and expected answers as they
// are.
class MadeUpFamilyTest : public ::testing::Test {
 protected:
  void Write(DType type, const std::vector<Renamed>& names = Names()) {
    for (const char* name : {"tokenizer.json", "tokenizer_config.json", "expected"}) {
      std::filesystem::copy(kLlama + "/" + name, directory_.path() + "/" + name,
                            std::filesystem::copy_options::recursive);
    }
    std::filesystem::copy(kCard, directory_.path());
    const auto llama = model::Checkpoint::Open(kLlama);
    ASSERT_TRUE(llama.ok()) << llama.status();
    std::vector<model::testing::StoredTensor> stored;
    std::set<std::string> taken;
    for (const Renamed& renamed : names) {
      stored.push_back(Stacked(*llama, renamed, type));
      taken.insert(renamed.sources.begin(), renamed.sources.end());
    }
    ASSERT_EQ(taken.size(), llama->tensors().size()) << "a tensor has no other name";
    directory_.Write("model.safetensors", model::testing::SafetensorsFile(stored));
  }

  absl::StatusOr<tools::CheckSummary> Check(DType compute) {
    tools::CheckOptions options;
    options.directory = directory_.path();
    options.compute = compute;
    report_.clear();
    return tools::RunGoldenCheck(options, [this](const std::string& text) { report_ += text; });
  }

  absl::StatusOr<model::ModelSpec> ReadWith(const char* field, const json& value) const {
    json config = json::parse(std::ifstream(kCard + "/config.json"));
    config[field] = value;
    return model::ParseModelSpec({.config = config.dump(), .preprocessor = {}, .generation = {}});
  }

  model::testing::TemporaryDirectory directory_;
  std::string report_;
};

TEST_F(MadeUpFamilyTest, IsKnownBesideTheFamiliesOfTheProduct) {
  const std::vector<std::string> known = model::reading::KnownArchitectures();
  EXPECT_THAT(known, Contains("MadeUpForCausalLM"));
  EXPECT_THAT(known, Contains("LlamaForCausalLM"));
  EXPECT_THAT(known, Contains("MiniCPMV"));
  EXPECT_TRUE(std::is_sorted(known.begin(), known.end()));
}

TEST_F(MadeUpFamilyTest, CardIsReadAsTheLlamaThatItDescribes) {
  const auto spec = model::LoadModelSpec(kCard), llama = model::LoadModelSpec(kLlama);
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_EQ(spec->family, "Made-up");
  EXPECT_THAT(spec->assumed, IsEmpty());
  EXPECT_THAT(model::WhyNotServed(*spec), IsEmpty());
  EXPECT_EQ(spec->llm.max_position_embeddings, llama->llm.max_position_embeddings);
  EXPECT_EQ(spec->llm.eos_token_ids, llama->llm.eos_token_ids);
  EXPECT_EQ(spec->llm.rms_norm_eps, llama->llm.rms_norm_eps);
  ASSERT_EQ(spec->tensors.size(), llama->tensors.size());
  for (size_t i = 0; i < spec->tensors.size(); ++i) {
    EXPECT_EQ(spec->tensors[i].name, llama->tensors[i].name);
    EXPECT_EQ(spec->tensors[i].rows, llama->tensors[i].rows) << spec->tensors[i].name;
    EXPECT_EQ(spec->tensors[i].cols, llama->tensors[i].cols) << spec->tensors[i].name;
    EXPECT_EQ(spec->tensors[i].split, llama->tensors[i].split) << spec->tensors[i].name;
  }
}

TEST_F(MadeUpFamilyTest, WrongFieldsAreRefusedByTheirOwnNames) {
  const std::tuple<const char*, json, const char*> rows[] = {
      {"key_heads", 2, "config.json: key_heads: 2 does not divide query_heads 5"},
      {"head_width", 47, "config.json: head_width: 47 must be even"},
      {"width", "wide", "config.json: width: must be an integer, is \"wide\""},
      {"blocks", 1025, "config.json: blocks: 1025 is above the limit of 1024"},
      {"end_tokens", json::array({1224}), "config.json: end_tokens"}};
  for (const auto& [field, value, message] : rows) {
    const auto spec = ReadWith(field, value);
    EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(spec.status().message()), HasSubstr(message));
  }
}

// In fp32 memory holds what the file holds, and the rotary rates.
TEST_F(MadeUpFamilyTest, PlanIsTheBytesOfTheCheckpoint) {
  Write(DType::kF32);
  const auto spec = model::LoadServedModel(directory_.path());
  ASSERT_TRUE(spec.ok()) << spec.status();
  const auto checkpoint = model::Checkpoint::Open(directory_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto unused = model::CheckTensors(spec->tensors, *checkpoint);
  ASSERT_TRUE(unused.ok()) << unused.status();
  EXPECT_EQ(*unused, 0);
  memory::PlanRequest request;
  request.device = {.name = "card", .memory_bytes = int64_t{1} << 30};
  request.compute = DType::kF32;
  const auto plan = memory::MakePlan(*spec, request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(plan->plan_only, IsEmpty());
  const int64_t weights = plan->Bytes(memory::Component::kLlmWeights) + plan->Bytes(memory::Component::kHeadWeights);
  const int64_t rates = memory::AlignUp(spec->llm.head_dim / 2 * SizeOf(DType::kF32));
  EXPECT_EQ(weights, checkpoint->total_bytes() + rates);
}

// golden_check holds fp32 to 1e-4 and the ids to those of the reference, bf16 to the reference's own error.
TEST_F(MadeUpFamilyTest, AnswersAreThoseOfThePublishedCode) {
  Write(DType::kBF16);
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto summary = Check(compute);
    ASSERT_TRUE(summary.ok()) << summary.status();
    EXPECT_TRUE(summary->passed()) << report_;
    EXPECT_EQ(summary->within, 2) << report_;
    EXPECT_THAT(report_, HasSubstr("Made-up"));
  }
}

// The test above sees which tensor is where: keys and values in each other's place answer differently.
TEST_F(MadeUpFamilyTest, AnotherOrderInsideATensorGivesOtherAnswers) {
  std::vector<Renamed> names = Names();
  for (Renamed& renamed : names) {
    if (renamed.sources.size() == 3) std::swap(renamed.sources[1], renamed.sources[2]);
  }
  Write(DType::kBF16, names);
  const auto summary = Check(DType::kF32);
  ASSERT_TRUE(summary.ok()) << summary.status();
  EXPECT_EQ(summary->past, 2) << report_;
}

}  // namespace
}  // namespace headroom
