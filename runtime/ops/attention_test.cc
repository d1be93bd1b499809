#include "runtime/ops/attention.h"

#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

struct Shape {
  int64_t heads, dim;
  std::vector<AttentionSegment> segments;
  int64_t queries, keys, outputs;
  bool packed = false;  // rows lie one behind the other: every head at a multiple of its size
};

class AttentionTest : public OpTest {
 protected:
  void Check(const Shape& s, DType dtype, float scale) {
    SCOPED_TRACE(absl::StrCat("heads=", s.heads, " dim=", s.dim, " ", DTypeName(dtype), " scale=", scale));
    const int64_t cols = s.heads * s.dim;
    const auto gap = [&](int64_t elements) { return s.packed ? 0 : elements; };
    Storage q(device(), DType::kF32, s.queries, cols, gap(5)), k(device(), DType::kF32, s.keys, cols, gap(2)),
        v(device(), DType::kF32, s.keys, cols, gap(9));
    Storage out(device(), dtype, s.outputs, cols, gap(4));
    q.Fill(Random(s.queries * cols));
    k.Fill(Random(s.keys * cols));
    v.Fill(Random(s.keys * cols));
    std::vector<double> want(static_cast<size_t>(s.outputs * cols), double{Storage::kSentinel});
    const std::vector<float> queries = q.Values(), keys = k.Values(), values = v.Values();
    for (const AttentionSegment& segment : s.segments) {
      for (int64_t i = 0; i < segment.q_count; ++i) Reference(s, segment, i, scale, queries, keys, values, &want);
    }
    const DeviceBuffer scratch(device(), AttentionScratchBytes(device(), s.dim));
    ASSERT_TRUE(CheckSegments(s.segments, s.queries, s.keys, s.outputs).ok());
    const DeviceValues<AttentionSegment> segments(device(), s.segments);
    const absl::Status status = Attention(device(), {.q = q.view(),
                                                     .k = k.view(),
                                                     .v = v.view(),
                                                     .segments = segments.array(),
                                                     .heads = s.heads,
                                                     .head_dim = s.dim,
                                                     .scale = scale,
                                                     .out = out.view(),
                                                     .scratch = scratch.span()});
    ASSERT_TRUE(status.ok()) << status;
    // bf16 rounds q, k, v and the weights on top of the result.
    EXPECT_LT(RelativeError(out, want), dtype == DType::kF32 ? 2e-6 : 8e-3);
    EXPECT_TRUE(out.GapsUntouched());
  }

  static void Reference(const Shape& s, const AttentionSegment& segment, int64_t i, float scale,
                        const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v,
                        std::vector<double>* want) {
    const auto dim = static_cast<size_t>(s.dim), stride = static_cast<size_t>(s.heads) * dim;
    const int64_t out_row = (segment.out_begin < 0 ? segment.q_begin : segment.out_begin) + i;
    const float* const query = q.data() + static_cast<size_t>(segment.q_begin + i) * stride;
    const size_t first = static_cast<size_t>(segment.k_begin) * stride;
    for (size_t column = 0; column < stride; column += dim) {
      std::vector<double> weights(static_cast<size_t>(segment.k_count)), values(dim);
      double largest = -INFINITY, sum = 0;
      for (size_t j = 0; j < weights.size(); ++j) {
        double score = 0;
        for (size_t c = column; c < column + dim; ++c) score += double{query[c]} * k[first + j * stride + c];
        weights[j] = score * scale;
        largest = std::max(largest, weights[j]);
      }
      for (double& w : weights) sum += w = std::exp(w - largest);
      for (size_t j = 0; j < weights.size(); ++j) {
        for (size_t c = 0; c < dim; ++c) values[c] += weights[j] * v[first + j * stride + column + c];
      }
      for (size_t c = 0; c < dim; ++c) (*want)[static_cast<size_t>(out_row) * stride + column + c] = values[c] / sum;
    }
  }
};

TEST_F(AttentionTest, OneSegmentOfEachSize) {
  for (const int64_t dim : {1, 8, 17, 48, 72, 128}) {
    for (const int64_t n : {1, 7, 8, 9, 15, 17, 63, 100}) {
      const Shape shape = {2, dim, {{0, n, 0, n}}, n, n, n};
      for (const DType dtype : {DType::kF32, DType::kBF16})
        Check(shape, dtype, 1.0f / std::sqrt(static_cast<float>(dim)));
    }
  }
}

// Of families that are served and planned, and of the tests' models: devices may have kernels of their own for them.
TEST_F(AttentionTest, HeadSizesOfModels) {
  const std::vector<AttentionSegment> segments = {{0, 1, 0, 1, 0},    {1, 17, 1, 33, 1},    {0, 16, 30, 64, 18},
                                                  {3, 8, 5, 65, 34},  {18, 33, 94, 31, 42}, {51, 129, 10, 130, 75},
                                                  {180, 0, 0, 0, 80}, {180, 1, 0, 140, 205}};
  std::vector<AttentionSegment> many;
  for (int64_t i = 0; i < 141; ++i) many.push_back({i, i % 3 == 2 ? 1 : 0, i % 80, 1 + i % 50});
  for (const int64_t dim : {32, 64, 72, 80, 96, 128}) {
    Check({1, dim, many, 141, 140, 141}, DType::kBF16, 0.11f);
    for (const bool packed : {false, true}) {
      // Row 204 of the output belongs to no segment.
      Check({3, dim, segments, 181, 140, 206, packed}, DType::kBF16, 0.11f);
    }
    Check({1, dim, {{0, 20, 0, 40}}, 20, 40, 20, true}, DType::kF32, 0.11f);
  }
}

TEST_F(AttentionTest, HeadsOfAnySize) {
  for (const int64_t dim : {1, 2, 3, 31, 33, 40, 100, 112, 160, 255, 256, 384, 511, 512}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      Check({2, dim, {{0, 5, 0, 37}, {5, 17, 3, 32}}, 22, 37, 22, dim % 2 == 0}, dtype, 0.07f);
    }
  }
}

TEST_F(AttentionTest, ManyShortSegments) {
  Shape shape = {2, 64, {}, 0, 0, 0};
  for (int i = 0; i < 75; ++i) {
    const int64_t queries = i % 11 == 3 ? 0 : RandomInt(1, 9), keys = RandomInt(1, 12);
    shape.segments.push_back({shape.queries, queries, shape.keys, keys});
    shape.queries += queries + i % 2;  // a row between segments stays as it is
    shape.keys += keys;
  }
  shape.outputs = shape.queries;
  for (const DType dtype : {DType::kF32, DType::kBF16}) Check(shape, dtype, 0.2f);
}

TEST_F(AttentionTest, LongSegmentsCrossBlocksAndUnits) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Check({3, 72, {{0, 300, 0, 300}}, 300, 300, 300}, dtype, 0.1f);
    Check({1, 128, {{0, 5, 0, 700}}, 5, 700, 5}, dtype, 0.08f);
    Check({1, 512, {{0, 40, 0, 130}}, 40, 130, 40}, dtype, 0.04f);
  }
}

TEST_F(AttentionTest, PackedSegmentsDoNotSeeEachOther) {
  // Rows 40 and 41 of the output belong to no segment and keep their contents; one segment is empty.
  const std::vector<AttentionSegment> segments = {{0, 33, 0, 33}, {33, 7, 33, 7}, {42, 100, 40, 100}, {40, 0, 0, 0}};
  for (const DType dtype : {DType::kF32, DType::kBF16}) Check({2, 48, segments, 142, 140, 142}, dtype, 0.15f);
}

TEST_F(AttentionTest, SegmentsMayShareQueries) {
  const std::vector<AttentionSegment> segments = {{0, 16, 0, 20, 0}, {0, 16, 20, 150, 16}, {0, 16, 5, 1, 32}};
  for (const DType dtype : {DType::kF32, DType::kBF16}) Check({2, 128, segments, 16, 170, 48}, dtype, 0.09f);
}

TEST_F(AttentionTest, SharpScoresStayFinite) {
  // Scores of some hundreds: the weights of all keys but one vanish.
  Check({1, 64, {{0, 20, 0, 200}}, 20, 200, 20}, DType::kF32, 20.0f);
  Check({1, 64, {{0, 20, 0, 200}}, 20, 200, 20}, DType::kF32, -1.0f);
  Check({1, 64, {{0, 20, 0, 200}}, 20, 200, 20}, DType::kBF16, -0.2f);
}

TEST_F(AttentionTest, WrongArgumentsAreRefused) {
  Storage q(device(), DType::kF32, 4, 16), out(device(), DType::kF32, 4, 16), narrow(device(), DType::kF32, 4, 8);
  const DeviceBuffer scratch(device(), AttentionScratchBytes(device(), 8));
  const auto code = [&](std::vector<AttentionSegment> segments, int64_t heads, int64_t dim, Matrix k, float scale,
                        DeviceSpan memory) {
    if (const absl::Status status = CheckSegments(segments, 4, k.rows, 4); !status.ok()) return status.code();
    const DeviceValues<AttentionSegment> on_device(device(), segments);
    return Attention(device(), {.q = q.view(),
                                .k = k,
                                .v = q.view(),
                                .segments = on_device.array(),
                                .heads = heads,
                                .head_dim = dim,
                                .scale = scale,
                                .out = out.view(),
                                .scratch = memory})
        .code();
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr int64_t kHuge = INT64_MAX;
  EXPECT_EQ(code({{0, 4, 0, 4}}, 2, 8, q.view(), 1, scratch.span()), absl::StatusCode::kOk);
  EXPECT_EQ(code({}, 2, 8, q.view(), 1, scratch.span()), absl::StatusCode::kOk);
  for (const AttentionSegment& bad : {AttentionSegment{0, 5, 0, 4},
                                      {0, 4, 0, 5},
                                      {-1, 2, 0, 4},
                                      {2, 3, 0, 4},
                                      {0, 4, 0, 0},
                                      {0, 4, 0, 4, 1},
                                      {kHuge, 4, 0, 4},
                                      {0, kHuge, 0, 4},
                                      {0, 4, kHuge, kHuge}}) {
    EXPECT_EQ(code({bad}, 2, 8, q.view(), 1, scratch.span()), kInvalid);
  }
  EXPECT_EQ(code({{0, 4, 0, 4}}, 3, 8, q.view(), 1, scratch.span()), kInvalid);
  EXPECT_EQ(code({{0, 4, 0, 4}}, 0, 8, q.view(), 1, scratch.span()), kInvalid);
  EXPECT_EQ(code({{0, 4, 0, 4}}, 2, 8, narrow.view(), 1, scratch.span()), kInvalid);
  EXPECT_EQ(code({{0, 4, 0, 4}}, 2, 8, q.view(), NAN, scratch.span()), kInvalid);
  EXPECT_EQ(code({{0, 4, 0, 4}}, 2, 8, q.view(), 1, scratch.span().Sub(0, 64)), kInvalid);
  EXPECT_EQ(code({{0, 4, 0, 4}}, 2, 8, q.view(), 1, scratch.span().Sub(4, scratch.bytes() - 4)), kInvalid);
}

}  // namespace
}  // namespace headroom::runtime
