#include "memory/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <random>

#include "common/testing/paths.h"
#include "common/units.h"
#include "memory/alignment.h"
#include "memory/arena.h"
#include "memory/testing/fake_memory.h"

namespace headroom::memory {
namespace {

using ::testing::HasSubstr;

model::ModelSpec Parsed(const std::string& text) {
  auto config = model::ParseModelSpec({.config = text, .preprocessor = {}, .generation = {}});
  EXPECT_TRUE(config.ok()) << config.status() << "\n" << text;
  return *std::move(config);
}

model::ModelSpec Published() {
  return Parsed(R"({"architectures": ["MiniCPMV"], "version": 2.6, "hidden_size": 3584, "intermediate_size": 18944,
      "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 151666,
      "max_position_embeddings": 32768, "rope_theta": 1000000.0, "drop_vision_last_layer": false})");
}

model::ModelSpec Golden(const std::string& name) {
  auto config = model::LoadServedModel(SourceDir() + "/tests/golden/" + name);
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

int64_t RowsBy64(int64_t rows) { return (rows + 63) / 64 * 64; }

void ExpectSound(const Plan& plan, int64_t min_full_length_seqs = 1) {
  int64_t total = 0, arena = 0;
  for (const Component component : AllComponents()) {
    const PlanLine& line = plan.lines[static_cast<int>(component)];
    EXPECT_EQ(line.component, component);
    EXPECT_GE(line.bytes, 0) << ComponentTitle(component);
    total += line.bytes;
    if (InArena(component)) arena += line.bytes;
  }
  EXPECT_EQ(total, plan.device_bytes);
  EXPECT_EQ(arena, plan.arena_bytes);
  EXPECT_EQ(plan.arena_bytes % 4096, 0);
  if (!plan.roles.llm) return;
  EXPECT_EQ(plan.Bytes(Component::kKvPool), plan.kv_blocks * plan.kv.BlockBytes());
  EXPECT_GE(plan.full_length_seqs, min_full_length_seqs);
  EXPECT_LE(plan.knobs.max_num_seqs, plan.knobs.max_num_batched_tokens);
}

// Takes every line of the plan: from a real arena when it is small, else by its rule (bump allocation in multiples of
// 64).
bool TakesAll(const Plan& plan) {
  int64_t next = 0;
  for (const PlanLine& line : plan.lines) {
    if (InArena(line.component) && line.component != Component::kAlignment) next += AlignUp(line.bytes);
  }
  if (plan.arena_bytes == 0 || plan.arena_bytes > 4 * kMiB) return next <= plan.arena_bytes;
  Ledger ledger(plan.device_bytes);
  plan.Register(ledger);
  testing::FakeMemory memory;
  const auto arena = Arena::Create(plan.arena_bytes, memory, ledger);
  if (!arena.ok()) return false;
  for (const PlanLine& line : plan.lines) {
    const bool taken = InArena(line.component) && line.component != Component::kAlignment;
    if (taken && !(*arena)->Take(line.component, line.bytes).ok()) return false;
  }
  return (*arena)->taken() == next;
}

// The device that a refusal says would do; 0 when it names none.
int64_t OfferedDevice(const absl::Status& refusal) {
  const std::string message(refusal.message());
  const size_t at = message.find("a device of ");
  return at == std::string::npos ? 0 : std::stoll(message.substr(at + 12));
}

TEST(Plan, ReferenceCaseFitsOn24GiB) {
  PlanRequest request;
  request.device = {
      .name = "24 GB", .memory_bytes = 24 * kGiB, .context_floor_bytes = 512 * kMiB, .other_processes_bytes = 0};
  request.knobs.max_model_len = 4096;
  request.knobs.max_num_seqs = 32;
  request.knobs.max_num_batched_tokens = 2048;
  request.knobs.max_patches_per_step = 4 * 1120;
  request.knobs.min_full_length_seqs = 32;
  request.kernels.rows = RowsBy64;
  request.kernels.library_bytes = 64 * kMiB;
  const auto plan = MakePlan(Published(), request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectSound(*plan, 32);
  EXPECT_GE(plan->kv_blocks, 32 * 256);
  EXPECT_EQ(plan->page_bytes, 229'376);
  EXPECT_EQ(plan->knobs.embedding_store_pages, 8 * 10 * 2) << "8 pictures of 10 pieces of 64 rows";
  EXPECT_THAT(plan->ToTable(), HasSubstr("KV pool"));
  // Matrices in bf16; norms and biases in fp32 and a little space for what is computed at load come on top.
  int64_t weights = 0;
  for (int i = 0; i < model::kWeightParts; ++i)
    weights += plan->Bytes(WeightComponent(static_cast<model::WeightPart>(i)));
  EXPECT_GE(weights, 16'198'350'304);
  EXPECT_LE(weights, 16'198'350'304 + 8 * kMiB);
}

TEST(Plan, DefaultKnobsOn48GiB) {
  PlanRequest request;
  request.device.memory_bytes = 48 * kGiB;
  const auto plan = MakePlan(Published(), request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectSound(*plan);
  EXPECT_EQ(plan->knobs.max_model_len, 32768);
  EXPECT_EQ(plan->knobs.max_num_batched_tokens, 2048);
  EXPECT_EQ(plan->knobs.max_num_seqs, 256);
  EXPECT_GE(plan->full_length_seqs, 16);
  EXPECT_TRUE(plan->notes.empty());
}

TEST(Plan, ReducesWhatWasLeftOutAndSaysSo) {
  PlanRequest request;
  request.device.memory_bytes = 17 * kGiB;
  const auto plan = MakePlan(Published(), request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectSound(*plan);
  EXPECT_FALSE(plan->notes.empty());
  request.knobs.max_model_len = 32768;
  request.device.memory_bytes = int64_t{16} * kGiB;
  EXPECT_EQ(MakePlan(Published(), request).status().code(), absl::StatusCode::kFailedPrecondition);
  request.knobs.max_model_len.reset();
  request.device.memory_bytes = int64_t{16} * kGiB - 192 * kMiB;
  const auto tight = MakePlan(Published(), request);
  ASSERT_TRUE(tight.ok()) << tight.status();
  ExpectSound(*tight);
  EXPECT_LT(tight->knobs.max_model_len, 32768);
  EXPECT_THAT(tight->notes, ::testing::Contains(HasSubstr("max_model_len reduced from the model's 32768 to")));
}

TEST(Plan, RefusalNamesTheLineAndWhatWouldFit) {
  PlanRequest request;
  request.device.memory_bytes = 8 * kGiB;
  const auto weights = MakePlan(Published(), request);
  EXPECT_EQ(weights.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(weights.status().message()), HasSubstr("llm weights needs"));
  EXPECT_THAT(std::string(weights.status().message()), HasSubstr("would fit: a device of"));

  request.device.memory_bytes = 17 * kGiB;
  request.knobs.max_model_len = 32768;
  request.knobs.min_full_length_seqs = 4;
  const auto pool = MakePlan(Published(), request);
  EXPECT_EQ(pool.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(pool.status().message()),
              HasSubstr("KV pool for 4 sequence(s) of 32768 tokens needs 7516192768 bytes"));
  EXPECT_THAT(std::string(pool.status().message()), HasSubstr("would fit: max_model_len "));

  request.knobs = {};
  request.knobs.max_num_batched_tokens = 1 << 20;
  const auto workspace = MakePlan(Published(), request);
  EXPECT_THAT(std::string(workspace.status().message()), HasSubstr("llm workspace needs"));
  EXPECT_THAT(std::string(workspace.status().message()), HasSubstr("would fit: max_num_batched_tokens "));
}

// What the refusal offers is true: exactly that value fits and the next one does not.
TEST(Plan, OfferedValuesAreExact) {
  const model::ModelSpec config = Published();
  PlanRequest request;
  request.device.memory_bytes = 18 * kGiB;
  request.knobs.max_model_len = 32768;
  request.knobs.max_num_seqs = 8;
  request.knobs.max_num_batched_tokens = 2048;
  request.knobs.max_patches_per_step = 4480;
  request.knobs.min_full_length_seqs = 3;
  const auto refused = MakePlan(config, request);
  ASSERT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string message(refused.status().message());
  const size_t length_at = message.find("max_model_len ");
  ASSERT_NE(length_at, std::string::npos) << message;
  const int64_t length = std::stoll(message.substr(length_at + 14)), device = OfferedDevice(refused.status());
  request.knobs.max_model_len = length;
  EXPECT_TRUE(MakePlan(config, request).ok());
  request.knobs.max_model_len = length + 1;
  EXPECT_FALSE(MakePlan(config, request).ok());
  request.knobs.max_model_len = 32768;
  request.device.memory_bytes = device;
  EXPECT_TRUE(MakePlan(config, request).ok());
  request.device.memory_bytes = device - 2;
  EXPECT_FALSE(MakePlan(config, request).ok());
}

TEST(Plan, RolesTakeTheirLines) {
  PlanRequest request;
  request.device.memory_bytes = kGiB;
  const model::ModelSpec config = Golden("minicpmv");
  const auto both = MakePlan(config, request);
  request.roles = {.vision = true, .llm = false};
  const auto vision = MakePlan(config, request);
  request.roles = {.vision = false, .llm = true};
  const auto llm = MakePlan(config, request);
  ASSERT_TRUE(both.ok() && vision.ok() && llm.ok());
  for (const Plan* plan : {&*both, &*vision, &*llm}) ExpectSound(*plan);
  EXPECT_EQ(vision->Bytes(Component::kKvPool), 0);
  EXPECT_EQ(vision->Bytes(Component::kLlmWeights), 0);
  EXPECT_GT(vision->Bytes(Component::kVisionWorkspace), 0);
  EXPECT_EQ(llm->Bytes(Component::kVisionWeights), 0);
  EXPECT_EQ(llm->Bytes(Component::kEmbeddingStore), 0);
  EXPECT_GT(vision->Bytes(Component::kEmbeddingStore), 0);
  EXPECT_EQ(both->Bytes(Component::kEmbeddingStore), vision->Bytes(Component::kEmbeddingStore));
  request.roles = {.vision = false, .llm = false};
  EXPECT_FALSE(MakePlan(config, request).ok());
  request.roles = {.vision = true, .llm = false};
  EXPECT_FALSE(MakePlan(Golden("llama"), request).ok());
  request.roles = {.vision = true, .llm = true};
  const auto text = MakePlan(Golden("llama"), request);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->Bytes(Component::kEmbeddingStore), 0);
  EXPECT_EQ(text->Bytes(Component::kVisionWorkspace), 0);
}

// Building primitives to learn their scratch costs time: the search asks once for each size.
TEST(Plan, AsksForEachScratchSizeOnce) {
  std::map<std::pair<int64_t, int64_t>, int> vision_calls, llm_calls;
  PlanRequest request;
  request.device.memory_bytes = 17 * kGiB;
  request.kernels.vision_linear_scratch = [&](int64_t patches, int64_t pieces) {
    return ++vision_calls[{patches, pieces}];
  };
  request.kernels.llm_linear_scratch = [&](int64_t tokens, int64_t sequences) {
    return ++llm_calls[{tokens, sequences}];
  };
  ASSERT_TRUE(MakePlan(Published(), request).ok());
  ASSERT_GT(llm_calls.size(), 1u);
  for (const auto& [size, calls] : vision_calls) EXPECT_EQ(calls, 1);
  for (const auto& [size, calls] : llm_calls) EXPECT_EQ(calls, 1);
}

TEST(Plan, ScratchThatCannotBeToldFailsThePlan) {
  PlanRequest request;
  request.device.memory_bytes = 17 * kGiB;
  request.kernels.llm_linear_scratch = [](int64_t, int64_t) { return absl::InternalError("no primitive"); };
  EXPECT_EQ(MakePlan(Published(), request).status().code(), absl::StatusCode::kInternal);
}

TEST(Plan, BadValuesAreNamed) {
  const model::ModelSpec config = Golden("minicpmv");
  const auto message = [&](auto change) {
    PlanRequest request;
    request.device.memory_bytes = kGiB;
    change(request);
    const auto plan = MakePlan(config, request);
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(plan.status().message());
  };
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.max_num_seqs = 0; }), HasSubstr("max_num_seqs: 0"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.max_num_seqs = INT64_MAX; }),
              HasSubstr("max_num_seqs: 9223372036854775807"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.max_model_len = 8193; }),
              HasSubstr("max_model_len: 8193 is not between 1 and 8192"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.max_num_batched_tokens = -1; }),
              HasSubstr("max_num_batched_tokens: -1"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.max_patches_per_step = 0; }), HasSubstr("max_patches_per_step: 0"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.embedding_store_pages = 0; }),
              HasSubstr("embedding_store_pages: 0"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.min_full_length_seqs = 0; }), HasSubstr("min_full_length_seqs: 0"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.block_size = 24; }),
              HasSubstr("block_size: 24 is not a power of two"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.kv_cache_dtype = DType::kI32; }), HasSubstr("not supported: int32"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.tensor_parallel_size = 0; }), HasSubstr("tensor_parallel_size: 0"));
  for (const double utilization : {0.0, -1.0, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(message([&](PlanRequest& r) { r.knobs.gpu_memory_utilization = utilization; }),
                HasSubstr("gpu_memory_utilization: "));
  }
  EXPECT_THAT(message([](PlanRequest& r) { r.device.memory_bytes = 0; }), HasSubstr("device memory: 0"));
  EXPECT_THAT(message([](PlanRequest& r) { r.device.memory_bytes = INT64_MAX; }), HasSubstr("device memory"));
  EXPECT_THAT(message([](PlanRequest& r) { r.device.other_processes_bytes = -1; }), HasSubstr("other processes: -1"));
  EXPECT_THAT(message([](PlanRequest& r) { r.knobs.max_num_seqs = 9, r.knobs.max_num_batched_tokens = 8; }),
              HasSubstr("max_num_seqs: 9 is above max_num_batched_tokens 8"));
  EXPECT_THAT(message([](PlanRequest& r) { r.compute = DType::kI32; }), HasSubstr("not supported: int32"));
}

TEST(Plan, ArenaServesEveryLineOfAPlan) {
  for (const char* name : {"minicpmv", "qwen2", "llama"}) {
    PlanRequest request;
    request.device.memory_bytes = 200 * kMiB + 12345;
    request.device.context_floor_bytes = 777;
    request.kernels.communication_bytes = 1001;
    request.knobs.max_model_len = 512;
    const auto plan = MakePlan(Golden(name), request);
    ASSERT_TRUE(plan.ok()) << plan.status();
    ExpectSound(*plan);
    Ledger ledger(plan->device_bytes);
    plan->Register(ledger);
    testing::FakeMemory memory;
    auto arena = Arena::Create(plan->arena_bytes, memory, ledger);
    ASSERT_TRUE(arena.ok()) << arena.status();
    for (const PlanLine& line : plan->lines) {
      if (!InArena(line.component) || line.component == Component::kAlignment) continue;
      const auto taken = (*arena)->Take(line.component, line.bytes);
      ASSERT_TRUE(taken.ok()) << taken.status();
    }
    EXPECT_EQ(ledger.Snapshot().total.planned, plan->device_bytes);
    EXPECT_LT(plan->arena_bytes - (*arena)->taken(), 4096);
  }
}

class RandomPlans : public ::testing::Test {
 protected:
  int64_t Pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }
  // Spread over the orders of magnitude.
  int64_t PickWide(int64_t low, int64_t high) {
    const double x = std::uniform_real_distribution<double>(std::log(static_cast<double>(low)),
                                                            std::log(static_cast<double>(high)))(random_);
    return std::clamp(static_cast<int64_t>(std::exp(x)), low, high);
  }
  bool Coin() { return random_() % 2 == 0; }

  std::string Field(const char* name, int64_t value) { return absl::StrCat("\"", name, "\": ", value, ", "); }
  std::string Vision() {
    const int64_t heads = Pick(1, 16), patch = Pick(1, 32);
    return absl::StrCat(R"("version": 2.6, "drop_vision_last_layer": false, )", Field("query_num", Pick(1, 256)),
                        R"("slice_config": {)", Field("scale_resolution", patch * Pick(1, 40)), R"("max_slice_nums": )",
                        Pick(1, 30), R"(}, "vision_config": {)", Field("hidden_size", heads * 8 * Pick(1, 12)),
                        Field("intermediate_size", PickWide(1, 10000)), Field("num_hidden_layers", Pick(1, 2)),
                        Field("num_attention_heads", heads), Field("image_size", patch * Pick(1, 70)),
                        R"("patch_size": )", patch, "}, ");
  }
  model::ModelSpec RandomConfig() {
    const bool vision = Coin(), bias = Coin();
    const int64_t kv_heads = Pick(1, 16);
    std::string text =
        absl::StrCat("{", vision ? Vision() : "", Field("num_key_value_heads", kv_heads),
                     Field("num_attention_heads", kv_heads * Pick(1, 8)), Field("head_dim", 2 * Pick(1, 128)),
                     Field("hidden_size", 128 * Pick(1, 80)), Field("intermediate_size", PickWide(1, 100000)),
                     // More layers would only repeat the same lines.
                     Field("num_hidden_layers", Pick(1, 3)), Field("vocab_size", PickWide(1, 500000)),
                     Field("max_position_embeddings", PickWide(1, 1 << 20)), R"("tie_word_embeddings": )",
                     Coin() ? "true" : "false", R"(, "architectures": [")",
                     vision ? "MiniCPMV"
                     : bias ? "Qwen2ForCausalLM"
                            : "LlamaForCausalLM",
                     R"("]})");
    const auto spec = model::ParseModelSpec({.config = text, .preprocessor = {}, .generation = {}});
    EXPECT_TRUE(spec.ok()) << spec.status() << text;
    return *spec;
  }

  PlanRequest RandomRequest(const model::ModelSpec& config) {
    PlanRequest request;
    request.device.memory_bytes = PickWide(1, int64_t{1} << 42);
    if (Coin()) request.device.context_floor_bytes = PickWide(1, kGiB);
    if (Coin()) request.device.other_processes_bytes = PickWide(1, kGiB);
    if (Coin()) request.kernels.library_bytes = PickWide(1, kGiB);
    if (Coin()) request.kernels.communication_bytes = PickWide(1, kGiB);
    if (Coin()) request.kernels.rows = RowsBy64;
    if (Coin())
      request.kernels.llm_linear_scratch = [](int64_t tokens, int64_t sequences) { return tokens * 100 + sequences; };
    if (Coin()) request.kernels.vision_attention_scratch = [](int64_t patches, int64_t) { return patches * 1000; };
    Knobs& knobs = request.knobs;
    if (Coin()) knobs.max_num_batched_tokens = PickWide(1, 1 << 22);
    if (Coin())
      knobs.max_num_seqs = PickWide(1, std::min<int64_t>(knobs.max_num_batched_tokens.value_or(1 << 16), 1 << 16));
    if (Coin()) knobs.max_model_len = PickWide(1, config.llm.max_position_embeddings);
    if (Coin()) knobs.max_patches_per_step = PickWide(1, 1 << 22);
    if (Coin()) knobs.embedding_store_pages = PickWide(1, 1 << 20);
    if (Coin()) knobs.block_size = int64_t{1} << Pick(3, 8);
    if (Coin()) knobs.gpu_memory_utilization = std::uniform_real_distribution<double>(0.01, 1)(random_);
    if (Coin()) knobs.min_full_length_seqs = PickWide(1, 1 << 16);
    if (Coin()) request.compute = DType::kF32;
    return request;
  }

  const uint64_t seed_ = std::random_device()();
  std::mt19937_64 random_{seed_};
};

TEST_F(RandomPlans, AreSoundOrSayWhy) {
  SCOPED_TRACE(seed_);
  int fits = 0, refused = 0;
  for (int round = 0; round < 10000; ++round) {
    const model::ModelSpec config = RandomConfig();
    const PlanRequest request = RandomRequest(config);
    const auto plan = MakePlan(config, request);
    if (plan.ok()) {
      ++fits;
      ExpectSound(*plan, request.knobs.min_full_length_seqs);
      EXPECT_TRUE(TakesAll(*plan));
      const Knobs& asked = request.knobs;
      EXPECT_EQ(plan->knobs.max_model_len, asked.max_model_len.value_or(plan->knobs.max_model_len));
      EXPECT_EQ(plan->knobs.max_num_seqs, asked.max_num_seqs.value_or(plan->knobs.max_num_seqs));
      EXPECT_EQ(plan->knobs.max_num_batched_tokens,
                asked.max_num_batched_tokens.value_or(plan->knobs.max_num_batched_tokens));
    } else {
      ++refused;
      EXPECT_THAT(std::string(plan.status().message()), HasSubstr("plan: does not fit")) << plan.status();
    }
    if (HasFailure()) FAIL() << "round " << round;
  }
  EXPECT_GT(fits, 1000);
  EXPECT_GT(refused, 1000);
}

// With all knobs given: more memory never takes blocks away, a larger knob never gives any, and the smallest device
// that a refusal names is the smallest that fits.
TEST_F(RandomPlans, AreMonotone) {
  SCOPED_TRACE(seed_);
  for (int round = 0; round < 1000; ++round) {
    const model::ModelSpec config = RandomConfig();
    PlanRequest request = RandomRequest(config);
    Knobs& knobs = request.knobs;
    knobs.max_num_batched_tokens = PickWide(1, 1 << 16);
    knobs.max_num_seqs = PickWide(1, std::min<int64_t>(*knobs.max_num_batched_tokens, 512));
    knobs.max_model_len = PickWide(1, config.llm.max_position_embeddings);
    knobs.max_patches_per_step = PickWide(1, 1 << 14);
    knobs.embedding_store_pages = PickWide(1, 1 << 10);
    const auto blocks = [&](const PlanRequest& changed) {
      const auto plan = MakePlan(config, changed);
      return plan.ok() ? plan->kv_blocks : -1;
    };
    const int64_t base = blocks(request);
    const int64_t offered = OfferedDevice(MakePlan(config, request).status());
    if (offered > 0 && offered < int64_t{1} << 45) {
      PlanRequest enough = request;
      enough.device.memory_bytes = offered;
      EXPECT_GE(blocks(enough), 0) << offered;
      // One byte for rounding up, and what one byte less of a partly used device may leave usable.
      enough.device.memory_bytes -= 2 + static_cast<int64_t>(1 / knobs.gpu_memory_utilization.value_or(1));
      EXPECT_EQ(blocks(enough), -1) << offered;
    }
    PlanRequest more = request;
    more.device.memory_bytes += PickWide(1, kGiB);
    EXPECT_GE(blocks(more), base);
    for (std::optional<int64_t> Knobs::*knob :
         {&Knobs::max_num_batched_tokens, &Knobs::max_num_seqs, &Knobs::max_model_len, &Knobs::max_patches_per_step,
          &Knobs::embedding_store_pages}) {
      PlanRequest larger = request;
      *(larger.knobs.*knob) += Pick(1, 1000);
      larger.knobs.max_model_len = std::min(*larger.knobs.max_model_len, config.llm.max_position_embeddings);
      larger.knobs.max_num_batched_tokens = std::max(*larger.knobs.max_num_batched_tokens, *larger.knobs.max_num_seqs);
      EXPECT_LE(blocks(larger), base);
    }
    if (HasFailure()) FAIL() << "round " << round;
  }
}

}  // namespace
}  // namespace headroom::memory
