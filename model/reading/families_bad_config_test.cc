// Configs that lie: one wrong field at a time with the message that names it, and many wrong ones at random.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "common/testing/paths.h"
#include "model/reading/registry.h"
#include "model/reading/testing/configs.h"
#include "model/spec.h"

namespace headroom::model::reading {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using testing::CompleteConfig;
using ::testing::HasSubstr;
using testing::kCompleteConfigs;

constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();
constexpr uint64_t kTwoTo63 = uint64_t{1} << 63;

absl::StatusOr<ModelSpec> CardFrom(const std::string& config, const std::string& preprocessor = "") {
  return ParseModelSpec({.config = config, .preprocessor = preprocessor, .generation = {}});
}

struct BadField {
  const char* architecture;
  const char* pointer;
  json value;  // discarded: the field is taken away
  const char* where;
  const char* what;
};

json Missing() { return json(json::value_t::discarded); }

TEST(BadConfigs, EachIsRefusedByNameValueAndLimit) {
  const char *deepseek = "DeepseekV3ForCausalLM", *glm = "Glm4vForConditionalGeneration";
  const char *moe = "Glm4vMoeForConditionalGeneration", *asr = "GlmAsrForConditionalGeneration";
  const char *hunyuan = "HunYuanVLForConditionalGeneration", *llama = "LlamaForCausalLM";
  const char *mistral = "MistralForCausalLM", *qwen3 = "Qwen3ForCausalLM";
  const json sizes_list = {14, 16};
  const auto xdrope = [](const std::vector<int>& sections) {
    return json{{"type", "xdrope"}, {"alpha", 1000}, {"xdrope_section", sections}};
  };
  const std::vector<BadField> rows = {
      {llama, "/hidden_size", -1, "config.json: hidden_size", "-1 is below the minimum of 2"},
      {llama, "/hidden_size", kTwoTo63, "hidden_size", "9223372036854775808 is above the limit of 1048576"},
      {llama, "/hidden_size", "NaN", "hidden_size", "must be an integer, is \"NaN\""},
      {mistral, "/hidden_size", 1.5, "hidden_size", "must be an integer, is 1.5"},
      {mistral, "/hidden_size", Missing(), "hidden_size", "is missing"},
      {mistral, "/num_hidden_layers", 1025, "num_hidden_layers", "above the limit of 1024"},
      {mistral, "/num_key_value_heads", 3, "num_key_value_heads", "3 does not divide num_attention_heads 4"},
      {mistral, "/num_attention_heads", 0, "num_attention_heads", "0 is below the minimum of 1"},
      {mistral, "/head_dim", 31, "head_dim", "31 must be even"},
      {mistral, "/tie_word_embeddings", "no", "tie_word_embeddings", "must be true or false"},
      {mistral, "/rms_norm_eps", -1, "rms_norm_eps", "-1 is not between 0 and 1"},
      {mistral, "/sliding_window", -5, "sliding_window", "-5 is below the minimum of 1"},
      {mistral, "/rope_scaling", "yarn", "rope_scaling", "must be an object"},
      {qwen3, "/rope_theta", 0, "rope_theta", "0 is not between 1 and"},
      {qwen3, "/vocab_size", kInt64Max, "vocab_size", "above the limit of 16777216"},
      {"Qwen3MoeForCausalLM", "/num_experts_per_tok", 9, "num_experts_per_tok", "9 is above num_experts 8"},
      {"Qwen3MoeForCausalLM", "/num_local_experts", 1, "num_experts_per_tok", "2 is above num_local_experts 1"},
      {"Qwen3MoeForCausalLM", "/decoder_sparse_step", 2, "decoder_sparse_step", "2 (only 1: experts in every layer)"},
      {"Qwen3MoeForCausalLM", "/mlp_only_layers", {0}, "mlp_only_layers", "layers without experts (only [])"},
      {"MixtralForCausalLM", "/num_experts_per_tok", 9, "num_experts_per_tok", "9 is above num_local_experts 8"},
      {"Glm4MoeForCausalLM", "/n_routed_experts", 0, "n_routed_experts", "0 is below the minimum of 1"},
      {deepseek, "/num_experts_per_tok", 9, "num_experts_per_tok", "9 is above n_routed_experts 8"},
      {deepseek, "/first_k_dense_replace", 5, "first_k_dense_replace", "5 is above num_hidden_layers 4"},
      {deepseek, "/kv_lora_rank", 0, "kv_lora_rank", "0 is below the minimum of 1"},
      {deepseek, "/qk_rope_head_dim", 7, "qk_rope_head_dim", "7 must be even"},
      {deepseek, "/moe_layer_freq", 0, "moe_layer_freq", "0 is below the minimum of 1"},
      {deepseek, "/q_lora_rank", 1 << 20, "q_lora_rank", "above the limit of 65536"},
      {deepseek, "/hidden_size", Missing(), "hidden_size", "is missing"},
      {deepseek, "/quantization_config", "int4", "quantization_config", "must be an object"},
      {deepseek, "/quantization_config", {{"quant_method", 4}}, "quantization_config.quant_method", "must be a string"},
      {deepseek, "/quantization_config", {{"quant_method", "gptq"}}, "quantization_config.w_bit", "is missing"},
      {moe, "/text_config/n_routed_experts", -8, "text_config.n_routed_experts", "-8 is below the minimum of 1"},
      {moe, "/text_config/first_k_dense_replace", 5, "text_config.first_k_dense_replace", "above num_hidden_layers 4"},
      {moe, "/text_config/head_dim", 4098, "text_config.head_dim", "4098 is above the limit of 4096"},
      {moe, "/vision_config/depth", 0, "vision_config.depth", "0 is below the minimum of 1"},
      {glm, "/text_config", json::array(), "text_config", "must be an object, is []"},
      {glm, "/vision_config/out_hidden_size", 64, "vision_config.out_hidden_size", "differs from the decoder's"},
      {glm, "/vision_config/num_heads", 5, "vision_config.hidden_size", "64 is not a multiple of num_heads 5"},
      {glm, "/vision_config/in_channels", 4, "vision_config.in_channels", "4 is above the limit of 3"},
      {glm, "/vision_config/patch_size", sizes_list, "vision_config.patch_size", "one number or two equal ones"},
      {glm, "/vision_config/image_size", 3, "vision_config.image_size", "3 is below the minimum of 14"},
      {hunyuan, "/vision_config/max_image_size", 1 << 20, "vision_config.max_image_size", "above the limit of 16384"},
      {hunyuan, "/vision_config/out_hidden_size", 64, "vision_config.out_hidden_size", "64 differs from"},
      {hunyuan, "/vision_config/num_attention_heads", 5, "vision_config.hidden_size", "not a multiple of"},
      {hunyuan, "/vision_config/num_channels", 1, "vision_config.num_channels", "1 is below the minimum of 3"},
      {hunyuan, "/vision_config/rms_norm_eps", -1, "vision_config.rms_norm_eps", "-1 is not between 0 and 1"},
      {hunyuan, "/image_token_id", -4, "image_token_id", "-4 is below the minimum of 0"},
      {hunyuan, "/rope_scaling", {{"type", "xdrope"}, {"alpha", 1000}}, "xdrope_section", "0 numbers of 0 together"},
      {hunyuan, "/rope_scaling", xdrope({4, 4, 4, 5}), "xdrope_section",
       "4 numbers of 17 together, must be 3 or 4 of 16"},
      {hunyuan, "/rope_scaling", xdrope({8, 8}), "xdrope_section", "2 numbers of 16 together"},
      {hunyuan, "/rope_scaling", xdrope({4, 4, 4, 0}), "xdrope_section", "0 is below the minimum of 1"},
      {hunyuan, "/rope_scaling", xdrope({4, 3, 3, 3, 3}), "xdrope_section", "has 5 entries"},
      {hunyuan, "/rope_scaling", {{"type", "xdrope"}, {"xdrope_section", {8, 8, 8, 8}}}, "alpha", "is missing"},
      {hunyuan, "/head_dim", Missing(), "hidden_size", "and head_dim is missing"},
      {hunyuan, "/vocab_size", Missing(), "vocab_size", "is missing"},
      {asr, "/audio_config/intermediate_size", 200, "audio_config.intermediate_size", "200 is not a multiple of"},
      {asr, "/audio_config/num_key_value_heads", 3, "audio_config.num_key_value_heads", "3 does not divide"},
      {asr, "/text_config/num_hidden_layers", kTwoTo63, "text_config.num_hidden_layers", "above the limit of 1024"},
      {llama, "/architectures", json::array(), "architectures", "is missing (known: DeepseekV3ForCausalLM"},
      {llama, "/architectures", {"A", "B"}, "architectures", "[\"A\",\"B\"] is not known"},
      {llama, "/architectures", 7, "architectures", "must be a list of strings"},
  };
  int refused = 0;
  for (const BadField& row : rows) {
    SCOPED_TRACE(std::string(row.architecture) + row.pointer);
    json config = CompleteConfig(row.architecture);
    const json::json_pointer pointer(row.pointer);
    if (row.value.is_discarded()) {
      config[pointer.parent_pointer()].erase(pointer.back());
      if (pointer.back() == "head_dim") config["num_attention_heads"] = 6;
    } else {
      config[pointer] = row.value;
    }
    const auto card = CardFrom(config.dump());
    ASSERT_FALSE(card.ok());
    EXPECT_EQ(card.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(card.status().message()),
                AllOf(HasSubstr("config.json"), HasSubstr(row.where), HasSubstr(row.what)));
    ++refused;
  }
  EXPECT_EQ(refused, static_cast<int>(rows.size()));
}

TEST(BadConfigs, TextThatIsNoConfig) {
  for (const char* text : {"", "NaN", "[]", "{", "{\"hidden_size\": NaN}", "{\"a\": 1, \"a\": 2}"}) {
    EXPECT_EQ(CardFrom(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(BadConfigs, PreprocessorThatContradicts) {
  const std::string config = CompleteConfig("Glm4vForConditionalGeneration").dump();
  const std::pair<const char*, const char*> rows[] = {
      {R"({"patch_size": 16})", "preprocessor_config.json: patch_size: 16 differs from vision_config's 14"},
      {R"({"merge_size": 3})", "merge_size: 3 differs"},
      {R"({"size": {"longest_edge": -1}})", "size.longest_edge: -1 is below the minimum of 1"},
      {R"({"size": {"shortest_edge": 9, "longest_edge": 8}})", "size.shortest_edge: 9 is above the limit of 8"},
      {R"({"temporal_patch_size": 1})", "temporal_patch_size: 1 differs"},
      {R"({"image_mean": [0.5, 0.5]})", "image_mean: must have 3 entries, has 2"},
      {R"({"image_std": [0.5, 0, 0.5]})", "image_std"},
      {R"({"size": 5})", "size: must be an object"},
      {R"({"size")", "preprocessor_config.json: is not valid JSON"}};
  for (const auto& [preprocessor, message] : rows) {
    EXPECT_THAT(std::string(CardFrom(config, preprocessor).status().message()), HasSubstr(message)) << preprocessor;
  }
}

TEST(BadConfigs, HunyuanPreprocessorThatContradicts) {
  const std::string config = CompleteConfig("HunYuanVLForConditionalGeneration").dump();
  const std::pair<const char*, const char*> rows[] = {
      {R"({"patch_size": 14})", "patch_size: 14 differs from vision_config's 16"},
      {R"({"temporal_patch_size": 2})", "temporal_patch_size: 2 differs"},
      {R"({"max_pixels": 0})", "preprocessor_config.json: max_pixels: 0 is below the minimum of 1"},
      {R"({"min_pixels": 5000, "max_pixels": 4999})", "min_pixels: 5000 is above the limit of 4999"},
      {R"({"size": {"shortest_edge": 9, "longest_edge": 8}})", "size.shortest_edge: 9 is above the limit of 8"}};
  for (const auto& [preprocessor, message] : rows) {
    EXPECT_THAT(std::string(CardFrom(config, preprocessor).status().message()), HasSubstr(message)) << preprocessor;
  }
}

// Each field inside its limits, the whole beyond what a plan may add up.
TEST(BadConfigs, ProductsAreBounded) {
  json config = CompleteConfig("DeepseekV3ForCausalLM");
  config["num_hidden_layers"] = 1024;
  config["n_routed_experts"] = 16384;
  config["moe_intermediate_size"] = 1 << 20;
  EXPECT_THAT(std::string(CardFrom(config.dump()).status().message()),
              AllOf(HasSubstr("experts"), HasSubstr("above the limit of 1125899906842624 parameters")));
  config = CompleteConfig("MistralForCausalLM");
  config["num_hidden_layers"] = 1024;
  config["hidden_size"] = 1 << 20;
  config["intermediate_size"] = 1 << 22;
  EXPECT_THAT(std::string(CardFrom(config.dump()).status().message()),
              HasSubstr("above the limit of 1125899906842624 parameters"));
  config["architectures"] = {"LlamaForCausalLM"};  // the engine takes it; a plan does not
  EXPECT_THAT(std::string(CardFrom(config.dump()).status().message()), HasSubstr("parameters"));
  config = CompleteConfig("Glm4vForConditionalGeneration");
  config["vision_config"]["patch_size"] = 1;
  config["vision_config"]["image_size"] = 16384;
  EXPECT_THAT(std::string(CardFrom(config.dump()).status().message()),
              AllOf(HasSubstr("position_embedding"), HasSubstr("268435456 is not between 1 and 67108864")));
}

json Absurd(std::mt19937_64& random) {
  const json values[] = {-1,
                         0,
                         1,
                         2,
                         3,
                         7,
                         64,
                         1 << 20,
                         1 << 24,
                         int64_t{1} << 31,
                         int64_t{1} << 52,
                         kInt64Max,
                         std::numeric_limits<int64_t>::min(),
                         kTwoTo63,
                         std::numeric_limits<uint64_t>::max(),
                         1e308,
                         -0.5,
                         1.5,
                         "NaN",
                         "",
                         std::string(300, 'x'),
                         nullptr,
                         true,
                         json::array(),
                         json::object(),
                         {1, 2},
                         {14, 14},
                         {"Linear", "re:.*experts.*"},
                         {{"quant_method", "compressed-tensors"}},
                         {{"group_0", {{"weights", {{"num_bits", 4}, {"group_size", 1}}}}}}};
  return values[random() % std::size(values)];
}

// Every accepted card must be one that a plan may add up: UBSan would stop an overflow, and nothing is below zero.
void CheckAccepted(const ModelSpec& card) {
  int64_t bytes = 0, parameters = 0;
  for (const TensorSpec& tensor : card.tensors) {
    ASSERT_GT(tensor.count, 0);
    ASSERT_LE(tensor.rows, int64_t{1} << 26);
    ASSERT_LE(tensor.cols, int64_t{1} << 26);
    ASSERT_LE(tensor.count, int64_t{1} << 20);
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      const int64_t one = MatrixBytes(tensor.format, tensor.rows, tensor.cols, compute);
      ASSERT_GT(one, 0);
      bytes += tensor.count * one;
    }
    parameters += tensor.computed() ? 0 : tensor.count * tensor.rows * tensor.cols;
  }
  ASSERT_GT(bytes, 0);
  ASSERT_EQ(ParameterCount(card.tensors), parameters);
  ASSERT_LE(parameters, int64_t{1} << 50);
  const KvShape kv = KvOf(card.llm);
  ASSERT_GT(kv.layers * kv.vectors * kv.heads * kv.head_dim, 0);
  ASSERT_GT(card.llm.max_position_embeddings, 0);
  const DecoderShape d = ShapeOf(card.llm);
  for (const int64_t size : {d.hidden, d.attention_in, d.attention_out, d.mlp_in, d.mlp_out, d.vocab, d.heads}) {
    ASSERT_GT(size, 0);
    ASSERT_LE(size, int64_t{1} << 36);
  }
  ASSERT_EQ(d.routed > 0, d.router > 0);
  if (!card.encoder) return;
  const EncoderShape& e = *card.encoder;
  for (const int64_t size : {e.patch_values, e.width, e.mlp_in, e.mlp_out, e.out, e.usual_patches, e.largest_patches,
                             e.usual_rows, e.largest_rows, e.pieces_max, std::max(e.merge, e.query_num)}) {
    ASSERT_GT(size, 0);
    ASSERT_LE(size, int64_t{1} << 36);
  }
  ASSERT_LE(e.usual_patches, e.largest_patches);
  ASSERT_LE(e.usual_rows, e.largest_rows);
}

std::vector<json> Seeds() {
  std::vector<json> seeds;
  for (const std::string& architecture : kCompleteConfigs) seeds.push_back(CompleteConfig(architecture));
  for (const auto& entry : std::filesystem::directory_iterator(SourceDir() + "/models/cards")) {
    if (!entry.is_directory()) continue;
    std::ifstream file(entry.path() / "config.json");
    seeds.push_back(json::parse(file));
  }
  return seeds;
}

TEST(BadConfigs, MutationsAreRefusedOrPlannable) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  const std::vector<json> seeds = Seeds();
  constexpr int kMutations = 24'000;
  int accepted = 0, refused = 0;
  for (int i = 0; i < kMutations; ++i) {
    json config = seeds[random() % seeds.size()];
    const auto changes = 1 + random() % 3;
    for (uint64_t change = 0; change < changes; ++change) {
      const json flat = config.flatten();
      auto leaf = flat.begin();
      std::advance(leaf, random() % flat.size());
      json::json_pointer pointer(leaf.key());
      // Sometimes the object or list around it.
      if (random() % 4 == 0 && !pointer.parent_pointer().empty()) pointer.pop_back();
      if (pointer.empty()) continue;
      json& parent = config[pointer.parent_pointer()];
      if (random() % 3 == 0 && parent.is_object()) {
        parent.erase(pointer.back());
      } else if (parent.is_object()) {
        parent[pointer.back()] = Absurd(random);
      } else {
        parent = Absurd(random);
      }
      if (!config.is_object() || config.empty()) break;
    }
    const std::string text = config.dump();
    const auto card = CardFrom(text);
    if (!card.ok()) {
      ASSERT_EQ(card.status().code(), absl::StatusCode::kInvalidArgument) << text;
      ASSERT_THAT(std::string(card.status().message()), HasSubstr("config.json: ")) << text;
      ASSERT_LE(card.status().message().size(), 1000u) << text;
      ++refused;
      continue;
    }
    ++accepted;
    CheckAccepted(*card);
    if (HasFatalFailure()) FAIL() << text;
  }
  // Both kinds must have been seen, many times over.
  EXPECT_GT(accepted, kMutations / 20);
  EXPECT_GT(refused, kMutations / 20);
  std::cout << accepted << " accepted, " << refused << " refused\n";
}

}  // namespace
}  // namespace headroom::model::reading
