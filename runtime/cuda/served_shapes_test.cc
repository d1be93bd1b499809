// Each kernel of a step once, at heads and widths of MiniCPM-V 2.6 and few rows. What is right other tests say; here
// each has to run, and what it counts on the emulated card is held to kernels/counters.txt.
#include <numeric>

#include "runtime/ops/attention.h"
#include "runtime/ops/elementwise.h"
#include "runtime/ops/gather.h"
#include "runtime/ops/norm.h"
#include "runtime/ops/paged_attention.h"
#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

constexpr int64_t kHeads = 28, kKvHeads = 4, kHeadDim = 128, kWidth = kHeads * kHeadDim, kInner = 18944;
constexpr int64_t kVisionWidth = 1152, kVisionInner = 4304, kBlock = 16;

class ServedShapesTest : public OpTest {
 protected:
  // Zeros: counters know no values.
  Matrix Rows(DType dtype, int64_t rows, int64_t cols) {
    const int64_t bytes = rows * cols * SizeOf(dtype);
    buffers_.push_back(std::make_unique<DeviceBuffer>(device(), bytes));
    const std::vector<std::byte> zeros(static_cast<size_t>(bytes));
    buffers_.back()->Upload(zeros.data());
    return {buffers_.back()->data(), dtype, rows, cols, cols};
  }
  DeviceArray<const float> Floats(int64_t count) { return {Rows(DType::kF32, 1, count).data, count}; }

  void TearDown() override {
    if (HasFatalFailure() || IsSkipped()) return;
    EXPECT_TRUE(device().Wait().ok());
  }

  KvView Cache(int64_t blocks) {
    const int64_t part = kKvHeads * kBlock * kHeadDim * SizeOf(DType::kBF16);
    return {.base = Rows(DType::kBF16, blocks, part).data,
            .block_bytes = 2 * part,
            .v_offset = part,
            .dtype = DType::kBF16,
            .blocks = blocks,
            .kv_heads = kKvHeads,
            .head_dim = kHeadDim,
            .block_size = kBlock};
  }

  // `sequences` of `queries` rows and `context` keys each.
  void Attend(int64_t sequences, int64_t queries, int64_t context) {
    const int64_t table = context / kBlock;
    std::vector<PagedSequence> rows;
    for (int64_t s = 0; s < sequences; ++s) {
      rows.push_back({.q_begin = s * queries, .q_count = queries, .context_len = context});
    }
    std::vector<int32_t> blocks(static_cast<size_t>(sequences * table));
    std::iota(blocks.begin(), blocks.end(), 0);
    const DeviceValues<PagedSequence> device_rows(device(), rows);
    const DeviceValues<int32_t> device_blocks(device(), blocks);
    const DeviceBuffer scratch(device(), AttentionScratchBytes(device(), kHeadDim));
    ASSERT_TRUE(PagedAttention(device(), {.q = Rows(DType::kF32, sequences * queries, kWidth),
                                          .sequences = device_rows.array(),
                                          .block_tables = device_blocks.array(),
                                          .table_size = table,
                                          .q_count_min = queries,
                                          .heads = kHeads,
                                          .kv = Cache(sequences * table),
                                          .scale = 0.088f,
                                          .out = Rows(DType::kBF16, sequences * queries, kWidth),
                                          .scratch = scratch.span()})
                    .ok());
  }

  // One head of many: others read their own columns of the same rows.
  void Attend(int64_t queries, int64_t keys, int64_t head_dim, int64_t width) {
    const DeviceValues<AttentionSegment> segments(device(),
                                                  {{.q_begin = 0, .q_count = queries, .k_begin = 0, .k_count = keys}});
    const DeviceBuffer scratch(device(), AttentionScratchBytes(device(), head_dim));
    const auto head = [&](int64_t rows) { return Rows(DType::kF32, rows, width).ColRange(0, head_dim); };
    ASSERT_TRUE(Attention(device(), {.q = head(queries),
                                     .k = head(keys),
                                     .v = head(keys),
                                     .segments = segments.array(),
                                     .heads = 1,
                                     .head_dim = head_dim,
                                     .scale = 0.1f,
                                     .out = Rows(DType::kBF16, queries, width).ColRange(0, head_dim),
                                     .scratch = scratch.span()})
                    .ok());
  }

  std::vector<std::unique_ptr<DeviceBuffer>> buffers_;
};

TEST_F(ServedShapesTest, AttentionOfAPiece) { Attend(512, 512, 72, kVisionWidth); }
TEST_F(ServedShapesTest, AttentionOfTheResampler) { Attend(64, 512, kHeadDim, kWidth); }
TEST_F(ServedShapesTest, AttentionOfAPrompt) { Attend(1, 128, 128); }
TEST_F(ServedShapesTest, AttentionOfADecodeStep) { Attend(4, 1, 1024); }

TEST_F(ServedShapesTest, RowsOfADecoderLayer) {
  ASSERT_TRUE(
      RmsNorm(device(), {.x = Rows(DType::kF32, 4, kWidth), .gain = Floats(kWidth), .y = Rows(DType::kBF16, 4, kWidth)})
          .ok());
  ASSERT_TRUE(
      SiluMul(device(), {.gate_up = Rows(DType::kF32, 4, 2 * kInner), .y = Rows(DType::kBF16, 4, kInner)}).ok());
  const DeviceValues<int32_t> ids(device(), {3, 0, 1, 2});
  ASSERT_TRUE(
      EmbeddingGather(device(),
                      {.ids = ids.array(), .table = Rows(DType::kBF16, 4, kWidth), .y = Rows(DType::kF32, 4, kWidth)})
          .ok());
  const Matrix qkv = Rows(DType::kF32, 4, kWidth + 2 * kKvHeads * kHeadDim);
  const DeviceValues<int64_t> slots(device(), {5, 6, 7, 8});
  ASSERT_TRUE(PagedKvWrite(device(), {.k = qkv.ColRange(kWidth, kKvHeads * kHeadDim),
                                      .v = qkv.ColRange(kWidth + kKvHeads * kHeadDim, kKvHeads * kHeadDim),
                                      .slots = slots.array(),
                                      .kv = Cache(1),
                                      .rope = RopeArgs{.q = qkv.ColRange(0, kWidth),
                                                       .heads = kHeads,
                                                       .positions = ids.array(),
                                                       .inv_freq = Floats(kHeadDim / 2)}})
                  .ok());
  const KvView cache = Cache(3);
  const DeviceValues<BlockCopy> copies(device(), {{0, 1}, {0, 2}});
  ASSERT_TRUE(
      CopyKvBlocks(device(), {.copies = copies.array(), .pool = cache.base, .block_bytes = cache.block_bytes}).ok());
}

TEST_F(ServedShapesTest, RowsOfATowerLayer) {
  ASSERT_TRUE(LayerNorm(device(), {.x = Rows(DType::kF32, 4, kVisionWidth),
                                   .gain = Floats(kVisionWidth),
                                   .bias = Floats(kVisionWidth),
                                   .y = Rows(DType::kBF16, 4, kVisionWidth)})
                  .ok());
  ASSERT_TRUE(
      GeluTanh(device(), {.x = Rows(DType::kF32, 4, kVisionInner), .y = Rows(DType::kBF16, 4, kVisionInner)}).ok());
  ASSERT_TRUE(
      Convert(device(), {.x = Rows(DType::kF32, 4, kVisionWidth), .y = Rows(DType::kBF16, 4, kVisionWidth)}).ok());
  const DeviceValues<int32_t> index(device(), {3, 0, 1, 2});
  ASSERT_TRUE(AddGathered(device(), {.index = index.array(),
                                     .table = Rows(DType::kBF16, 4, kVisionWidth),
                                     .y = Rows(DType::kF32, 4, kVisionWidth)})
                  .ok());
  const DeviceBuffer found(device(), 2 * sizeof(int32_t));
  ASSERT_TRUE(
      FindNonFinite(device(), {.x = Rows(DType::kF32, 4, kWidth), .group = 2, .found = {found.data(), 2}}).ok());
}

}  // namespace
}  // namespace headroom::runtime
