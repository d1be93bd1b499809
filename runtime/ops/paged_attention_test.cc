#include "runtime/ops/paged_attention.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

struct Sequence {
  int64_t q_count, context_len;
};

struct Shape {
  int64_t heads, kv_heads, dim, block_size;
  DType cache, out;
  std::vector<Sequence> sequences;
  bool packed = false;  // rows of q and out lie one behind the other: every head at a multiple of its size
};

class PagedAttentionTest : public OpTest {
 protected:
  // Writes every sequence's keys and values into shuffled blocks of the second of three layers, then compares the last
  // q_count rows with the definition.
  void Check(const Shape& s) {
    SCOPED_TRACE(absl::StrCat("heads=", s.heads, "/", s.kv_heads, " dim=", s.dim, " block=", s.block_size,
                              " cache=", DTypeName(s.cache), " out=", DTypeName(s.out)));
    Layout(s);
    const float scale = 1.0f / std::sqrt(static_cast<float>(s.dim));
    Storage q(device(), DType::kF32, rows_, s.heads * s.dim, s.packed ? 0 : 3);
    Storage out(device(), s.out, rows_ + 1, s.heads * s.dim, s.packed ? 0 : 1);
    const std::vector<float> queries = Random(rows_ * s.heads * s.dim);
    q.Fill(queries);
    std::vector<double> want;
    int64_t row = 0;
    for (size_t i = 0; i < s.sequences.size(); ++i) {
      Storage k = Tokens(s, s.sequences[i].context_len), v = Tokens(s, s.sequences[i].context_len);
      Write(i, k, v);
      const std::vector<float> keys = k.Values(), values = v.Values();
      for (int64_t r = 0; r < s.sequences[i].q_count; ++r, ++row) {
        Reference(s, queries.data() + row * s.heads * s.dim,
                  s.sequences[i].context_len - s.sequences[i].q_count + r + 1, scale, keys, values, &want);
      }
    }
    want.resize(want.size() + static_cast<size_t>(s.heads * s.dim), double{Storage::kSentinel});
    const DeviceBuffer scratch(device(), AttentionScratchBytes(device(), s.dim));
    Matrix out_view = out.view();
    out_view.rows = rows_;
    ASSERT_TRUE(CheckSequences(sequences_, tables_, table_size_, rows_, kv_).ok());
    const DeviceValues<PagedSequence> sequences(device(), sequences_);
    const DeviceValues<int32_t> tables(device(), tables_);
    // Every other call says how few rows a sequence has.
    int64_t fewest = 1;
    if (knows_fewest_ = !knows_fewest_; knows_fewest_) {
      fewest = rows_;
      for (const PagedSequence& sequence : sequences_) {
        if (sequence.q_count > 0) fewest = std::min(fewest, sequence.q_count);
      }
    }
    const absl::Status status = PagedAttention(device(), {.q = q.view(),
                                                          .sequences = sequences.array(),
                                                          .block_tables = tables.array(),
                                                          .table_size = table_size_,
                                                          .q_count_min = fewest,
                                                          .heads = s.heads,
                                                          .kv = kv_,
                                                          .scale = scale,
                                                          .out = out_view,
                                                          .scratch = scratch.span()});
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_LT(RelativeError(out, want), s.out == DType::kF32 ? 2e-6 : 8e-3);
    EXPECT_TRUE(out.GapsUntouched());
    EXPECT_TRUE(OtherLayersUntouched());
  }

  void Layout(const Shape& s) {
    const int64_t part = s.kv_heads * s.block_size * s.dim * SizeOf(s.cache);
    kv_ = {.base = {},
           .block_bytes = 6 * part,
           .k_offset = 2 * part,
           .v_offset = 3 * part,
           .dtype = s.cache,
           .blocks = 2,
           .kv_heads = s.kv_heads,
           .head_dim = s.dim,
           .block_size = s.block_size};
    for (const Sequence& sequence : s.sequences) kv_.blocks += (sequence.context_len + s.block_size - 1) / s.block_size;
    const std::vector<std::byte> fill(static_cast<size_t>(kv_.blocks * kv_.block_bytes), kUntouched);
    pool_.emplace(device(), kv_.blocks * kv_.block_bytes);
    pool_->Upload(fill.data());
    kv_.base = pool_->data();
    std::vector<int32_t> free(static_cast<size_t>(kv_.blocks));
    std::iota(free.begin(), free.end(), 0);
    std::shuffle(free.begin(), free.end(), random_);
    table_size_ = 1;
    for (const Sequence& sequence : s.sequences) table_size_ = std::max(table_size_, Blocks(s, sequence));
    tables_.assign(s.sequences.size() * static_cast<size_t>(table_size_), -1);
    sequences_.clear();
    rows_ = 0;
    for (size_t i = 0; i < s.sequences.size(); ++i) {
      for (int64_t n = 0; n < Blocks(s, s.sequences[i]); ++n) {
        tables_[i * static_cast<size_t>(table_size_) + static_cast<size_t>(n)] = free.back();
        free.pop_back();
      }
      sequences_.push_back({rows_, s.sequences[i].q_count, s.sequences[i].context_len});
      rows_ += s.sequences[i].q_count;
    }
  }
  static int64_t Blocks(const Shape& s, const Sequence& sequence) {
    return (sequence.context_len + s.block_size - 1) / s.block_size;
  }

  // Keys or values as the cache will hold them.
  Storage Tokens(const Shape& s, int64_t tokens) {
    Storage t(device(), DType::kF32, tokens, s.kv_heads * s.dim, 2);
    t.Fill(Random(tokens * s.kv_heads * s.dim));
    if (s.cache == DType::kBF16) {
      for (int64_t r = 0; r < t.rows(); ++r) {
        for (int64_t c = 0; c < t.cols(); ++c) t.Set(r, c, FromBf16(ToBf16(t.Get(r, c))));
      }
    }
    return t;
  }

  void Write(size_t sequence, Storage& k, Storage& v) {
    std::vector<int64_t> slots;
    for (int64_t t = 0; t < k.rows(); ++t) {
      const auto at = static_cast<size_t>(static_cast<int64_t>(sequence) * table_size_ + t / kv_.block_size);
      slots.push_back(tables_[at] * kv_.block_size + t % kv_.block_size);
    }
    ASSERT_TRUE(CheckSlots(slots, kv_).ok());
    const DeviceValues<int64_t> on_device(device(), slots);
    ASSERT_TRUE(PagedKvWrite(device(), {.k = k.view(), .v = v.view(), .slots = on_device.array(), .kv = kv_}).ok());
  }

  // q: the row. k, v: of all tokens.
  static void Reference(const Shape& s, const float* q, int64_t keys, float scale, const std::vector<float>& k,
                        const std::vector<float>& v, std::vector<double>* want) {
    const auto dim = static_cast<size_t>(s.dim), stride = static_cast<size_t>(s.kv_heads) * dim;
    for (int64_t head = 0; head < s.heads; ++head, q += dim) {
      const size_t column = static_cast<size_t>(head / (s.heads / s.kv_heads)) * dim;
      std::vector<double> weights(static_cast<size_t>(keys)), values(dim);
      double largest = -INFINITY, sum = 0;
      for (size_t j = 0; j < weights.size(); ++j) {
        double score = 0;
        for (size_t c = 0; c < dim; ++c) score += double{q[c]} * k[j * stride + column + c];
        weights[j] = score * scale;
        largest = std::max(largest, weights[j]);
      }
      for (double& w : weights) sum += w = std::exp(w - largest);
      for (size_t j = 0; j < weights.size(); ++j) {
        for (size_t c = 0; c < dim; ++c) values[c] += weights[j] * v[j * stride + column + c];
      }
      for (const double value : values) want->push_back(value / sum);
    }
  }

  bool OtherLayersUntouched() const {
    std::vector<std::byte> pool(static_cast<size_t>(pool_->bytes()));
    pool_->Download(pool.data());
    const int64_t part = kv_.v_offset - kv_.k_offset;
    for (int64_t block = 0; block < kv_.blocks; ++block) {
      for (int64_t i = 0; i < kv_.block_bytes; ++i) {
        const bool own = i >= kv_.k_offset && i < kv_.v_offset + part;
        if (!own && pool[static_cast<size_t>(block * kv_.block_bytes + i)] != kUntouched) return false;
      }
    }
    return true;
  }

  // NaN in either type: what no token wrote must not even be multiplied by 0.
  static constexpr std::byte kUntouched{0xff};

  KvView kv_;
  std::optional<DeviceBuffer> pool_;
  std::vector<int32_t> tables_;  // one row of table_size_ for each sequence
  int64_t table_size_ = 1;
  std::vector<PagedSequence> sequences_;
  int64_t rows_ = 0;
  bool knows_fewest_ = false;
};

constexpr DType kF32 = DType::kF32;
constexpr DType kBF16 = DType::kBF16;

TEST_F(PagedAttentionTest, DecodeAndPrefillTogether) {
  const std::vector<Sequence> mixed = {{1, 1}, {1, 37}, {5, 5}, {3, 20}, {33, 150}, {1, 260}};
  for (const DType out : {kF32, kBF16}) {
    for (const DType cache : {kF32, kBF16}) {
      Check({14, 2, 128, 16, cache, out, mixed});
      Check({4, 4, 48, 16, cache, out, mixed});
      Check({4, 1, 72, 16, cache, out, mixed});
    }
  }
}

TEST_F(PagedAttentionTest, ContextsThatCrossBlockBorders) {
  for (const int64_t block_size : {1, 7, 16, 128, 300}) {
    for (const int64_t context : {15, 16, 17, 127, 128, 129, 257}) {
      Check({7, 1, 48, block_size, kBF16, kBF16, {{1, context}, {std::min<int64_t>(9, context), context}}});
      Check({2, 1, 20, block_size, kF32, kF32, {{1, context}, {context, context}}});
    }
  }
}

TEST_F(PagedAttentionTest, GroupsOfSevenOverManyUnits) {
  Check({28, 4, 128, 16, kF32, kF32, {{90, 90}}});
  Check({28, 4, 128, 16, kBF16, kBF16, {{90, 200}}});
}

// Steps that decode alone, prefill alone, and do both, for the head sizes of families that are served and planned.
TEST_F(PagedAttentionTest, HeadSizesOfModels) {
  const std::vector<Sequence> decode = {{1, 1}, {1, 63}, {1, 130}, {0, 9}, {1, 64}}, decode_long = {{1, 2200}};
  const std::vector<Sequence> prefill = {{67, 67}, {85, 150}};
  const std::vector<Sequence> mixed = {{1, 200}, {70, 90}, {2, 70}, {0, 0}, {1, 8}};
  std::vector<Sequence> decode_many, mixed_many;
  for (int i = 0; i < 141; ++i) {
    decode_many.push_back({i % 3 == 2 ? 1 : 0, 1 + i % 9});
    mixed_many.push_back({i % 47 == 9 ? 66 : i % 5 == 0 ? 1 : 0, 66 + i % 9});
  }
  int turn = 0;
  for (const int64_t dim : {32, 64, 72, 80, 96, 128}) {
    const bool packed = ++turn % 2 == 0;
    const auto check = [&](int64_t group, int64_t kv_heads, const std::vector<Sequence>& sequences, bool rows_packed) {
      Check({group * kv_heads, kv_heads, dim, 8 << turn % 3, kBF16, kBF16, sequences, rows_packed});
    };
    for (const int64_t group : {1, 16}) {
      check(group, 2, decode, packed);
      check(group, 1, decode_many, !packed);
      check(group, 1, decode_long, packed);
    }
    check(7, 2, decode, !packed);
    for (const bool rows_packed : {false, true}) check(7, 1, mixed, rows_packed);
    check(1, 2, prefill, packed);
    check(7, 1, prefill, !packed);
    check(1, 1, mixed_many, packed);
  }
}

TEST_F(PagedAttentionTest, GroupsOfAnySize) {
  for (const int64_t group : {1, 2, 3, 8, 9, 15, 17, 33}) {
    Check({group, 1, 64, 16, kBF16, kBF16, {{1, 150}, {1, 20}, {1, 65}}, true});
    Check({group, 1, 64, 16, kBF16, kBF16, {{3, 100}, {1, 20}, {9, 65}}});
  }
}

// Contexts that a device may split between many units, beside short ones.
TEST_F(PagedAttentionTest, LongContextsBesideShortOnes) {
  for (const int64_t block_size : {8, 16, 32}) {
    Check({7, 1, 32, block_size, kBF16, kBF16, {{1, 5000}}, true});
    Check({14, 2, 64, block_size, kBF16, kBF16, {{1, 3}, {1, 2500}, {1, 1}, {1, 400}}, true});
  }
  Check({28, 4, 128, 16, kBF16, kBF16, {{1, 1200}, {1, 129}}, true});
  Check({16, 1, 32, 16, kBF16, kBF16, {{1, 1500}, {2, 1700}}});
}

// As many rows as sequences, but not one of each: several rows of one see different numbers of keys.
TEST_F(PagedAttentionTest, RowsOfOneSequenceInAStepOfManySequences) {
  Check({7, 1, 64, 16, kBF16, kBF16, {{4, 700}, {0, 5}, {0, 0}, {1, 20}, {1, 3}, {0, 1}}});
  Check({2, 2, 32, 8, kBF16, kBF16, {{0, 0}, {20, 30}, {0, 0}, {0, 12}, {10, 300}}, true});
}

TEST_F(PagedAttentionTest, ManySequences) {
  for (const int64_t long_ones : {0, 3}) {
    Shape s = {4, 2, 32, 8, kBF16, kBF16, {}};
    for (int i = 0; i < 170; ++i) {
      const int64_t context = RandomInt(1, 100);
      s.sequences.push_back({i < long_ones ? context : i % 9 == 4 ? 0 : 1, context});
    }
    std::shuffle(s.sequences.begin(), s.sequences.end(), random_);
    Check(s);
  }
}

TEST_F(PagedAttentionTest, HeadsOfAnySize) {
  for (const int64_t dim : {1, 3, 8, 31, 33, 100, 112, 160, 256, 511, 512}) {
    for (const DType out : {kF32, kBF16}) {
      for (const DType cache : {kF32, kBF16}) Check({3, 1, dim, 16, cache, out, {{1, 40}, {3, 17}}, dim % 2 == 0});
    }
  }
}

TEST_F(PagedAttentionTest, RandomBatches) {
  for (int i = 0; i < 12; ++i) {
    Shape s = {0, RandomInt(1, 4), RandomInt(1, 130), RandomInt(1, 40), kF32, kF32, {}};
    s.heads = s.kv_heads * RandomInt(1, 7);
    if (i % 2 == 1) s.cache = s.out = kBF16;
    for (int64_t n = RandomInt(1, 5); n > 0; --n) {
      const int64_t context = RandomInt(1, 300);
      s.sequences.push_back({RandomInt(1, std::min<int64_t>(context, 40)), context});
    }
    Check(s);
  }
}

TEST_F(PagedAttentionTest, WrongArgumentsAreRefused) {
  const Shape shape = {4, 2, 8, 4, kF32, kF32, {{2, 6}}};
  Layout(shape);
  Storage q(device(), kF32, 2, 32), out(device(), kF32, 2, 32), k(device(), kF32, 1, 16);
  const DeviceBuffer scratch(device(), AttentionScratchBytes(device(), 8));
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  const auto code = [&](const PagedSequence& sequence, const std::vector<int32_t>& table, int64_t heads,
                        const KvView& kv) {
    const std::vector<PagedSequence> sequences = {sequence};
    const auto table_size = static_cast<int64_t>(table.size());
    const absl::Status status = CheckSequences(sequences, table, table_size, 2, kv);
    if (!status.ok()) return status.code();
    const DeviceValues<PagedSequence> on_device(device(), sequences);
    const DeviceValues<int32_t> tables(device(), table);
    return PagedAttention(device(), {.q = q.view(),
                                     .sequences = on_device.array(),
                                     .block_tables = tables.array(),
                                     .table_size = table_size,
                                     .heads = heads,
                                     .kv = kv,
                                     .out = out.view(),
                                     .scratch = scratch.span()})
        .code();
  };
  const std::vector<int32_t> good = {0, 1}, outside = {0, static_cast<int32_t>(kv_.blocks)}, negative = {-1, 0},
                             few = {0};
  EXPECT_EQ(code({0, 2, 6}, good, 4, kv_), absl::StatusCode::kOk);
  EXPECT_EQ(code({0, 2, 6}, outside, 4, kv_), kInvalid);
  EXPECT_EQ(code({0, 2, 6}, negative, 4, kv_), kInvalid);
  EXPECT_EQ(code({0, 2, 6}, few, 4, kv_), kInvalid);
  EXPECT_EQ(code({0, 2, 6}, {}, 4, kv_), kInvalid);
  EXPECT_EQ(code({0, 3, 6}, good, 4, kv_), kInvalid);
  EXPECT_EQ(code({1, 2, 6}, good, 4, kv_), kInvalid);
  EXPECT_EQ(code({0, 2, 1}, good, 4, kv_), kInvalid);
  EXPECT_EQ(code({0, 2, INT64_MAX}, good, 4, kv_), kInvalid);
  EXPECT_EQ(code({0, 2, 6}, good, 3, kv_), kInvalid);
  EXPECT_EQ(code({0, 2, 6}, good, 2, kv_), kInvalid);
  KvView wrong = kv_;
  wrong.block_bytes /= 2;
  EXPECT_EQ(code({0, 2, 6}, good, 4, wrong), kInvalid);
  wrong = kv_;
  wrong.base = {};
  EXPECT_EQ(code({0, 2, 6}, good, 4, wrong), kInvalid);
  for (const int64_t slot : {int64_t{-1}, kv_.blocks * kv_.block_size}) {
    const std::vector<int64_t> slots = {slot};
    EXPECT_EQ(CheckSlots(slots, kv_).code(), kInvalid);
  }
  EXPECT_EQ(PagedKvWrite(device(), {.k = k.view(), .v = k.view(), .slots = {k.view().data, 2}, .kv = kv_}).code(),
            kInvalid);
}

}  // namespace
}  // namespace headroom::runtime
