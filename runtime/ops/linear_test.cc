#include "runtime/ops/linear.h"

#include <string>

#include "runtime/cpu/cpu_device.h"
#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

struct Case {
  int64_t m, n, k;
  DType dtype;
  bool bias, accumulate, kn;
};

class LinearTest : public OpTest {
 protected:
  void Check(const Case& c) {
    SCOPED_TRACE(absl::StrCat("m=", c.m, " n=", c.n, " k=", c.k, " ", DTypeName(c.dtype), " bias=", c.bias,
                              " accumulate=", c.accumulate, " kn=", c.kn));
    const int64_t spare = LinearRows(device(), c.m) - c.m;
    Storage x(device(), c.dtype, c.m, c.k, 0, spare), y(device(), DType::kF32, c.m, c.n, 0, spare);
    Storage w(device(), c.dtype, c.kn ? c.k : c.n, c.kn ? c.n : c.k);
    x.Fill(Random(c.m * c.k));
    w.Fill(Random(c.n * c.k));
    y.Fill(Random(c.m * c.n));
    const std::vector<float> bias = Random(c.n);
    const DeviceFloats device_bias(device(), bias);
    std::vector<double> want(static_cast<size_t>(c.m * c.n));
    for (int64_t i = 0; i < c.m; ++i) {
      for (int64_t j = 0; j < c.n; ++j) {
        double sum = (c.bias ? bias[static_cast<size_t>(j)] : 0.0) + (c.accumulate ? y.Get(i, j) : 0.0);
        for (int64_t k = 0; k < c.k; ++k) sum += double{x.Get(i, k)} * (c.kn ? w.Get(k, j) : w.Get(j, k));
        want[static_cast<size_t>(i * c.n + j)] = sum;
      }
    }
    auto bytes = PrepareLinear(device(), {.n = c.n,
                                          .k = c.k,
                                          .dtype = c.dtype,
                                          .rows_max = c.m,
                                          .bias = c.bias,
                                          .accumulate = c.accumulate,
                                          .weight_is_kn = c.kn});
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    const DeviceBuffer scratch(device(), *bytes);
    const absl::Status status = Linear(device(), {.x = x.view(),
                                                  .weight = w.view(),
                                                  .bias = c.bias ? device_bias.array() : DeviceArray<const float>(),
                                                  .y = y.view(),
                                                  .accumulate = c.accumulate,
                                                  .weight_is_kn = c.kn,
                                                  .scratch = scratch.span()});
    ASSERT_TRUE(status.ok()) << status;
    // Products of bf16 are exact in f32, so both types sum with f32 error alone.
    EXPECT_LT(RelativeError(y, want), 1e-6);
  }
};

TEST_F(LinearTest, AgreesWithDoubleOnOddShapes) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 17, 63, 100}) {
      Check({m, 63, 100, dtype, true, false, false});
      Check({m, 100, 33, dtype, false, true, false});
      Check({m, 17, 515, dtype, true, true, false});
      Check({m, 1, 1, dtype, false, false, false});
      Check({m, 130, 257, dtype, false, false, true});
      Check({m, 63, 100, dtype, true, true, true});
    }
  }
}

TEST_F(LinearTest, AgreesWithDoubleOnModelLikeShapes) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Check({1, 512, 3584, dtype, true, false, false});
    Check({8, 1152, 4304, dtype, true, true, false});
    Check({70, 304, 1152, dtype, true, true, false});
    for (const bool bias : {false, true}) {
      for (const bool accumulate : {false, true}) {
        for (const bool kn : {false, true}) {
          for (const int64_t m : {3, 9, 72}) Check({m, 64, 136, dtype, bias, accumulate, kn});
        }
      }
    }
  }
}

TEST_F(LinearTest, RowsDoNotDependOnOtherRows) {
  const int64_t n = 96, k = 200, m = 40;
  Storage x(device(), DType::kBF16, m, k), w(device(), DType::kBF16, n, k), y(device(), DType::kF32, m, n);
  x.Fill(Random(m * k));
  w.Fill(Random(n * k));
  auto bytes = PrepareLinear(device(), {.n = n, .k = k, .dtype = DType::kBF16, .rows_max = m});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const DeviceBuffer scratch(device(), *bytes);
  ASSERT_TRUE(Linear(device(), {.x = x.view(), .weight = w.view(), .y = y.view(), .scratch = scratch.span()}).ok());
  for (int64_t i = 0; i < m; ++i) {
    Storage one(device(), DType::kF32, 1, n);
    ASSERT_TRUE(
        Linear(device(), {.x = x.view().RowRange(i, 1), .weight = w.view(), .y = one.view(), .scratch = scratch.span()})
            .ok());
    std::vector<double> want;
    for (int64_t j = 0; j < n; ++j) want.push_back(y.Get(i, j));
    EXPECT_LT(RelativeError(one, want), 1e-6) << "row " << i;
  }
}

TEST_F(LinearTest, StridedRowsWork) {
  // Rows of y at any place, and at multiples of 16 bytes, which libraries ask for.
  for (const auto& [m, gap] : {std::pair<int64_t, int64_t>{5, 3}, {24, 3}, {24, 4}}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const int64_t n = 40, k = 72;
      Storage x(device(), dtype, m, k, 8), w(device(), dtype, n, k), y(device(), DType::kF32, m, n, gap);
      x.Fill(Random(m * k));
      w.Fill(Random(n * k));
      auto bytes = PrepareLinear(
          device(), {.n = n, .k = k, .dtype = dtype, .rows_max = m, .x_row_stride = k + 8, .y_row_stride = n + gap});
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      const DeviceBuffer scratch(device(), *bytes);
      ASSERT_TRUE(Linear(device(), {.x = x.view(), .weight = w.view(), .y = y.view(), .scratch = scratch.span()}).ok());
      std::vector<double> want;
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t c = 0; c < k; ++c) sum += double{x.Get(i, c)} * w.Get(j, c);
          want.push_back(sum);
        }
      }
      EXPECT_LT(RelativeError(y, want), 1e-6);
      EXPECT_TRUE(y.GapsUntouched());
    }
  }
}

TEST_F(LinearTest, NoRowsIsNoWork) {
  Storage x(device(), DType::kF32, 0, 4), w(device(), DType::kF32, 3, 4), y(device(), DType::kF32, 0, 3);
  EXPECT_TRUE(Linear(device(), {.x = x.view(), .weight = w.view(), .y = y.view()}).ok());
}

TEST_F(LinearTest, WrongArgumentsAreRefused) {
  Storage x(device(), DType::kF32, 2, 4), w(device(), DType::kF32, 3, 4), y(device(), DType::kF32, 2, 3),
      narrow(device(), DType::kF32, 2, 2);
  Storage half(device(), DType::kBF16, 2, 4), strided(device(), DType::kF32, 3, 4, 2),
      short_y(device(), DType::kF32, 1, 3);
  const auto code = [&](const LinearArgs& args) { return Linear(device(), args).code(); };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code({.x = half.view(), .weight = w.view(), .y = y.view()}), kInvalid);
  EXPECT_EQ(code({.x = narrow.view(), .weight = w.view(), .y = y.view()}), kInvalid);
  EXPECT_EQ(code({.x = x.view(), .weight = w.view(), .y = narrow.view()}), kInvalid);
  EXPECT_EQ(code({.x = x.view(), .weight = w.view(), .y = short_y.view()}), kInvalid);
  EXPECT_EQ(code({.x = x.view(), .weight = strided.view(), .y = y.view()}), kInvalid);
  EXPECT_EQ(code({.x = x.view(), .weight = w.view(), .y = half.view()}), kInvalid);
  EXPECT_EQ(code({.x = ConstMatrix{}, .weight = w.view(), .y = y.view()}), kInvalid);
  EXPECT_EQ(PrepareLinear(device(), {.n = 0, .k = 4}).status().code(), kInvalid);
  EXPECT_EQ(PrepareLinear(device(), {.n = 3, .k = 4, .dtype = DType::kI32}).status().code(), kInvalid);
  EXPECT_EQ(PrepareLinear(device(), {.n = 3, .k = int64_t{1} << 40}).status().code(), kInvalid);
}

TEST_F(LinearTest, TooLittleScratchIsRefused) {
  const int64_t m = 64, n = 256, k = 512;
  auto bytes = PrepareLinear(device(), {.n = n, .k = k, .dtype = DType::kBF16, .rows_max = m});
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  if (*bytes == 0) GTEST_SKIP() << "this product needs no scratch";
  Storage x(device(), DType::kBF16, m, k), w(device(), DType::kBF16, n, k), y(device(), DType::kF32, m, n);
  absl::Status status = Linear(device(), {.x = x.view(), .weight = w.view(), .y = y.view()});
  if (status.ok()) status = device().Wait();  // a lane may say so late
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
}

using LinearRowsTest = OpTest;

TEST_F(LinearRowsTest, IsAFixedPointRisingWithLittleWaste) {
  int64_t last = 0;
  for (int64_t m = 0; m < 70000; ++m) {
    const int64_t rows = LinearRows(device(), m);
    ASSERT_GE(rows, m);
    ASSERT_EQ(LinearRows(device(), rows), rows);
    ASSERT_GE(rows, last);
    if (m <= 8) {
      ASSERT_EQ(rows, m);
    }
    if (m > 64) {
      ASSERT_LE((rows - m) * 8, m);
    }
    last = rows;
  }
}

TEST_F(LinearTest, WhatIsDescribedIsWhatIsPrepared) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const bool weight_is_kn : {false, true}) {
      for (const int64_t rows : {1, 8, 9, 64, 1100}) {
        const LinearSpec spec = {
            .n = 192, .k = 128, .dtype = dtype, .rows_max = rows, .bias = true, .weight_is_kn = weight_is_kn};
        const auto needs = DescribeLinear(device().sizes(), spec);
        const auto scratch = PrepareLinear(device(), spec);
        ASSERT_TRUE(needs.ok() && scratch.ok()) << needs.status() << scratch.status();
        EXPECT_EQ(needs->scratch_bytes, *scratch) << rows;
        int64_t buckets = 0;
        for (int64_t m = weight_is_kn ? 1 : 9; m <= LinearRows(device(), rows); m = LinearRows(device(), m) + 1)
          ++buckets;
        // All of the buckets on oneDNN, or none of them.
        if (needs->library_bytes > 0) {
          EXPECT_EQ(needs->library_bytes, buckets * cpu::kPrimitiveBytes) << rows;
        }
      }
    }
  }
  EXPECT_FALSE(DescribeLinear(device().sizes(), {.n = 0, .k = 1, .rows_max = 1}).ok());
}

}  // namespace
}  // namespace headroom::runtime
