// What ExplainLine prints is evaluated again: every "numbers = bytes" must hold, and the last must be the plan's line.
#include "memory/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <sstream>

#include "common/testing/paths.h"
#include "common/units.h"

namespace headroom::memory {
namespace {

using ::testing::HasSubstr;

// Integers, + - × /, parentheses, align(n), ceil(a / b), floor(a / b), max(a, …). Nothing of the code under test.
class Evaluator {
 public:
  explicit Evaluator(std::string text) : text_(std::move(text)) {}

  std::optional<int64_t> Value() {
    const int64_t value = Sum();
    Skip();
    return bad_ || at_ != text_.size() ? std::nullopt : std::optional(value);
  }

 private:
  void Skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool Take(const std::string& token) {
    Skip();
    if (text_.compare(at_, token.size(), token) != 0) return false;
    at_ += token.size();
    return true;
  }
  void Expect(const std::string& token) { bad_ |= !Take(token); }

  int64_t Sum() {
    int64_t value = Product();
    while (!bad_) {
      if (Take("+")) {
        value += Product();
      } else if (Take("-")) {
        value -= Product();
      } else {
        break;
      }
    }
    return value;
  }
  int64_t Product() {
    int64_t value = Factor();
    while (!bad_ && Take("×")) value *= Factor();
    return value;
  }
  // Inside ceil and floor only.
  int64_t Quotient(bool up) {
    const int64_t above = Sum();
    Expect("/");
    const int64_t below = Sum();
    Expect(")");
    if (bad_ || below <= 0 || above < 0) {
      bad_ = true;
      return 0;
    }
    return (above + (up ? below - 1 : 0)) / below;
  }
  int64_t Factor() {
    if (Take("align(")) {
      const int64_t value = Sum();
      Expect(")");
      return (value + 63) / 64 * 64;
    }
    if (Take("ceil(")) return Quotient(true);
    if (Take("floor(")) return Quotient(false);
    if (Take("max(")) {
      int64_t most = Sum();
      while (Take(",")) most = std::max(most, Sum());
      Expect(")");
      return most;
    }
    if (Take("(")) {
      const int64_t value = Sum();
      Expect(")");
      return value;
    }
    Skip();
    const size_t begin = at_;
    while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_]))) ++at_;
    bad_ |= begin == at_;
    return bad_ ? 0 : std::stoll(text_.substr(begin, at_ - begin));
  }

  std::string text_;
  size_t at_ = 0;
  bool bad_ = false;
};

TEST(Evaluator, KnowsArithmetic) {
  EXPECT_EQ(Evaluator("2 × (3 + 4) - 1").Value(), 13);
  EXPECT_EQ(Evaluator("align(65) + max(1, 7, 3) + ceil(7 / 2) + floor((8 - 1) / 2)").Value(), 128 + 7 + 4 + 3);
  EXPECT_EQ(Evaluator("2 +").Value(), std::nullopt);
  EXPECT_EQ(Evaluator("rows × 3").Value(), std::nullopt);
}

// Evaluates every equation of the text and returns the last line's bytes; counts the equations.
int64_t Evaluated(const std::string& text, int* equations) {
  std::istringstream lines(text);
  std::string line, open;
  int64_t result = -1;
  std::getline(lines, line);  // the title
  while (std::getline(lines, line)) {
    if (line.starts_with("  = ")) {
      const size_t unit = line.find(" bytes");
      if (unit == std::string::npos) {
        open = line.substr(4);
        continue;
      }
      result = std::stoll(line.substr(4, unit - 4));
      const auto value = Evaluator(open).Value();
      EXPECT_EQ(value, result) << open;
      ++*equations;
      continue;
    }
    const size_t equals = line.rfind(" = ");
    if (equals == std::string::npos || !line.starts_with("    ")) continue;
    std::string numbers = line.substr(0, equals);
    if (const size_t together = numbers.find("together "); together != std::string::npos) {
      numbers = numbers.substr(together + 9);
    } else {
      numbers = numbers.substr(numbers.rfind("  ") + 2);
    }
    EXPECT_EQ(Evaluator(numbers).Value(), std::stoll(line.substr(equals + 3))) << line;
    ++*equations;
  }
  return result;
}

model::ModelSpec Golden(const std::string& name) {
  auto config = model::LoadServedModel(SourceDir() + "/tests/golden/" + name);
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

model::ModelSpec Published() {
  auto config = model::ParseModelSpec(
      {.config = R"({"architectures": ["MiniCPMV"], "version": 2.6, "hidden_size": 3584, "intermediate_size": 18944,
      "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 151666,
      "max_position_embeddings": 32768, "rope_theta": 1000000.0, "drop_vision_last_layer": false})",
       .preprocessor = {},
       .generation = {}});
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

// A latent cache, experts, and a tower with a merger: nothing that the engine serves.
model::ModelSpec Strange() {
  model::ModelSpec card;
  card.family = card.architecture = "Strange";
  card.llm.layers = 7;
  card.llm.heads = 8;
  card.llm.hidden_size = 512;
  card.llm.intermediate_size = 1000;
  card.llm.vocab_size = 1001;
  card.llm.max_position_embeddings = 4096;
  card.llm.latent = model::LatentAttention{.q_rank = 96, .kv_rank = 512, .nope = 48, .rope = 64, .value = 64};
  card.llm.experts = model::Experts{.first = 1, .every = 1, .experts = 64, .per_token = 8, .shared = 1, .mlp = 200};
  card.encoder = model::EncoderShape{.patch_values = 588,
                                     .width = 320,
                                     .mlp_in = 1280,
                                     .mlp_out = 640,
                                     .out = 512,
                                     .query_num = 0,
                                     .merge = 4,
                                     .merger_hidden = 1280,
                                     .usual_patches = 1023,
                                     .largest_patches = 4096,
                                     .usual_rows = 256,
                                     .largest_rows = 1024,
                                     .pieces_max = 1};
  using model::WeightFormat;
  const WeightFormat int4{.kind = WeightFormat::Kind::kInt4, .scale_cols = 32};
  const WeightFormat int4_zero{.kind = WeightFormat::Kind::kInt4, .scale_cols = 100, .zero_points = true};
  const WeightFormat fp8{.kind = WeightFormat::Kind::kFp8}, fp32{.kind = WeightFormat::Kind::kF32};
  const WeightFormat blocks{.kind = WeightFormat::Kind::kFp8, .scale_rows = 128, .scale_cols = 128};
  const WeightFormat one_scale{.kind = WeightFormat::Kind::kInt8, .scale_rows = 0};
  card.tensors = {
      {.name = "layers.*.experts", .count = 7 * 64, .rows = 1000, .cols = 513, .format = int4, .linear = true},
      {.name = "layers.*.dense", .count = 7, .rows = 77, .cols = 513, .format = fp8},
      {.name = "layers.*.packed", .count = 7, .rows = 77, .cols = 515, .format = int4_zero},
      {.name = "layers.*.blocks", .rows = 300, .cols = 513, .format = blocks},
      {.name = "layers.*.one", .rows = 300, .cols = 513, .format = one_scale},
      {.name = "embed", .rows = 1001, .cols = 512},
      {.name = "norm", .rows = 1, .cols = 513, .format = fp32},
      {.name = "tower", .part = model::WeightPart::kVision, .count = 3, .rows = 320, .cols = 333}};
  return card;
}

int64_t RowsBy64(int64_t rows) { return (rows + 63) / 64 * 64; }

void ExpectExplained(const model::ModelSpec& card, const PlanRequest& request, const std::string& trace) {
  SCOPED_TRACE(trace);
  const auto plans = MakeRankPlans(card, request);
  ASSERT_TRUE(plans.ok()) << plans.status();
  for (const Plan& plan : *plans) {
    PlanRequest of_rank = request;
    of_rank.rank = plan.rank;
    for (const Component component : AllComponents()) {
      const std::string text = ExplainLine(plan, card, of_rank, component);
      SCOPED_TRACE(text);
      int equations = 0;
      EXPECT_EQ(Evaluated(text, &equations), plan.Bytes(component));
      EXPECT_GE(equations, 1);
      EXPECT_THAT(text, HasSubstr(ComponentTitle(component)));
    }
  }
}

PlanRequest RequestOf(int64_t bytes) {
  PlanRequest request;
  request.device = {.name = "test",
                    .memory_bytes = bytes,
                    .context_floor_bytes = 3 * kMiB + 1,
                    .library_bytes = 2 * kMiB,
                    .parallel_library_bytes = 5 * kMiB,
                    .other_processes_bytes = kMiB};
  request.kernels.rows = RowsBy64;
  request.kernels.library_bytes = 77'777;
  request.kernels.communication_bytes = 12'345;
  request.kernels.vision_library = [](int64_t patches, int64_t pieces) { return 1000 * patches + pieces; };
  request.kernels.llm_library = [](int64_t tokens, int64_t sequences) { return 100 * tokens + sequences; };
  request.kernels.vision_linear_scratch = [](int64_t patches, int64_t pieces) { return patches * 11 + pieces; };
  request.kernels.llm_attention_scratch = [](int64_t tokens, int64_t sequences) { return tokens + 3 * sequences; };
  return request;
}

TEST(Explain, EveryLineAddsUp) {
  for (const char* name : {"minicpmv", "qwen2", "llama"}) {
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      PlanRequest request = RequestOf(512 * kMiB);
      request.compute = compute;
      ExpectExplained(Golden(name), request, name);
    }
  }
  PlanRequest request = RequestOf(24 * kGiB);
  request.knobs.max_model_len = 4096;
  request.knobs.max_num_seqs = 32;
  request.knobs.gpu_memory_utilization = 0.97;
  ExpectExplained(Published(), request, "24 GiB");
  request.roles.llm = false;
  ExpectExplained(Published(), request, "vision only");
  request.roles = {.vision = false, .llm = true};
  ExpectExplained(Published(), request, "llm only");
}

TEST(Explain, PlansThatNoWorkerRunsAddUp) {
  PlanRequest request = RequestOf(4 * kGiB);
  request.knobs.kv_cache_dtype = DType::kF8;
  ExpectExplained(Strange(), request, "latent cache, experts, merger");
  request = RequestOf(24 * kGiB);
  for (const model::WeightFormat& format : {model::WeightFormat{.kind = model::WeightFormat::Kind::kInt8},
                                            {.kind = model::WeightFormat::Kind::kInt4, .scale_cols = 128}}) {
    request.knobs.quantization = format;
    ExpectExplained(Published(), request, "quantized");
  }
  request.knobs.tensor_parallel_size = 2;
  ExpectExplained(Published(), request, "two ranks");
}

TEST(Explain, RandomKnobsAddUp) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const auto draw = [&random](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  const model::ModelSpec card = Golden("minicpmv");
  int fitted = 0;
  for (int i = 0; i < 200 && !testing::Test::HasFailure(); ++i) {
    PlanRequest request = RequestOf(draw(64, 2048) * kMiB + draw(0, 5000));
    if (draw(0, 1) == 0) request.knobs.max_num_seqs = draw(1, 64);
    if (draw(0, 1) == 0) request.knobs.max_model_len = draw(1, card.llm.max_position_embeddings);
    if (draw(0, 1) == 0) request.knobs.max_num_batched_tokens = draw(64, 4096);
    if (draw(0, 1) == 0) request.knobs.max_patches_per_step = draw(1, 8192);
    if (draw(0, 1) == 0) request.knobs.block_size = int64_t{8} << draw(0, 5);
    if (draw(0, 1) == 0) request.compute = DType::kF32;
    if (!MakePlan(card, request).ok()) continue;
    ++fitted;
    ExpectExplained(card, request, std::to_string(i));
  }
  // Half a gigabyte holds the small model with nearly any knobs.
  EXPECT_GE(fitted, 20);
}

// What a reader sees, once in full.
TEST(Explain, TextOfTheKvPool) {
  PlanRequest request;
  request.device = {.name = "24 GiB", .memory_bytes = 24 * kGiB};
  request.knobs.max_model_len = 4096;
  request.knobs.max_num_seqs = 32;
  const auto card = Published();
  const auto plan = MakePlan(card, request);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const std::string text = ExplainLine(*plan, card, request, Component::kKvPool);
  EXPECT_THAT(text, HasSubstr("  = blocks × (K and V) × layers × align(heads × head_dim × block_size × bf16)\n"));
  EXPECT_THAT(text, HasSubstr(" × 2 × 28 × align(4 × 128 × 16 × 2)\n"));
  EXPECT_THAT(text, HasSubstr("a sequence of 4096 tokens takes 256 blocks, 234881024 bytes"));
  // The number of blocks follows from what the other lines leave.
  const size_t begin = text.find("floor(");
  ASSERT_NE(begin, std::string::npos);
  EXPECT_EQ(Evaluator(text.substr(begin, text.find('\n', begin) - begin)).Value(), plan->kv_blocks);
}

TEST(Explain, LinesAreFoundByTitleOrLabel) {
  EXPECT_EQ(FindComponent("KV pool"), Component::kKvPool);
  EXPECT_EQ(FindComponent("kv_pool"), Component::kKvPool);
  EXPECT_EQ(FindComponent("Vision-Workspace"), Component::kVisionWorkspace);
  EXPECT_EQ(FindComponent("pool"), std::nullopt);
  EXPECT_EQ(FindComponent(""), std::nullopt);
}

}  // namespace
}  // namespace headroom::memory
