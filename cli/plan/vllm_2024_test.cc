#include "cli/plan/vllm_2024.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "common/testing/paths.h"
#include "common/units.h"
#include "model/spec.h"

namespace headroom::cli {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

model::ModelSpec MiniCpm26() {
  auto config = model::LoadServedModel(SourceDir() + "/models/cards/minicpm-v-2_6");
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

// A Llama of 8192 tokens.
Json Llama3() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"hidden_size", 4096},
          {"intermediate_size", 14336},
          {"num_hidden_layers", 32},
          {"num_attention_heads", 32},
          {"num_key_value_heads", 8},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 500000},
          {"max_position_embeddings", 8192},
          {"vocab_size", 128256},
          {"tie_word_embeddings", false},
          {"eos_token_id", 128001}};
}

model::ModelSpec Parse(const Json& config) {
  auto spec = model::ParseModelSpec({.config = config.dump(), .preprocessor = {}, .generation = {}});
  EXPECT_TRUE(spec.ok()) << spec.status();
  return *std::move(spec);
}

// The sibling whose out-of-memory report names its allocation: 96 tokens an image, that Llama. The tower is the same.
model::ModelSpec MiniCpm25() {
  std::ifstream file(SourceDir() + "/models/cards/minicpm-v-2_6/config.json");
  Json config = Json::parse(file);
  config.update(Llama3());
  config.update({{"architectures", {"MiniCPMV"}}, {"query_num", 96}});
  return Parse(config);
}

VllmEstimate Estimate(const model::ModelSpec& config, int64_t device_bytes, const VllmKnobs& knobs = {}) {
  auto estimate = Vllm2024(config, {.knobs = knobs, .device = "test", .device_bytes = device_bytes});
  EXPECT_TRUE(estimate.ok()) << estimate.status();
  return *std::move(estimate);
}

int64_t BytesOf(const VllmEstimate& estimate, VllmItem part) {
  int64_t bytes = 0;
  for (const VllmLine& line : estimate.lines) {
    if (line.item == part) bytes += line.bytes;
  }
  return bytes;
}

int64_t ScoreBytes(const VllmEstimate& estimate) {
  return BytesOf(estimate, VllmItem::kScores) + BytesOf(estimate, VllmItem::kScaledScores) +
         BytesOf(estimate, VllmItem::kScoresF32) + BytesOf(estimate, VllmItem::kSoftmaxF32);
}

// Of the lines of this stage alone.
int64_t StageBytes(const VllmEstimate& estimate, VllmStage stage) {
  int64_t bytes = 0;
  for (const VllmLine& line : estimate.lines) bytes += line.stage == stage ? line.bytes : 0;
  return bytes;
}

void ExpectSound(const VllmEstimate& estimate) {
  int64_t peak = 0;
  for (const VllmLine& line : estimate.lines) {
    EXPECT_GT(line.bytes, 0) << VllmTitle(line.item);
    EXPECT_FALSE(line.formula.empty()) << VllmTitle(line.item);
    if (estimate.Peaks(line)) peak += line.bytes;
  }
  EXPECT_EQ(peak, estimate.total_bytes);
  EXPECT_EQ(estimate.total_bytes,
            StageBytes(estimate, VllmStage::kAlways) +
                std::max(StageBytes(estimate, VllmStage::kTower), StageBytes(estimate, VllmStage::kDecoder)));
  EXPECT_EQ(estimate.over_bytes, std::max<int64_t>(0, estimate.total_bytes - estimate.device_bytes));
  EXPECT_EQ(estimate.outcome == VllmOutcome::kOutOfMemory, estimate.over_bytes > 0);
  EXPECT_EQ(estimate.outcome == VllmOutcome::kStarts, estimate.full_length_seqs > 0);
  EXPECT_EQ(estimate.outcome == VllmOutcome::kStarts, estimate.kv_bytes > 0);
  EXPECT_LE(estimate.over_bytes > 0 ? 0 : estimate.total_bytes + estimate.kv_bytes, estimate.device_bytes);
}

TEST(ModelCardFile, MiniCpmV26HasThePublishedParameters) {
  const model::ModelSpec config = MiniCpm26();
  EXPECT_EQ(model::ParameterCount(config.tensors), 8'099'175'152);
  EXPECT_EQ(model::ParameterCount(config.tensors, model::WeightPart::kVision), 417'792'240);
  EXPECT_EQ(model::ParameterCount(config.tensors, model::WeightPart::kResampler), 68'619'264);
  EXPECT_EQ(model::ParameterCount(config.tensors, model::WeightPart::kHead), 543'570'944);
  EXPECT_EQ(config.slice.scale_resolution, 448);
  EXPECT_EQ(config.llm.eos_token_ids, std::vector<int64_t>{151645});
}

// What the code of that vLLM says of MiniCPM-V 2.6. The rows of fewer images are reached by either knob that people
// turned.
struct TableRow {
  VllmKnobs knobs;
  int64_t images;
  double score_tensor_gib, score_gib;  // exact
  double total_gib;                    // to the nearest GiB
  VllmStage peak;
};

class Vllm2024Table : public ::testing::TestWithParam<TableRow> {};

TEST_P(Vllm2024Table, Holds) {
  const TableRow& row = GetParam();
  const VllmEstimate estimate = Estimate(MiniCpm26(), 80 * kGiB, row.knobs);
  ExpectSound(estimate);
  EXPECT_EQ(estimate.images, row.images);
  EXPECT_EQ(estimate.patches_per_image, 1024);
  EXPECT_EQ(InGib(estimate.score_tensor_bytes), row.score_tensor_gib);
  EXPECT_EQ(InGib(ScoreBytes(estimate)), row.score_gib);
  EXPECT_NEAR(InGib(estimate.total_bytes), row.total_gib, 0.5);
  EXPECT_EQ(estimate.peak_stage, row.peak);
}

INSTANTIATE_TEST_SUITE_P(Knobs, Vllm2024Table,
                         ::testing::Values(TableRow{{}, 256, 16, 48, 68, VllmStage::kTower},
                                           TableRow{{.max_num_seqs = 64}, 64, 4, 12, 29, VllmStage::kTower},
                                           TableRow{{.max_model_len = 4096}, 64, 4, 12, 29, VllmStage::kTower},
                                           TableRow{{.max_num_seqs = 32}, 32, 2, 6, 22, VllmStage::kTower},
                                           TableRow{{.max_model_len = 2048}, 32, 2, 6, 22, VllmStage::kTower},
                                           TableRow{{.max_num_seqs = 16}, 16, 1, 3, 20, VllmStage::kDecoder}));

TEST(Vllm2024, DefaultCaseLineByLine) {
  const VllmEstimate estimate = Estimate(MiniCpm26(), 48 * kGiB);
  int64_t weights = 0;
  for (const VllmItem part :
       {VllmItem::kVisionWeights, VllmItem::kResamplerWeights, VllmItem::kLlmWeights, VllmItem::kHeadWeights}) {
    weights += BytesOf(estimate, part);
  }
  EXPECT_EQ(weights, 16'198'350'304);
  EXPECT_EQ(BytesOf(estimate, VllmItem::kContext), kGiB / 2);
  EXPECT_EQ(BytesOf(estimate, VllmItem::kInputs), int64_t{256} * 3 * 448 * 448 * 10);
  EXPECT_EQ(BytesOf(estimate, VllmItem::kTower), int64_t{5} * 256 * 1024 * 1152 * 2);
  EXPECT_EQ(BytesOf(estimate, VllmItem::kScores), 8 * kGiB);
  EXPECT_EQ(BytesOf(estimate, VllmItem::kScaledScores), 8 * kGiB);
  EXPECT_EQ(BytesOf(estimate, VllmItem::kScoresF32), 16 * kGiB);
  EXPECT_EQ(BytesOf(estimate, VllmItem::kSoftmaxF32), 16 * kGiB);
  EXPECT_EQ(estimate.sequences, 256);
  EXPECT_EQ(estimate.knobs.max_num_batched_tokens, 32768);
  for (const VllmLine& line : estimate.lines) {
    if (line.item == VllmItem::kScoresF32) {
      EXPECT_EQ(line.formula, "256 images · 16 heads · 1,024² patches · 4 B");
    }
  }
}

// 0.1875 GiB an image, however many there are.
TEST(Vllm2024, ScoreMemoryPerImage) {
  for (const int64_t images : {1, 7, 100, 256}) {
    const VllmEstimate estimate = Estimate(MiniCpm26(), 80 * kGiB, {.max_num_seqs = images});
    EXPECT_EQ(ScoreBytes(estimate), images * 3 * kGiB / 16);
  }
}

TEST(Vllm2024, KnownOutcomes) {
  const model::ModelSpec config = MiniCpm26();
  const VllmEstimate on_48 = Estimate(config, 48 * kGiB);
  ExpectSound(on_48);
  EXPECT_EQ(on_48.outcome, VllmOutcome::kOutOfMemory);
  EXPECT_NEAR(InGib(on_48.over_bytes), 20, 0.5);
  EXPECT_EQ(Estimate(config, 24 * kGiB).outcome, VllmOutcome::kOutOfMemory);

  // What the threads advise for 24 GB. Without the utilization, the run fits and its rest holds no sequence.
  VllmKnobs advised = {.max_num_seqs = 32, .max_model_len = 4096, .gpu_memory_utilization = 1.0};
  const VllmEstimate on_24 = Estimate(config, 24 * kGiB, advised);
  ExpectSound(on_24);
  EXPECT_EQ(on_24.images, 32);
  EXPECT_EQ(on_24.outcome, VllmOutcome::kStarts);
  EXPECT_EQ(on_24.full_length_seqs, (24 * kGiB - on_24.total_bytes) / (int64_t{57344} * 4096));
  EXPECT_LT(on_24.full_length_seqs, 32);
  advised.gpu_memory_utilization = 0.9;
  EXPECT_EQ(Estimate(config, 24 * kGiB, advised).outcome, VllmOutcome::kNoKvCache);

  // "Around 70 GB" were measured on 80 GB, where it starts.
  const VllmEstimate on_80 = Estimate(config, 80 * kGiB);
  ExpectSound(on_80);
  EXPECT_EQ(on_80.outcome, VllmOutcome::kStarts);
  EXPECT_EQ(on_80.full_length_seqs, 2);
  EXPECT_NEAR(InGib(on_80.total_bytes) * 1.073741824, 72, 2);
}

// A user's report of the 2.5 model: "tried to allocate 5.31 GiB".
TEST(Vllm2024, SiblingsAllocation) {
  const VllmEstimate estimate = Estimate(MiniCpm25(), 24 * kGiB);
  EXPECT_EQ(estimate.sequences, 85);
  EXPECT_EQ(estimate.score_tensor_bytes, int64_t{85} * 16 * 1024 * 1024 * 4);
  EXPECT_NEAR(InGib(estimate.score_tensor_bytes), 5.31, 0.005);
  EXPECT_EQ(estimate.outcome, VllmOutcome::kOutOfMemory);
}

TEST(Vllm2024, OneSequenceRunsHoweverManyTokensItsImageIs) {
  const VllmEstimate estimate = Estimate(MiniCpm26(), 80 * kGiB, {.max_model_len = 32, .max_num_batched_tokens = 32});
  EXPECT_EQ(estimate.sequences, 1);
  EXPECT_EQ(estimate.images, 1);
}

TEST(Vllm2024, TextModelHasNoTower) {
  const VllmEstimate estimate = Estimate(Parse(Llama3()), 24 * kGiB);
  ExpectSound(estimate);
  EXPECT_EQ(estimate.images, 0);
  EXPECT_EQ(StageBytes(estimate, VllmStage::kTower), 0);
  EXPECT_EQ(estimate.peak_stage, VllmStage::kDecoder);
  EXPECT_EQ(estimate.sequences, 256);
}

TEST(Vllm2024, TokenBudgetBelowTheLengthIsRaisedWithANote) {
  const VllmEstimate estimate =
      Estimate(MiniCpm26(), 80 * kGiB, {.max_model_len = 8192, .max_num_batched_tokens = 2048});
  EXPECT_EQ(estimate.knobs.max_num_batched_tokens, 8192);
  ASSERT_EQ(estimate.notes.size(), 1U);
  EXPECT_THAT(estimate.notes[0], HasSubstr("max_num_batched_tokens (2048) below max_model_len (8192)"));
}

TEST(Vllm2024, BadInput) {
  model::ModelSpec config = MiniCpm26();
  const auto refused = [&config](const VllmKnobs& knobs, int64_t device_bytes, const std::string& text) {
    const auto result = Vllm2024(config, {.knobs = knobs, .device_bytes = device_bytes});
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(text));
  };
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  refused({.max_num_seqs = 0}, kGiB, "max_num_seqs: 0 is not between 1 and");
  refused({.max_model_len = kHuge}, kGiB, "max_model_len: 9223372036854775807");
  refused({.max_num_batched_tokens = -1}, kGiB, "max_num_batched_tokens: -1");
  for (const double utilization : {0.0, -1.0, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    refused({.gpu_memory_utilization = utilization}, kGiB, "must be above 0 and at most 1");
  }
  refused({}, 0, "the device has 0 bytes");
  refused({}, -5, "the device has -5 bytes");
  config.slice.scale_resolution = 1 << 14;
  refused({.max_num_seqs = int64_t{1} << 31, .max_model_len = int64_t{1} << 31}, kGiB, "would not fit 64 bits");
}

// More of any knob never asks for less, and nothing overflows on the way (the sanitizer looks).
TEST(Vllm2024, MonotoneOnRandomKnobs) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const auto log_uniform = [&](double bits) {
    return static_cast<int64_t>(std::exp2(std::uniform_real_distribution<double>(0, bits)(random)));
  };
  const model::ModelSpec config = MiniCpm26();
  int compared = 0;
  for (int round = 0; round < 1000; ++round) {
    const VllmRequest request = {.knobs = {.max_num_seqs = log_uniform(31), .max_model_len = log_uniform(31)},
                                 .device_bytes = log_uniform(62)};
    VllmRequest larger = request;
    std::optional<int64_t>& grown = round % 3 == 0 ? larger.knobs.max_num_seqs : larger.knobs.max_model_len;
    grown = std::min(int64_t{1} << 31, *grown + log_uniform(20));
    const auto estimate = Vllm2024(config, request), more = Vllm2024(config, larger);
    if (!estimate.ok()) {
      EXPECT_FALSE(more.ok());
      continue;
    }
    ExpectSound(*estimate);
    if (!more.ok()) continue;
    EXPECT_LE(estimate->total_bytes, more->total_bytes);
    EXPECT_LE(estimate->images, more->images);
    ++compared;
  }
  EXPECT_GT(compared, 100);
}

}  // namespace
}  // namespace headroom::cli
