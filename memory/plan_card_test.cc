// Plans from model cards: quantized weights, tensor parallelism, latent caches, experts and mergers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "common/testing/folders.h"
#include "common/testing/paths.h"
#include "common/units.h"
#include "memory/alignment.h"
#include "memory/plan.h"
#include "memory/rank_share.h"

namespace headroom::memory {
namespace {

using model::WeightFormat;
using model::WeightPart;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

model::ModelSpec Published() {
  const auto config = model::ParseModelSpec(
      {.config = R"({"architectures": ["MiniCPMV"], "version": 2.6, "hidden_size": 3584, "intermediate_size": 18944,
      "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 151666,
      "max_position_embeddings": 32768, "rope_theta": 1000000.0, "drop_vision_last_layer": false})",
       .preprocessor = {},
       .generation = {}});
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

int64_t WeightBytes(const Plan& plan) {
  int64_t bytes = 0;
  for (int part = 0; part < model::kWeightParts; ++part)
    bytes += plan.Bytes(WeightComponent(static_cast<WeightPart>(part)));
  return bytes;
}

int64_t Total(const Plan& plan) {
  return std::accumulate(plan.lines.begin(), plan.lines.end(), int64_t{0},
                         [](int64_t sum, const PlanLine& line) { return sum + line.bytes; });
}

TEST(PlanCard, WeightsAreThoseOfTheWorkersLayout) {
  const std::vector<std::string> served = FoldersWith("config.json", "tests/golden");
  EXPECT_FALSE(served.empty());
  for (const std::string& name : served) {
    const auto config = model::LoadServedModel(SourceDir() + "/tests/golden/" + name);
    ASSERT_TRUE(config.ok()) << config.status();
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      const auto layout = WeightLayout::Make(*config, compute, config->llm.max_position_embeddings);
      const auto bytes = RankWeightBytes(*config, compute, std::nullopt, 1);
      ASSERT_TRUE(layout.ok() && bytes.ok());
      for (int part = 0; part < model::kWeightParts; ++part)
        EXPECT_EQ((*bytes)[part], layout->Bytes(static_cast<WeightPart>(part))) << name << " part " << part;
    }
  }
}

// model/reading/checkpoints_test.cc compares the same bytes with what published code writes.
TEST(PlanCard, WeightsAreTheBytesOfTheCheckpoint) {
  const std::vector<std::string> checkpoints = FoldersWith("config.json", "tests/checkpoints");
  EXPECT_FALSE(checkpoints.empty());
  for (const std::string& name : checkpoints) {
    const auto spec = model::LoadModelSpec(SourceDir() + "/tests/checkpoints/" + name);
    ASSERT_TRUE(spec.ok()) << spec.status();
    PlanRequest request;
    request.device = {.name = "card", .memory_bytes = int64_t{24} << 30};
    const auto plan = MakePlan(*spec, request);
    ASSERT_TRUE(plan.ok()) << name << ": " << plan.status();
    int64_t bytes = 0;
    for (const model::TensorSpec& tensor : spec->tensors) {
      bytes += tensor.count * AlignUp(MatrixBytes(tensor.format, tensor.rows, tensor.cols, DType::kBF16));
    }
    EXPECT_EQ(WeightBytes(*plan), bytes) << name;
  }
}

TEST(PlanCard, ParametersAreThePublishedOnes) { EXPECT_EQ(model::ParameterCount(Published().tensors), 8'099'175'152); }

// GiB of all weights with the decoder's products quantized (MiniCPM-V 2.6: 6,525,288,448 parameters in products),
// without our fp32 norms and biases, which add less than 8 MiB.
TEST(PlanCard, QuantizedWeightsHaveTheKnownSizes) {
  struct Row {
    WeightFormat format;
    double gib;
  };
  const Row rows[] = {{{.kind = WeightFormat::Kind::kInt8}, 9.011},
                      {{.kind = WeightFormat::Kind::kInt4, .scale_cols = 128}, 6.065},
                      {{.kind = WeightFormat::Kind::kInt4, .scale_cols = 64}, 6.160},
                      {{.kind = WeightFormat::Kind::kInt4, .scale_cols = 32}, 6.350}};
  for (const Row& row : rows) {
    PlanRequest request;
    request.device.memory_bytes = 24 * kGiB;
    request.knobs.quantization = row.format;
    const auto plan = MakePlan(Published(), request);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_NEAR(static_cast<double>(WeightBytes(*plan)) / kGiB, row.gib, 0.008 + 0.0005);
    EXPECT_EQ(Total(*plan), plan->device_bytes);
    EXPECT_THAT(plan->plan_only, Contains(HasSubstr("weights (the engine runs")));
  }
}

TEST(PlanCard, EightBitCacheHoldsTwiceTheTokens) {
  PlanRequest request;
  request.device.memory_bytes = 24 * kGiB;
  request.knobs.max_num_seqs = 8;
  request.knobs.max_num_batched_tokens = 2048;
  const auto whole = MakePlan(Published(), request);
  request.knobs.kv_cache_dtype = DType::kF8;
  const auto half = MakePlan(Published(), request);
  ASSERT_TRUE(whole.ok() && half.ok());
  EXPECT_EQ(half->kv.BlockBytes() / 16, 28'672);
  EXPECT_GE(half->kv_blocks, 2 * whole->kv_blocks);
  EXPECT_THAT(whole->plan_only, IsEmpty());
  EXPECT_THAT(half->plan_only, Contains(HasSubstr("fp8")));
}

TEST(PlanCard, RanksShareTheDecoderAndAgreeOnBlocks) {
  PlanRequest request;
  request.device.memory_bytes = 24 * kGiB;
  const auto one = MakeRankPlans(Published(), request);
  request.knobs.tensor_parallel_size = 2;
  request.device.parallel_library_bytes = 300 * kMiB;
  const auto two = MakeRankPlans(Published(), request);
  ASSERT_TRUE(one.ok() && two.ok()) << two.status();
  ASSERT_EQ(one->size(), 1u);
  ASSERT_EQ(two->size(), 2u);
  EXPECT_THAT((*one)[0].plan_only, IsEmpty());
  for (const Plan& plan : *two) {
    EXPECT_EQ(Total(plan), plan.device_bytes);
    EXPECT_EQ(plan.kv_blocks, (*two)[0].kv_blocks);
    EXPECT_EQ(plan.kv.BlockBytes(), (*one)[0].kv.BlockBytes() / 2);
    EXPECT_EQ(plan.knobs.max_model_len, (*two)[0].knobs.max_model_len);
    EXPECT_GT(plan.Bytes(Component::kCommunication), 0);
    EXPECT_EQ(plan.Bytes(Component::kLibraries), 300 * kMiB);
    EXPECT_THAT(plan.plan_only, Contains(HasSubstr("tensor_parallel_size 2")));
  }
  EXPECT_GT((*two)[0].Bytes(Component::kVisionWeights), 0);
  EXPECT_EQ((*two)[1].Bytes(Component::kVisionWeights), 0);
  const int64_t whole = (*one)[0].Bytes(Component::kLlmWeights);
  const int64_t shares = (*two)[0].Bytes(Component::kLlmWeights) + (*two)[1].Bytes(Component::kLlmWeights);
  EXPECT_GE(shares, whole);
  EXPECT_LE(shares, whole + 8 * kMiB) << "only norms and biases are held twice";
}

TEST(PlanCard, RanksThatDoNotDivideAreNamed) {
  PlanRequest request;
  request.device.memory_bytes = 24 * kGiB;
  request.knobs.tensor_parallel_size = 3;
  EXPECT_THAT(std::string(MakePlan(Published(), request).status().message()),
              HasSubstr("tensor_parallel_size: 3 does not divide num_attention_heads 28"));
  request.knobs.tensor_parallel_size = 7;
  EXPECT_THAT(std::string(MakePlan(Published(), request).status().message()),
              HasSubstr("tensor_parallel_size: 7 does not divide num_key_value_heads 4"));
  request.knobs.tensor_parallel_size = 2;
  request.rank = 2;
  EXPECT_THAT(std::string(MakePlan(Published(), request).status().message()), HasSubstr("rank: 2"));
}

TEST(PlanCard, FrontierIsTrue) {
  PlanRequest request;
  request.device.memory_bytes = 18 * kGiB;
  const model::ModelSpec card = Published();
  const auto frontier = PlanFrontier(card, request);
  ASSERT_TRUE(frontier.ok()) << frontier.status();
  ASSERT_GE(frontier->size(), 4u);
  int64_t tokens_before = INT64_MAX;
  for (const FrontierPoint& point : *frontier) {
    PlanRequest exact = request;
    exact.knobs.max_model_len = point.max_model_len;
    exact.knobs.min_full_length_seqs = point.full_length_seqs;
    EXPECT_TRUE(MakePlan(card, exact).ok()) << point.max_model_len;
    exact.knobs.min_full_length_seqs = point.full_length_seqs + 64;
    EXPECT_FALSE(MakePlan(card, exact).ok()) << point.max_model_len;
    EXPECT_LE(point.max_model_len, tokens_before);
    tokens_before = point.max_model_len;
  }
}

class RandomCards : public ::testing::Test {
 protected:
  int64_t Pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  bool Coin() { return random_() % 2 == 0; }

  model::ModelSpec RandomCard() {
    model::ModelSpec card;
    card.architecture = "Random";
    model::DecoderSpec& llm = card.llm;
    const int64_t hidden = llm.hidden_size = 64 * Pick(1, 64);
    llm.layers = Pick(1, 80);
    llm.heads = int64_t{1} << Pick(0, 7);
    llm.kv_heads = int64_t{1} << Pick(0, 3);
    llm.head_dim = 2 * Pick(1, 128);
    llm.intermediate_size = 64 * Pick(1, 100);
    llm.vocab_size = Pick(100, 300'000);
    llm.max_position_embeddings = Pick(1, 1 << 18);
    if (Coin()) {
      llm.latent = model::LatentAttention{.q_rank = Pick(0, 1) * Pick(1, 1000),
                                          .kv_rank = Pick(1, 400),
                                          .nope = Pick(1, 128),
                                          .rope = 2 * Pick(1, 32),
                                          .value = Pick(1, 128)};
    }
    if (Coin()) {
      llm.experts = model::Experts{.first = Pick(0, 3),
                                   .every = Pick(1, 2),
                                   .experts = Pick(8, 400),
                                   .per_token = Pick(1, 8),
                                   .shared = Pick(0, 2),
                                   .mlp = 64 * Pick(1, 30)};
    }
    const WeightFormat formats[] = {{.kind = WeightFormat::Kind::kCompute},
                                    {.kind = WeightFormat::Kind::kFp8, .scale_rows = 128, .scale_cols = 128},
                                    {.kind = WeightFormat::Kind::kInt4, .scale_cols = 32, .zero_points = true}};
    for (const model::TensorSplit split : {model::TensorSplit::kWhole, model::TensorSplit::kRows,
                                           model::TensorSplit::kCols, model::TensorSplit::kExperts}) {
      model::TensorSpec tensor{
          .name = "random", .count = 256 * Pick(1, 10), .rows = 256 * Pick(1, 20), .cols = 256 * Pick(1, 20)};
      tensor.format = formats[Pick(0, 2)];
      tensor.linear = Coin();
      tensor.split = split;
      card.tensors.push_back(tensor);
    }
    if (Coin()) {
      model::EncoderShape encoder{.patch_values = Pick(1, 2000),
                                  .width = 64 * Pick(1, 30),
                                  .mlp_in = Pick(1, 20'000),
                                  .mlp_out = Pick(1, 10'000),
                                  .out = hidden};
      if (Coin()) encoder.merge = Pick(1, 16), encoder.merger_hidden = Pick(1, 20'000);
      if (encoder.merge == 0) encoder.query_num = Pick(1, 256);
      encoder.usual_patches = Pick(1, 5000);
      encoder.largest_patches = encoder.usual_patches + Pick(0, 30'000);
      encoder.usual_rows = Pick(1, 2000);
      encoder.largest_rows = encoder.usual_rows + Pick(0, 8000);
      encoder.pieces_max = Pick(1, 20);
      card.encoder = encoder;
    }
    return card;
  }

  const uint64_t seed_ = std::random_device()();
  std::mt19937_64 random_{seed_};
};

// Lines sum to the device, ranks agree, no solver answer is infeasible, and no larger max_num_seqs was missed.
TEST_F(RandomCards, PlansAreSoundAndTheSolverMissesNothing) {
  SCOPED_TRACE(seed_);
  int fits = 0;
  for (int round = 0; round < 10'000; ++round) {
    const model::ModelSpec card = RandomCard();
    PlanRequest request;
    request.device.memory_bytes = int64_t{1} << Pick(28, 42);
    if (Coin()) request.knobs.tensor_parallel_size = int64_t{1} << Pick(0, 3);
    if (Coin()) request.knobs.kv_cache_dtype = DType::kF8;
    if (Coin()) request.knobs.quantization = WeightFormat{.kind = WeightFormat::Kind::kInt8};
    if (card.llm.heads % request.knobs.tensor_parallel_size.value_or(1) != 0) continue;
    const auto plans = MakeRankPlans(card, request);
    if (!plans.ok()) {
      EXPECT_TRUE(absl::IsFailedPrecondition(plans.status())) << plans.status();
      continue;
    }
    ++fits;
    for (const Plan& plan : *plans) {
      EXPECT_EQ(Total(plan), plan.device_bytes);
      EXPECT_GE(plan.Bytes(Component::kHeadroom), 0);
      EXPECT_EQ(plan.kv_blocks, plans->front().kv_blocks);
      EXPECT_GE(plan.full_length_seqs, 1);
      EXPECT_EQ(plan.arena_bytes % 4096, 0);
      EXPECT_FALSE(plan.plan_only.empty());
    }
    // With every other knob as found, one more sequence does not fit, is above the default's bound, or is above what
    // the pool feeds (1,024 tokens each).
    const ResolvedKnobs& found = plans->front().knobs;
    if (found.max_num_seqs < std::min<int64_t>(256, found.max_num_batched_tokens)) {
      PlanRequest more = request;
      more.knobs.max_num_seqs = found.max_num_seqs + 1;
      more.knobs.max_model_len = found.max_model_len;
      more.knobs.max_num_batched_tokens = found.max_num_batched_tokens;
      if (card.encoder) more.knobs.max_patches_per_step = found.max_patches_per_step;
      if (card.encoder) more.knobs.embedding_store_pages = found.embedding_store_pages;
      const auto plan = MakePlan(card, more);
      const int64_t fed = plan.ok() ? plan->kv.BlocksFor(std::min<int64_t>(1024, found.max_model_len)) : 0;
      const bool length_was_cut = found.max_model_len < card.llm.max_position_embeddings;
      EXPECT_TRUE(!plan.ok() || length_was_cut || plan->kv_blocks < (found.max_num_seqs + 1) * fed);
    }
    if (HasFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(fits, 200);
}

}  // namespace
}  // namespace headroom::memory
