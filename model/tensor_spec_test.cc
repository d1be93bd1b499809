#include "model/tensor_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "common/testing/folders.h"
#include "common/testing/paths.h"
#include "model/fingerprint.h"
#include "model/testing/checkpoint_writer.h"

namespace headroom::model {
namespace {

using ::testing::HasSubstr;

ModelSpec Published(bool drop_last = false) {
  const std::string text =
      R"({"architectures": ["MiniCPMV"], "version": 2.6, "hidden_size": 3584, "intermediate_size": 18944,
      "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 151666,
      "max_position_embeddings": 32768, "rope_theta": 1000000.0, "drop_vision_last_layer": )" +
      std::string(drop_last ? "true" : "false") + "}";
  auto config = ParseModelSpec({.config = text, .preprocessor = {}, .generation = {}});
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

TEST(Weights, PublishedModelHasThePublishedNumbers) {
  const ModelSpec config = Published();
  EXPECT_EQ(SourcesOf(config.tensors).size(), 789u);
  EXPECT_EQ(ParameterCount(config.tensors), 8'099'175'152);
  EXPECT_EQ(ParameterCount(config.tensors) * 2, 16'198'350'304);
  EXPECT_EQ(ParameterCount(config.tensors, WeightPart::kVision), 417'792'240);
  EXPECT_EQ(ParameterCount(config.tensors, WeightPart::kResampler), 68'619'264);
  EXPECT_EQ(ParameterCount(config.tensors, WeightPart::kHead), 543'570'944);
  EXPECT_EQ(ParameterCount(config.tensors, WeightPart::kLlm), 7'612'763'648 - 543'570'944);
}

TEST(Weights, DroppedVisionLayerIsNotNeeded) {
  const ModelSpec config = Published(/*drop_last=*/true);
  EXPECT_EQ(ParameterCount(config.tensors, WeightPart::kVision), 417'792'240 - 15'239'504);
}

TEST(Weights, HeldTensorsCoverTheirSources) {
  for (const std::string architecture : {"MiniCPMV", "Qwen2ForCausalLM", "LlamaForCausalLM"}) {
    const auto config =
        ParseModelSpec({.config = testing::SmallConfig(architecture), .preprocessor = {}, .generation = {}});
    ASSERT_TRUE(config.ok()) << config.status();
    std::set<std::string> names, sources;
    for (const TensorSpec& held : config->tensors) {
      EXPECT_TRUE(names.insert(held.name).second) << held.name;
      int64_t elements = 0;
      for (const TensorSource& source : held.sources) {
        EXPECT_TRUE(sources.insert(source.name).second) << source.name;
        int64_t product = 1;
        for (const int64_t dimension : source.shape) product *= dimension;
        elements += product;
      }
      EXPECT_TRUE(held.sources.empty() || elements == held.rows * held.cols) << held.name;
    }
    EXPECT_EQ(names.contains("llm.head.weight"), architecture != "Qwen2ForCausalLM");
    EXPECT_EQ(names.contains("llm.layers.1.qkv.bias"), architecture != "LlamaForCausalLM");
  }
}

// Checkpoints that the engine serves: each tensor is expected under its own name and shape, and no other is there.
TEST(Weights, ServedCheckpointsMatch) {
  std::vector<std::string> names = {"models/demo"};
  for (const std::string& golden : FoldersWith("config.json", "tests/golden"))
    names.push_back("tests/golden/" + golden);
  EXPECT_GT(names.size(), 1u);
  for (const std::string& name : names) {
    const std::string directory = SourceDir() + "/" + name;
    const auto config = LoadServedModel(directory);
    ASSERT_TRUE(config.ok()) << config.status();
    const auto checkpoint = Checkpoint::Open(directory);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    const auto unused = CheckTensors(config->tensors, *checkpoint);
    ASSERT_TRUE(unused.ok()) << unused.status();
    EXPECT_EQ(*unused, 0) << name;
    EXPECT_TRUE(name != "tests/golden/minicpmv" || ParameterCount(config->tensors) == 3'693'584);
  }
}

class CheckTensorsTest : public ::testing::Test {
 protected:
  // Opens a random small MiniCPMV checkpoint with another config.
  absl::StatusOr<int64_t> CheckWith(const nlohmann::json& patch) {
    const std::string text = testing::SmallConfig("MiniCPMV");
    testing::WriteRandomModel(directory_, text);
    nlohmann::json changed = nlohmann::json::parse(text);
    changed.merge_patch(patch);
    const auto config = ParseModelSpec({.config = changed.dump(), .preprocessor = {}, .generation = {}});
    EXPECT_TRUE(config.ok()) << config.status();
    const auto checkpoint = Checkpoint::Open(directory_.path());
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    return CheckTensors(config->tensors, *checkpoint);
  }
  testing::TemporaryDirectory directory_;
};

TEST_F(CheckTensorsTest, SaysWhatIsMissingOrWrong) {
  EXPECT_THAT(
      std::string(CheckWith({{"vocab_size", 321}}).status().message()),
      HasSubstr("tensor llm.model.embed_tokens.weight: the checkpoint has [320, 128], the config wants [321, 128]"));
  EXPECT_THAT(std::string(CheckWith({{"num_hidden_layers", 3}}).status().message()),
              HasSubstr("tensor llm.model.layers.2.input_layernorm.weight: missing from the checkpoint, wanted [128]"));
  EXPECT_THAT(
      std::string(CheckWith({{"vision_config", {{"image_size", 294}}}}).status().message()),
      HasSubstr(
          "vpm.embeddings.position_embedding.weight: the checkpoint has [400, 144], the config wants [441, 144]"));
  EXPECT_THAT(std::string(CheckWith({{"num_key_value_heads", 4}}).status().message()), HasSubstr("k_proj.weight"));
}

TEST_F(CheckTensorsTest, CountsWhatTheModelDoesNotUse) {
  const auto unused = CheckWith({{"drop_vision_last_layer", true}});
  ASSERT_TRUE(unused.ok()) << unused.status();
  EXPECT_EQ(*unused, 16);
}

TEST_F(CheckTensorsTest, WrongElementType) {
  const std::string text = testing::SmallConfig("Qwen2ForCausalLM");
  testing::WriteRandomModel(directory_, text);
  const auto config = LoadServedModel(directory_.path());
  ASSERT_TRUE(config.ok());
  std::vector<testing::StoredTensor> tensors;
  for (const TensorSource& expected : SourcesOf(config->tensors)) {
    int64_t elements = 1;
    for (const int64_t dimension : expected.shape) elements *= dimension;
    const StoredType type = expected.name == "model.norm.weight" ? StoredType::kI16 : StoredType::kF16;
    tensors.push_back({expected.name, type, expected.shape, std::string(elements * 2, '\0')});
  }
  directory_.Write("model.safetensors", testing::SafetensorsFile(tensors));
  const auto checkpoint = Checkpoint::Open(directory_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_THAT(std::string(CheckTensors(config->tensors, *checkpoint).status().message()),
              HasSubstr("tensor model.norm.weight: the checkpoint has I16, wanted F32, F16 or BF16"));
}

TEST(Fingerprint, FollowsConfigTokenizerAndHeaders) {
  testing::TemporaryDirectory directory;
  const auto fingerprint = [&] {
    const auto checkpoint = Checkpoint::Open(directory.path());
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    const auto result = ModelFingerprint(directory.path(), *checkpoint);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or("");
  };
  testing::WriteRandomModel(directory, testing::SmallConfig("Qwen2ForCausalLM"));
  const std::string first = fingerprint();
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ(first, fingerprint());
  directory.Write("tokenizer.json", "");
  const std::string with_tokenizer = fingerprint();
  EXPECT_NE(first, with_tokenizer);
  directory.Write("tokenizer.json", "{}");
  EXPECT_NE(with_tokenizer, fingerprint());
  testing::TemporaryDirectory other;
  std::string text = testing::SmallConfig("Qwen2ForCausalLM");
  testing::WriteRandomModel(other, text, {.seed = 1, .shards = 1, .type = StoredType::kF32});
  const auto checkpoint = Checkpoint::Open(other.path());
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_NE(ModelFingerprint(other.path(), *checkpoint).value_or(""), first);
}

}  // namespace
}  // namespace headroom::model
