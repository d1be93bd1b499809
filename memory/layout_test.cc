#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <random>
#include <set>

#include "common/check.h"
#include "common/testing/paths.h"
#include "memory/alignment.h"
#include "memory/kv_layout.h"
#include "memory/step_layout.h"
#include "memory/testing/fake_memory.h"
#include "memory/weight_layout.h"
#include "model/testing/checkpoint_writer.h"

namespace headroom::memory {
namespace {

std::string Golden(const std::string& name) { return SourceDir() + "/tests/golden/" + name; }

model::ModelSpec GoldenConfig(const std::string& name) {
  auto config = model::LoadServedModel(Golden(name));
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

TEST(KvLayout, PublishedSizes) {
  const auto layout = KvLayout::Make(28, 4, 128, 16, DType::kBF16);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->BlockBytes(), 917'504);
  EXPECT_EQ(layout->BlockBytes() / 16, 57'344);
  EXPECT_EQ(layout->KOffset(0), 0);
  EXPECT_EQ(layout->VOffset(0), 16'384);
  EXPECT_EQ(layout->KOffset(1), 32'768);
  EXPECT_EQ(layout->VOffset(27) + 16'384, layout->BlockBytes());
  EXPECT_EQ(layout->BlocksFor(0), 0);
  EXPECT_EQ(layout->BlocksFor(1), 1);
  EXPECT_EQ(layout->BlocksFor(17), 2);
}

TEST(KvLayout, OddSizesStartAtCacheLines) {
  const auto layout = KvLayout::Make(3, 1, 5, 7, DType::kF32);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->KOffset(1), 2 * 192);  // 5 · 7 · 4 = 140 → 192
}

TEST(KvLayout, LatentCacheHasOneVector) {
  const auto layout = KvLayout::Make(61, 1, 576, 16, DType::kBF16, 1);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->BlockBytes() / 16, 70'272);
  EXPECT_FALSE(KvLayout::Make(61, 1, 576, 16, DType::kBF16, 3).ok());
}

TEST(KvLayout, RefusesAbsurdSizes) {
  EXPECT_FALSE(KvLayout::Make(0, 1, 1, 1, DType::kF32).ok());
  EXPECT_FALSE(KvLayout::Make(1, -1, 1, 1, DType::kF32).ok());
  EXPECT_FALSE(KvLayout::Make(1, 1, 1, 1, DType::kI32).ok());
  EXPECT_FALSE(KvLayout::Make(INT64_MAX, 1, 1, 1, DType::kF32).ok());
  EXPECT_FALSE(KvLayout::Make(1, INT64_MAX, INT64_MAX, 1, DType::kF32).ok());
  EXPECT_FALSE(KvLayout::Make(1 << 20, 1 << 10, 1 << 10, 1 << 10, DType::kF32).ok());
}

int64_t RowsBy64(int64_t rows) { return (rows + 63) / 64 * 64; }

// Buffers that live together must not overlap; all lie inside the layout, and each is listed once.
void ExpectDisjointPhases(const StepBuffers& step) {
  std::set<std::string> names;
  const auto check = [&](const std::vector<StepBuffer>& live) {
    for (size_t i = 0; i < live.size(); ++i) {
      EXPECT_EQ(live[i].offset % kArenaAlignment, 0);
      EXPECT_LE(live[i].offset + live[i].bytes(), step.bytes) << live[i].name;
      for (size_t j = i + 1; j < live.size(); ++j) {
        EXPECT_TRUE(live[i].offset + live[i].bytes() <= live[j].offset ||
                    live[j].offset + live[j].bytes() <= live[i].offset)
            << live[i].name << " and " << live[j].name;
      }
    }
  };
  const auto add = [&](const StepPhase& phase, std::vector<StepBuffer>& live) {
    live.insert(live.end(), phase.buffers.begin(), phase.buffers.end());
  };
  std::vector<StepBuffer> always;
  add(step.whole, always);
  add(step.scratch, always);
  for (const StepPhase& phase : step.phases) {
    for (const StepBuffer& buffer : phase.buffers) EXPECT_TRUE(names.insert(buffer.name).second) << buffer.name;
    std::vector<StepBuffer> live = always;
    add(phase, live);
    check(live);
  }
  for (const StepBuffer& buffer : always) EXPECT_TRUE(names.insert(buffer.name).second) << buffer.name;
}

// The member that model code works with is the entry of the list, `same_phase` of it lie in one phase.
void ExpectListed(const StepBuffers& step, const std::vector<StepBuffer>& same_phase) {
  const auto holds = [](const StepPhase& phase, const StepBuffer& wanted) {
    return std::any_of(phase.buffers.begin(), phase.buffers.end(), [&](const StepBuffer& buffer) {
      return std::string(buffer.name) == wanted.name && buffer.offset == wanted.offset &&
             buffer.bytes() == wanted.bytes() && buffer.type == wanted.type;
    });
  };
  std::vector<const StepPhase*> phases = {&step.whole, &step.scratch};
  for (const StepPhase& phase : step.phases) phases.push_back(&phase);
  int64_t found = 0;
  for (const StepPhase* phase : phases) {
    found += std::all_of(same_phase.begin(), same_phase.end(), [&](const auto& b) { return holds(*phase, b); }) ? 1 : 0;
  }
  EXPECT_EQ(found, 1) << same_phase.front().name;
}

TEST(VisionStepLayout, RegionsOfOnePhaseAreDisjoint) {
  const model::ModelSpec config = GoldenConfig("minicpmv");
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto layout = VisionStepLayout::Make(*config.encoder, {.patches = 1037,
                                                                 .pieces = 3,
                                                                 .compute = compute,
                                                                 .rows = RowsBy64,
                                                                 .linear_scratch_bytes = 100,
                                                                 .attention_scratch_bytes = 1000});
    ASSERT_TRUE(layout.ok()) << layout.status();
    const VisionStepLayout& v = *layout;
    EXPECT_EQ(v.patch_rows, 1088);
    EXPECT_EQ(v.query_rows, 192);
    EXPECT_EQ(v.x.bytes(), 1088 * 144 * 4);
    EXPECT_EQ(v.patch_matrix.bytes(), 1088 * 588 * SizeOf(compute));
    EXPECT_EQ(v.qkv.bytes(), 1088 * 3 * 144 * 4);
    EXPECT_EQ(v.mlp_hidden.bytes(), 1088 * 272 * 4);
    EXPECT_EQ(v.keys_in.bytes(), 1088 * 256 * SizeOf(compute));
    EXPECT_EQ(v.embeddings.bytes(), 192 * 256 * 4);
    ExpectDisjointPhases(v.buffers);
    ExpectListed(v.buffers, {v.position_index, v.tower_segments, v.patch_row, v.patch_column, v.query_segments,
                             v.not_finite, v.x, v.normed});
    if (compute == DType::kF32) {
      ExpectListed(v.buffers, {v.patch_matrix});
      EXPECT_EQ(v.pixels.bytes(), 0);
    } else {
      ExpectListed(v.buffers, {v.pixels, v.patch_matrix});
    }
    ExpectListed(v.buffers, {v.qkv, v.attention});
    ExpectListed(v.buffers, {v.mlp_hidden, v.mlp_activated});
    ExpectListed(v.buffers,
                 {v.kv, v.values_in, v.keys_in, v.keys, v.pooled, v.projected, v.projected_normed, v.embeddings});
    ExpectListed(v.buffers, {v.linear_scratch, v.attention_scratch});
    EXPECT_EQ(v.values.offset, v.kv.offset);
  }
}

TEST(LlmStepLayout, RegionsOfOnePhaseAreDisjoint) {
  const model::ModelSpec config = GoldenConfig("llama");
  const auto layout = LlmStepLayout::Make(ShapeOf(config.llm), {.tokens = 100,
                                                                .sequences = 7,
                                                                .blocks_per_sequence = 33,
                                                                .changes_per_sequence = 20,
                                                                .compute = DType::kBF16,
                                                                .rows = RowsBy64,
                                                                .linear_scratch_bytes = 1,
                                                                .attention_scratch_bytes = 65});
  ASSERT_TRUE(layout.ok()) << layout.status();
  const LlmStepLayout& l = *layout;
  EXPECT_EQ(l.token_rows, 128);
  EXPECT_EQ(l.logit_rows, 64);
  EXPECT_EQ(l.slots.bytes(), 100 * 8);
  EXPECT_EQ(l.block_tables.bytes(), 7 * 33 * 4);
  EXPECT_EQ(l.qkv.bytes(), 128 * (5 + 2) * 48 * 4);
  EXPECT_EQ(l.attention.bytes(), 128 * 5 * 48 * 2);
  EXPECT_EQ(l.gate_up.bytes(), 128 * 2 * 416 * 4);
  EXPECT_EQ(l.logits.bytes(), 64 * 1224 * 4);
  ExpectDisjointPhases(l.buffers);
  EXPECT_EQ(l.sample_rows.bytes(), (100 + 7) * 9 * 8);
  EXPECT_EQ(l.changes.bytes(), 7 * 20 * 8);
  EXPECT_EQ(l.allowed.bytes(), (1 + 7) * 39 * 4);
  EXPECT_EQ(l.alternatives.bytes(), (100 + 7) * 20 * 8);
  ExpectListed(l.buffers, {l.token_ids, l.positions, l.slots, l.sequences, l.copies, l.sample_rows, l.block_tables,
                           l.seen, l.changes, l.allowed, l.sampled, l.measured, l.alternatives, l.x, l.normed});
  ExpectListed(l.buffers, {l.qkv, l.attention});
  ExpectListed(l.buffers, {l.gate_up, l.activated});
  ExpectListed(l.buffers, {l.head_input, l.logits, l.sampling});
  ExpectListed(l.buffers, {l.linear_scratch, l.attention_scratch});
}

TEST(StepLayouts, MergerAndExpertsHaveTheirBuffers) {
  const model::EncoderShape encoder{
      .patch_values = 1176, .width = 64, .mlp_in = 256, .mlp_out = 128, .out = 96, .merge = 4, .merger_hidden = 200};
  const auto vision = VisionStepLayout::Make(encoder, {.patches = 1001, .pieces = 1, .compute = DType::kBF16});
  ASSERT_TRUE(vision.ok()) << vision.status();
  const VisionStepLayout& v = *vision;
  EXPECT_EQ(v.query_rows, 251);
  EXPECT_EQ(v.merged.bytes(), 251 * 4 * 64 * 2);
  EXPECT_EQ(v.mlp_hidden.bytes(), 1001 * 256 * 4);
  EXPECT_EQ(v.mlp_activated.bytes(), 1001 * 128 * 2);
  EXPECT_EQ(v.keys.bytes(), 0);
  ExpectDisjointPhases(v.buffers);
  ExpectListed(v.buffers, {v.merged, v.merger_hidden, v.merger_activated, v.embeddings});

  // A merger with rows of its own: a line has a token at least, and each piece has two ends.
  model::EncoderShape lines = encoder;
  lines.merger_in = 100;
  lines.line_rows = 1;
  lines.end_rows = 2;
  const auto with_lines = VisionStepLayout::Make(lines, {.patches = 1001, .pieces = 3, .compute = DType::kBF16});
  ASSERT_TRUE(with_lines.ok()) << with_lines.status();
  const VisionStepLayout& l = *with_lines;
  EXPECT_EQ(l.embeddings.rows, 2 * 251 + 3 * 2);
  EXPECT_EQ(l.row_index.bytes(), 4 * l.embeddings.rows);
  EXPECT_LT(l.row_index.offset, l.not_finite.offset) << "moves with the step's inputs";
  EXPECT_EQ(l.merger_rows.bytes(), (251 + 3) * 96 * 4);
  ExpectDisjointPhases(l.buffers);
  ExpectListed(l.buffers, {l.merged, l.merger_input, l.merger_hidden, l.merger_activated, l.merger_rows, l.embeddings});

  model::DecoderShape decoder = ShapeOf(GoldenConfig("llama").llm);
  decoder.router = 128;
  decoder.routed = 8 * decoder.hidden;
  const auto llm = LlmStepLayout::Make(decoder, {.tokens = 50, .sequences = 2, .blocks_per_sequence = 3});
  ASSERT_TRUE(llm.ok()) << llm.status();
  EXPECT_EQ(llm->routed_out.bytes(), 50 * 8 * decoder.hidden * 4);
  ExpectDisjointPhases(llm->buffers);
  ExpectListed(llm->buffers, {llm->gate_up, llm->activated, llm->router, llm->routed_in, llm->routed_out});
}

TEST(StepLayouts, RefuseAbsurdLimits) {
  const model::DecoderShape text = ShapeOf(GoldenConfig("qwen2").llm);
  const model::EncoderShape sees = *GoldenConfig("minicpmv").encoder;
  EXPECT_FALSE(VisionStepLayout::Make(sees, {.patches = 0, .pieces = 1}).ok());
  EXPECT_FALSE(VisionStepLayout::Make(sees, {.patches = 1, .pieces = INT64_MAX}).ok());
  EXPECT_FALSE(LlmStepLayout::Make(text, {.tokens = -1, .sequences = 1, .blocks_per_sequence = 1}).ok());
  EXPECT_FALSE(LlmStepLayout::Make(text, {.tokens = INT64_MAX, .sequences = 1, .blocks_per_sequence = 1}).ok());
  EXPECT_FALSE(
      LlmStepLayout::Make(text, {.tokens = 1, .sequences = 1, .blocks_per_sequence = 1, .linear_scratch_bytes = -1})
          .ok());
  const RowBucket lies = [](int64_t rows) { return rows - 1; };
  EXPECT_FALSE(LlmStepLayout::Make(text, {.tokens = 2, .sequences = 1, .blocks_per_sequence = 1, .rows = lies}).ok());
  model::DecoderShape wide = text;
  wide.mlp_in = int64_t{1} << 41;
  EXPECT_FALSE(LlmStepLayout::Make(wide, {.tokens = int64_t{1} << 32, .sequences = 1, .blocks_per_sequence = 1}).ok());
}

TEST(WeightLayout, LoadsTheGoldenCheckpoints) {
  for (const char* name : {"minicpmv", "glm4v", "hunyuan_vl", "qwen2", "llama"}) {
    const model::ModelSpec config = GoldenConfig(name);
    const auto checkpoint = model::Checkpoint::Open(Golden(name));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      const auto layout = WeightLayout::Make(config, compute, config.llm.max_position_embeddings);
      ASSERT_TRUE(layout.ok()) << layout.status();
      for (const model::WeightPart part : {model::WeightPart::kVision, model::WeightPart::kResampler,
                                           model::WeightPart::kLlm, model::WeightPart::kHead}) {
        testing::FakeMemory device;
        // A part may be empty; a reservation may not.
        const auto reserved = device.Reserve(layout->Bytes(part) + 1, {});
        ASSERT_TRUE(reserved.ok()) << reserved.status();
        int64_t progress = 0;
        const auto count = [&progress](int64_t bytes) {
          EXPECT_GT(bytes, progress);
          progress = bytes;
          return absl::OkStatus();
        };
        ASSERT_TRUE(layout->Load(*checkpoint, part, device, reserved->Sub(0, layout->Bytes(part)), count).ok());
        std::vector<std::byte> memory(static_cast<size_t>(layout->Bytes(part)));
        ASSERT_TRUE(device.Read(reserved->data, memory).ok());
        device.Release(*reserved);
        EXPECT_LE(progress, layout->Bytes(part));
        for (const model::TensorSpec& held : config.tensors) {
          if (held.part != part) continue;
          const WeightRegion& region = (*layout)[held.name];
          EXPECT_EQ(region.dtype, held.format.kind == model::WeightFormat::Kind::kF32 ? DType::kF32 : compute)
              << held.name;
          ASSERT_LE(region.offset + region.bytes, layout->Bytes(part)) << held.name;
          int64_t next = region.offset;
          for (const model::TensorSource& source : held.sources) {
            const int64_t bytes = checkpoint->Find(source.name)->elements * SizeOf(region.dtype);
            std::vector<std::byte> direct(bytes);
            ASSERT_TRUE(model::testing::ReadTensor(*checkpoint, source.name, region.dtype, direct).ok());
            EXPECT_EQ(std::memcmp(direct.data(), memory.data() + next, bytes), 0) << source.name;
            next += bytes;
          }
        }
        if (part != model::WeightPart::kLlm) continue;
        const WeightRegion& frequencies = (*layout)["llm.rope.inv_freq"];
        for (int64_t i = 0; i < frequencies.cols; ++i) {
          float value = 0;
          std::memcpy(&value, memory.data() + frequencies.offset + 4 * i, 4);
          EXPECT_NEAR(value, std::pow(config.llm.rope.theta, -2.0 * i / config.llm.rope.Dim(config.llm.head_dim)),
                      value * 1e-6);
        }
      }
    }
  }
}

// A model whose token embeddings take three chunks: 80,000 × 128 in bf16 are 20 MB.
class BigEmbeddings : public ::testing::Test {
 protected:
  BigEmbeddings() {
    std::string text = model::testing::SmallConfig("Qwen2ForCausalLM");
    const size_t at = text.find(':', text.find("\"vocab_size\"")) + 1;
    text.replace(at, text.find_first_of(",}\n", at) - at, " 80000");
    model::testing::WriteRandomModel(directory_, text);
    const auto config = model::LoadServedModel(directory_.path());
    HEADROOM_CHECK(config.ok()) << config.status().ToString();
    layout_ = *WeightLayout::Make(*config, DType::kBF16, config->llm.max_position_embeddings);
    checkpoint_ = *model::Checkpoint::Open(directory_.path());
    reserved_ = *device_.Reserve(layout_.Bytes(model::WeightPart::kLlm), {});
    memory_.resize(static_cast<size_t>(reserved_.bytes));
  }
  ~BigEmbeddings() override { device_.Release(reserved_); }
  absl::Status Load(const LoadProgress& progress) {
    absl::Status status = layout_.Load(*checkpoint_, model::WeightPart::kLlm, device_, reserved_, progress);
    HEADROOM_CHECK(device_.Read(reserved_.data, memory_).ok());
    return status;
  }

  model::testing::TemporaryDirectory directory_;
  WeightLayout layout_;
  std::optional<model::Checkpoint> checkpoint_;
  testing::FakeMemory device_;
  DeviceSpan reserved_;
  std::vector<std::byte> memory_;  // what the device holds after a load
};

TEST_F(BigEmbeddings, ComeInChunks) {
  int64_t before = 0, largest = 0;
  ASSERT_TRUE(Load([&](int64_t bytes) {
                largest = std::max(largest, bytes - before);
                before = bytes;
                return absl::OkStatus();
              }).ok());
  // Alignment lies between the tensors.
  EXPECT_LE(largest, kLoadChunkBytes + 64);
  EXPECT_GT(largest, kLoadChunkBytes / 2);
  const WeightRegion& region = layout_["llm.embed_tokens.weight"];
  std::vector<std::byte> direct(static_cast<size_t>(region.bytes));
  ASSERT_TRUE(model::testing::ReadTensor(*checkpoint_, "model.embed_tokens.weight", DType::kBF16, direct).ok());
  EXPECT_EQ(std::memcmp(direct.data(), memory_.data() + region.offset, direct.size()), 0);
}

TEST_F(BigEmbeddings, StopAtTheChunkThatSaysSo) {
  int64_t calls = 0, placed = 0;
  const absl::Status status = Load([&](int64_t bytes) {
    placed = bytes;
    return ++calls < 2 ? absl::OkStatus() : absl::CancelledError("enough");
  });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(std::all_of(memory_.begin() + placed, memory_.end(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_F(BigEmbeddings, FileThatEndsEarlierThanItSaidIsAnError) {
  std::filesystem::resize_file(directory_.path() + "/model.safetensors", 10 << 20);
  const absl::Status status = Load({});
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message(), "");
}

// Long RoPE has other rates for servers of longer sequences than its first context.
TEST(WeightLayout, RotaryRatesFollowTheLongestSequenceServed) {
  model::ModelSpec config = GoldenConfig("llama");
  const auto pairs = static_cast<size_t>(config.llm.head_dim / 2);
  config.llm.rope.scaling = {.type = model::RopeScaling::Type::kLongRope,
                             .original_positions = 512,
                             .short_factors = std::vector<double>(pairs, 1),
                             .long_factors = std::vector<double>(pairs, 4)};
  const auto checkpoint = model::Checkpoint::Open(Golden("llama"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const int64_t positions : {512, 513}) {
    const auto layout = WeightLayout::Make(config, DType::kF32, positions);
    ASSERT_TRUE(layout.ok());
    testing::FakeMemory memory;
    const auto reserved = memory.Reserve(layout->Bytes(model::WeightPart::kLlm), {});
    ASSERT_TRUE(layout->Load(*checkpoint, model::WeightPart::kLlm, memory, *reserved).ok());
    float rate = 0;
    const DevicePtr first = reserved->data + (*layout)["llm.rope.inv_freq"].offset;
    ASSERT_TRUE(memory.Read(first, std::as_writable_bytes(std::span(&rate, 1))).ok());
    EXPECT_EQ(rate, positions == 512 ? 1.0f : 0.25f);
    memory.Release(*reserved);
  }
}

TEST(WeightLayout, TiedHeadTakesNothing) {
  const auto layout = WeightLayout::Make(GoldenConfig("qwen2"), DType::kBF16, 2048);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->Bytes(model::WeightPart::kHead), 0);
  EXPECT_EQ(layout->Bytes(model::WeightPart::kVision), 0);
  EXPECT_FALSE(layout->Has("llm.head.weight"));
  EXPECT_FALSE(WeightLayout::Make(GoldenConfig("qwen2"), DType::kI32, 2048).ok());
}

}  // namespace
}  // namespace headroom::memory
