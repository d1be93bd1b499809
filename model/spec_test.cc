#include "model/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"
#include "common/testing/paths.h"
#include "model/testing/checkpoint_writer.h"

namespace headroom::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// config.json of MiniCPM-V 2.6 as published.
const char* const kPublished = R"({
  "architectures": ["MiniCPMV"], "model_type": "minicpmv", "version": 2.6, "torch_dtype": "bfloat16",
  "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
  "num_key_value_heads": 4, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
  "max_position_embeddings": 32768, "vocab_size": 151666, "tie_word_embeddings": false, "attention_dropout": 0.0,
  "use_sliding_window": false, "sliding_window": 131072, "max_window_layers": 28, "bos_token_id": 151643,
  "eos_token_id": 151645, "query_num": 64, "image_size": 448, "patch_size": 14, "slice_mode": true,
  "batch_vision_input": true, "drop_vision_last_layer": false,
  "slice_config": {"max_slice_nums": 9, "patch_size": 14, "model_type": "minicpmv"},
  "vision_config": {"model_type": "siglip", "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
                    "num_attention_heads": 16, "patch_size": 14, "image_size": 980}})";

// As LoadServedModel does.
absl::StatusOr<ModelSpec> Parse(const std::string& config, const std::string& preprocessor = "",
                                const std::string& generation = "") {
  auto spec = ParseModelSpec({.config = config, .preprocessor = preprocessor, .generation = generation});
  if (!spec.ok()) return spec;
  const std::vector<std::string> reasons = WhyNotServed(*spec);
  if (!reasons.empty()) return absl::InvalidArgumentError(absl::StrJoin(reasons, "; "));
  return spec;
}

// The published config with one change; the path is a JSON pointer.
std::string With(const std::string& pointer, const nlohmann::json& value) {
  nlohmann::json config = nlohmann::json::parse(kPublished);
  config[nlohmann::json::json_pointer(pointer)] = value;
  return config.dump();
}

std::string Without(const std::string& name) {
  nlohmann::json config = nlohmann::json::parse(kPublished);
  config.erase(name);
  return config.dump();
}

std::string Text(const char* architecture, const nlohmann::json& patch) {
  nlohmann::json config = nlohmann::json::parse(testing::SmallConfig(architecture));
  config.merge_patch(patch);
  return config.dump();
}

TEST(ModelSpec, ReadsThePublishedFile) {
  const auto config = Parse(kPublished);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->architecture, "MiniCPMV");
  EXPECT_EQ(config->llm.hidden_size, 3584);
  EXPECT_EQ(config->llm.head_dim, 128);
  EXPECT_EQ(config->llm.kv_heads, 4);
  EXPECT_EQ(config->llm.rope.theta, 1e6);
  EXPECT_TRUE(config->llm.qkv_bias);
  EXPECT_FALSE(config->llm.output_bias);
  EXPECT_THAT(config->llm.eos_token_ids, ElementsAre(151645));
  ASSERT_TRUE(config->vision.has_value());
  EXPECT_EQ(config->vision->layers, 27);
  EXPECT_EQ(config->vision->head_dim(), 72);
  EXPECT_EQ(config->vision->position_side, 70);
  EXPECT_EQ(config->vision->patch_values(), 588);
  EXPECT_EQ(config->vision->layer_norm_eps, 1e-6);
  EXPECT_EQ(config->resampler.heads, 28);
  EXPECT_EQ(config->resampler.query_num, 64);
  EXPECT_EQ(config->slice.max_slice_nums, 9);
  EXPECT_EQ(config->slice.scale_resolution, 448);
  EXPECT_TRUE(config->use_image_id);
  EXPECT_FALSE(config->generation.temperature.has_value());
}

TEST(ModelSpec, ClassDefaultsApplyWhereTheFileIsSilent) {
  const auto dropped = Parse(Without("drop_vision_last_layer"));
  ASSERT_TRUE(dropped.ok()) << dropped.status();
  EXPECT_EQ(dropped->vision->layers, 26);
  const auto no_tower = Parse(Without("vision_config"));
  ASSERT_TRUE(no_tower.ok()) << no_tower.status();
  EXPECT_EQ(no_tower->vision->hidden_size, 1152);
  const auto no_slices = Parse(Without("slice_config"));
  ASSERT_TRUE(no_slices.ok()) << no_slices.status();
  EXPECT_EQ(no_slices->slice.max_slice_nums, 9);
  const auto llama = Parse(Text("LlamaForCausalLM", {{"num_key_value_heads", nullptr}, {"rope_scaling", nullptr}}));
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_EQ(llama->llm.kv_heads, 4);
  EXPECT_EQ(llama->llm.rope.theta, 10000);
  EXPECT_FALSE(llama->llm.tie_word_embeddings);
}

// hidden_size / 128 rounded down, as published.
TEST(ModelSpec, ResamplerHeadsMayBeWiderThan128) {
  for (const auto& [width, heads] : std::map<int64_t, int64_t>{{128, 1}, {192, 1}, {252, 1}, {320, 2}, {3584, 28}}) {
    const nlohmann::json patch = {{"hidden_size", width}, {"num_attention_heads", 2}, {"num_key_value_heads", 1}};
    nlohmann::json config = nlohmann::json::parse(kPublished);
    config.merge_patch(patch);
    const auto parsed = Parse(config.dump());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->resampler.heads, heads) << width;
  }
  EXPECT_FALSE(Parse(With("/hidden_size", 112)).ok());
}

TEST(ModelSpec, VersionMayBeAString) { EXPECT_TRUE(Parse(With("/version", "2.6")).ok()); }

TEST(ModelSpec, TextModels) {
  const auto qwen = Parse(testing::SmallConfig("Qwen2ForCausalLM"));
  ASSERT_TRUE(qwen.ok()) << qwen.status();
  EXPECT_TRUE(qwen->llm.qkv_bias);
  EXPECT_FALSE(qwen->llm.output_bias);
  EXPECT_TRUE(qwen->llm.tie_word_embeddings);
  EXPECT_EQ(qwen->llm.head_dim, 32);
  EXPECT_FALSE(qwen->vision.has_value());
  const auto llama = Parse(Text("LlamaForCausalLM", {{"attention_bias", true}}));
  ASSERT_TRUE(llama.ok()) << llama.status();
  EXPECT_EQ(llama->llm.head_dim, 48);
  EXPECT_TRUE(llama->llm.qkv_bias);
  EXPECT_TRUE(llama->llm.output_bias);
}

TEST(ModelSpec, RopeThetaOfNewerFiles) {
  const auto config =
      Parse(Text("LlamaForCausalLM", {{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 500000}}}}));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->llm.rope.theta, 500000);
}

TEST(ModelSpec, RopeScaling) {
  const nlohmann::json llama3 = {{"rope_type", "llama3"},  {"factor", 8.0},
                                 {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0},
                                 {"rope_theta", 500000},   {"original_max_position_embeddings", 8192}};
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    const auto config = Parse(Text("LlamaForCausalLM", {{name, llama3}}));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->llm.rope.scaling.type, RopeScaling::Type::kLlama3);
    EXPECT_EQ(config->llm.rope.scaling.factor, 8);
    EXPECT_EQ(config->llm.rope.scaling.original_positions, 8192);
    EXPECT_EQ(config->llm.rope.theta, 500000);
  }
  const auto linear = Parse(Text("LlamaForCausalLM", {{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}}));
  ASSERT_TRUE(linear.ok()) << linear.status();
  EXPECT_EQ(linear->llm.rope.scaling.type, RopeScaling::Type::kLinear);
  // Has no effect up to max_position_embeddings.
  const auto dynamic = Parse(Text("LlamaForCausalLM", {{"rope_scaling", {{"type", "dynamic"}, {"factor", 2}}}}));
  ASSERT_TRUE(dynamic.ok()) << dynamic.status();
  EXPECT_EQ(dynamic->llm.rope.scaling.type, RopeScaling::Type::kNone);
}

// As people put it into a Qwen2.5: four times the positions that the file claims.
TEST(ModelSpec, YarnServesTheContextItWasMadeFor) {
  const nlohmann::json yarn = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  const auto config = Parse(Text("Qwen2ForCausalLM", {{"rope_scaling", yarn}, {"max_position_embeddings", 32768}}));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->llm.rope.scaling.type, RopeScaling::Type::kYarn);
  EXPECT_EQ(config->llm.max_position_embeddings, 131072);
  EXPECT_NEAR(config->llm.rope.scaling.attention_factor, 1.138629436, 1e-9);
}

TEST(ModelSpec, YarnWithWeightsOfItsOwn) {
  const nlohmann::json yarn = {
      {"rope_type", "yarn"}, {"mscale", 1.0}, {"mscale_all_dim", 0.5}, {"original_max_position_embeddings", 4096}};
  const auto config = Parse(Text("LlamaForCausalLM", {{"rope_parameters", yarn}, {"max_position_embeddings", 163840}}));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->llm.rope.scaling.factor, 40);
  EXPECT_EQ(config->llm.max_position_embeddings, 163840);
  EXPECT_NEAR(config->llm.rope.scaling.attention_factor, 1.15572199, 1e-8);
}

TEST(ModelSpec, LongRope) {
  const std::vector<double> ones(24, 1.0), twos(24, 2.0);
  for (const char* type : {"longrope", "su"}) {
    const auto config = Parse(
        Text("LlamaForCausalLM", {{"rope_scaling", {{"type", type}, {"short_factor", ones}, {"long_factor", twos}}},
                                  {"original_max_position_embeddings", 4096},
                                  {"max_position_embeddings", 131072}}));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->llm.rope.scaling.type, RopeScaling::Type::kLongRope);
    EXPECT_EQ(config->llm.rope.scaling.factor, 32);
    EXPECT_EQ(config->llm.rope.scaling.original_positions, 4096);
    EXPECT_EQ(config->llm.rope.scaling.long_factors, twos);
    EXPECT_EQ(config->llm.max_position_embeddings, 131072);
    EXPECT_NEAR(config->llm.rope.scaling.attention_factor, 1.19023807, 1e-8);
  }
}

TEST(ModelSpec, SlidingWindowThatReachesNoLayerIsFine) {
  EXPECT_TRUE(
      Parse(Text("Qwen2ForCausalLM", {{"use_sliding_window", true}, {"sliding_window", 64}, {"max_window_layers", 2}}))
          .ok());
}

TEST(ModelSpec, PreprocessorWinsOverSliceConfig) {
  const auto config =
      Parse(kPublished, R"({"max_slice_nums": 4, "scale_resolution": 224, "patch_size": 14, "use_image_id": false,
      "norm_mean": [0.1, 0.2, 0.3], "norm_std": [1, 2, 3], "im_start": "<a>", "unk": "<b>", "image_feature_size": 64})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->slice.max_slice_nums, 4);
  EXPECT_EQ(config->slice.scale_resolution, 224);
  EXPECT_FALSE(config->use_image_id);
  EXPECT_THAT(config->norm_mean, ElementsAre(0.1, 0.2, 0.3));
  EXPECT_THAT(config->norm_std, ElementsAre(1, 2, 3));
  EXPECT_EQ(config->markers.image_start, "<a>");
  EXPECT_EQ(config->markers.placeholder, "<b>");
  EXPECT_EQ(config->markers.slice_end, "</slice>");
}

TEST(ModelSpec, GenerationDefaults) {
  const auto config = Parse(kPublished, "", R"({"do_sample": true, "temperature": 0.7, "top_p": 0.8, "top_k": 100,
      "repetition_penalty": 1.05, "eos_token_id": [151645, 151643]})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->generation.temperature, 0.7);
  EXPECT_EQ(config->generation.top_p, 0.8);
  EXPECT_EQ(config->generation.top_k, 100);
  EXPECT_EQ(config->generation.repetition_penalty, 1.05);
  EXPECT_THAT(config->llm.eos_token_ids, ElementsAre(151645, 151643));
  const auto greedy = Parse(kPublished, "", R"({"do_sample": false, "temperature": 0.7})");
  ASSERT_TRUE(greedy.ok()) << greedy.status();
  EXPECT_EQ(greedy->generation.temperature, 0);
}

TEST(ModelSpec, DefaultsOfNoUseKeepNoModelFromStarting) {
  const auto off = Parse(kPublished, "", R"({"top_k": -1, "temperature": 0.5})");
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_EQ(off->generation.top_k, 0);
  for (const char* text : {R"({"top_k": -2})", R"({"top_k": "40"})", R"({"top_p": 0})", R"({"top_p": 1.5})",
                           R"({"temperature": -1})", R"({"repetition_penalty": 0})", R"({"do_sample": "yes"})"}) {
    const auto config = Parse(kPublished, "", text);
    ASSERT_TRUE(config.ok()) << text << ": " << config.status();
    const GenerationDefaults& defaults = config->generation;
    EXPECT_FALSE(defaults.top_k || defaults.top_p || defaults.temperature || defaults.repetition_penalty) << text;
  }
  // Ids that no row of the model can ever give.
  const auto stops = Parse(kPublished, "", R"({"eos_token_id": [151666, 151643]})");
  ASSERT_TRUE(stops.ok()) << stops.status();
  EXPECT_THAT(stops->llm.eos_token_ids, ElementsAre(151645, 151643));
}

struct BadValue {
  const char* pointer;
  nlohmann::json value;
  const char* message;
};

TEST(ModelSpec, EveryBadFieldIsNamed) {
  const BadValue bad[] = {
      {"/architectures", nullptr, "architectures: is missing"},
      {"/architectures", {"BertModel"}, "architectures: [\"BertModel\"] is not known (known: DeepseekV3ForCausalLM, "},
      {"/architectures", "MiniCPMV", "architectures: must be a list"},
      {"/version", 2.5, "version: not supported: 2.5"},
      {"/version", nullptr, "version: not supported: null"},
      {"/hidden_size", "3584", "hidden_size: must be an integer, is \"3584\""},
      {"/hidden_size", 3584.5, "hidden_size: must be an integer"},
      {"/hidden_size", -1, "hidden_size: -1 is below the minimum"},
      {"/hidden_size", 9223372036854775807, "hidden_size: 9223372036854775807 is above the limit"},
      {"/hidden_size", 18446744073709551615u, "hidden_size: 18446744073709551615 is above the limit"},
      {"/hidden_size", 3585, "hidden_size: 3585 is not a multiple of num_attention_heads 28"},
      {"/hidden_size", 28 * 124, "hidden_size: 3472 is not a multiple of 4 and of the resampler's heads, 27"},
      {"/hidden_size", nullptr, "hidden_size: is missing"},
      {"/intermediate_size", 0, "intermediate_size: 0 is below"},
      {"/num_hidden_layers", 1e30, "num_hidden_layers: must be an integer"},
      {"/num_hidden_layers", 100000, "num_hidden_layers: 100000 is above the limit of 1024"},
      {"/num_attention_heads", 0, "num_attention_heads: 0 is below"},
      {"/num_key_value_heads", 3, "num_key_value_heads: 3 does not divide num_attention_heads 28"},
      {"/head_dim", 127, "head_dim: 127 must be even"},
      {"/vocab_size", -5, "vocab_size: -5 is below"},
      {"/vocab_size", 1 << 30, "vocab_size: 1073741824 is above"},
      {"/max_position_embeddings", true, "max_position_embeddings: must be an integer"},
      {"/rope_theta", 0, "rope_theta: 0 is not between"},
      {"/rope_theta", "1e6", "rope_theta: must be a number"},
      {"/rope_scaling", {{"type", "ntk"}, {"factor", 2}}, "rope_scaling: not supported"},
      {"/rope_scaling", {{"type", "longrope"}, {"factor", 2}}, "rope_scaling.short_factor: has 0 entries, want"},
      {"/rope_scaling", {{"type", "longrope"}, {"short_factor", {0}}}, "rope_scaling.short_factor: 0 is not between"},
      {"/rope_scaling",
       {{"type", "linear"}, {"factor", 2}, {"partial_rotary_factor", 0.5}},
       "partial_rotary_factor: not supported: 0.5 (only 1)"},
      {"/rope_scaling",
       {{"type", "yarn"}, {"factor", 2}, {"beta_slow", 64}},
       "rope_scaling.beta_fast: 32 must not be below"},
      {"/rope_scaling", {{"rope_type", "llama3"}}, "rope_scaling.factor: is missing"},
      {"/rope_scaling", {{"type", "linear"}, {"factor", 0.5}}, "rope_scaling.factor: 0.5 is not between"},
      {"/rope_scaling",
       {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}},
       "rope_scaling.high_freq_factor: 4 must be above"},
      {"/rope_parameters", {{"rope_type", "yarn"}}, "rope_parameters.factor: is missing"},
      {"/rms_norm_eps", -1e-6, "rms_norm_eps: -1e-06 is not between"},
      {"/hidden_act", "gelu", "hidden_act: not supported: \"gelu\" (only \"silu\")"},
      {"/mlp_bias", true, "mlp_bias: not supported: true"},
      {"/partial_rotary_factor", 0.5, "partial_rotary_factor: not supported: 0.5"},
      {"/quantization_config", {{"bits", 4}}, "quantization_config: not supported"},
      {"/layer_types",
       {"full_attention", "sliding_attention"},
       "sliding_window: not supported: 131072 tokens in 1 of 28 layers"},
      {"/tie_word_embeddings", 1, "tie_word_embeddings: must be true or false, is 1"},
      {"/eos_token_id", 1 << 30, "eos_token_id: 1073741824 is above the limit"},
      {"/eos_token_id", "x", "eos_token_id: must be an integer"},
      {"/eos_token_id", std::vector<int>(65, 1), "eos_token_id: has 65 entries, the limit is 64"},
      {"/query_num", 0, "query_num: 0 is below"},
      {"/patch_size", 16, "patch_size: 16 differs from vision_config.patch_size 14"},
      {"/drop_vision_last_layer", "no", "drop_vision_last_layer: must be true or false"},
      {"/vision_config", 5, "vision_config: must be an object"},
      {"/vision_config/hidden_size", 1150, "vision_config.hidden_size: 1150 is not a multiple"},
      {"/vision_config/num_channels", 4, "vision_config.num_channels: 4 is above the limit of 3"},
      {"/vision_config/image_size", 13, "vision_config.image_size: 13 is below the minimum of 14"},
      {"/vision_config/hidden_act", "relu", "vision_config.hidden_act: not supported: \"relu\""},
      {"/vision_config/num_hidden_layers", nullptr, "vision_config.num_hidden_layers: is missing"},
      {"/slice_config/max_slice_nums", 0, "slice_config.max_slice_nums: 0 is below"},
      {"/slice_config/patch_size", 16, "slice_config.patch_size: 16 differs"},
      {"/slice_config/scale_resolution", 1, "slice_config.scale_resolution: 1 is below"}};
  for (const BadValue& example : bad) {
    const auto config = Parse(With(example.pointer, example.value));
    ASSERT_FALSE(config.ok()) << example.pointer << " " << example.value;
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(std::string("config.json: ") + example.message));
  }
}

TEST(ModelSpec, BadPreprocessorAndGenerationFields) {
  const std::pair<const char*, const char*> preprocessors[] = {
      {R"({"patch_size": 16})", "patch_size: 16 differs"},
      {R"({"norm_std": [0.5, 0, 0.5]})", "norm_std: 0 is not between"},
      {R"({"norm_mean": [0.5]})", "norm_mean: must have 3 entries, has 1"},
      {R"({"norm_mean": 0.5})", "norm_mean: must be a list"},
      {R"({"image_feature_size": 96})", "image_feature_size: 96 differs from query_num 64"},
      {R"({"image_feature_size": 0})", "image_feature_size: 0 is below"},
      {R"({"image_feature_size": 1e9})", "image_feature_size: must be an integer"},
      {R"({"image_feature_size": 1000000000})", "image_feature_size: 1000000000 is above"},
      {R"({"version": 2.5})", "version: not supported: 2.5"},
      {R"({"use_image_id": "no"})", "use_image_id: must be true or false"},
      {R"({"unk": 3})", "unk: must be a string"},
      {R"({"slice_mode": false})", "slice_mode: not supported: false"},
      {R"({"im_start": ""})", "im_start: has 0 bytes"},
      {R"({"im_start": 3})", "im_start: must be a string"},
      {R"([])", "is not a JSON object"}};
  for (const auto& [text, message] : preprocessors) {
    const auto config = Parse(kPublished, text);
    ASSERT_FALSE(config.ok()) << text;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(std::string("preprocessor_config.json: ") + message));
  }
  const std::pair<const char*, const char*> generations[] = {
      {R"({"eos_token_id": [-1]})", "eos_token_id: -1 is below"},
      {R"({"eos_token_id": "x"})", "eos_token_id: must be an integer"}};
  for (const auto& [text, message] : generations) {
    const auto config = Parse(kPublished, "", text);
    ASSERT_FALSE(config.ok()) << text;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(std::string("generation_config.json: ") + message));
  }
}

TEST(ModelSpec, TextThatIsNoProperJson) {
  const std::pair<std::string, const char*> texts[] = {
      {"", "is not valid JSON"},
      {"{", "is not valid JSON"},
      {"{\"a\": 1,}", "is not valid JSON"},
      {"{\"a\": NaN}", "is not valid JSON"},
      {"{\"a\": \"\xff\"}", "is not valid JSON"},
      {"{} x", "is not valid JSON"},
      {"[1]", "is not a JSON object"},
      {"3", "is not a JSON object"},
      {"{\"a\": 1, \"a\": 2}", "\"a\" appears twice"},
      {"{\"a\": {\"b\": 1, \"b\": 2}}", "\"b\" appears twice"},
      {std::string(1000000, '['), "nested deeper than 32"},
      {"{\"a\":" + std::string(40, '[') + std::string(40, ']') + "}", "nested deeper than 32"}};
  for (const auto& [text, message] : texts) {
    const auto config = Parse(text);
    ASSERT_FALSE(config.ok()) << text.substr(0, 40);
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(message));
  }
}

TEST(ModelSpec, DirectoriesThatAreNone) {
  testing::TemporaryDirectory directory;
  EXPECT_THAT(std::string(LoadServedModel(directory.path()).status().message()), HasSubstr("has no config.json"));
  EXPECT_THAT(std::string(LoadServedModel(directory.path() + "/absent").status().message()), HasSubstr("No such file"));
  EXPECT_THAT(std::string(LoadServedModel("").status().message()), HasSubstr("no path"));
  directory.Write("config.json", kPublished);
  EXPECT_THAT(std::string(LoadServedModel(directory.path() + "/config.json").status().message()),
              HasSubstr("is not a directory"));
  ASSERT_TRUE(LoadServedModel(directory.path()).ok());
  directory.Write("generation_config.json", "");
  EXPECT_THAT(std::string(LoadServedModel(directory.path()).status().message()),
              HasSubstr("generation_config.json: is empty"));
  directory.Write("generation_config.json", "{}");
  directory.Write("config.json", std::string((4 << 20) + 1, ' '));
  EXPECT_THAT(std::string(LoadServedModel(directory.path()).status().message()), HasSubstr("the limit is 4194304"));
  std::filesystem::remove(directory.path() + "/config.json");
  std::filesystem::create_directory(directory.path() + "/config.json");
  EXPECT_THAT(std::string(LoadServedModel(directory.path()).status().message()),
              HasSubstr("config.json: not a regular file"));
}

TEST(ModelSpec, GoldenDirectoriesLoad) {
  for (const char* name : {"minicpmv", "qwen2", "llama"}) {
    const auto config = LoadServedModel(SourceDir() + "/tests/golden/" + name);
    ASSERT_TRUE(config.ok()) << name << ": " << config.status();
    EXPECT_THAT(config->llm.eos_token_ids, ElementsAre(1203));
  }
}

}  // namespace
}  // namespace headroom::model
