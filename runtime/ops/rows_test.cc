// Norms, activations, sums, gathers, rope: each against its formula in double.
#include <functional>

#include "runtime/ops/elementwise.h"
#include "runtime/ops/gather.h"
#include "runtime/ops/norm.h"
#include "runtime/ops/positions.h"
#include "runtime/testing.h"

namespace headroom::runtime {
namespace {

constexpr int64_t kWidths[] = {1, 7, 8, 9, 15, 16, 17, 63, 64, 100, 1152, 3584};
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class RowsTest : public OpTest {
 protected:
  // want(row, col) for every element of y.
  void Expect(const Storage& y, DType dtype, const std::function<double(int64_t, int64_t)>& want) {
    std::vector<double> values;
    for (int64_t r = 0; r < y.rows(); ++r) {
      for (int64_t c = 0; c < y.cols(); ++c) values.push_back(want(r, c));
    }
    EXPECT_LT(RelativeError(y, values), Tolerance(dtype));
    EXPECT_TRUE(y.GapsUntouched());
  }
};

TEST_F(RowsTest, LayerNorm) {
  for (const int64_t d : kWidths) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(absl::StrCat("d=", d, " ", DTypeName(dtype)));
      Storage x(device(), DType::kF32, 5, d, 3), y(device(), dtype, 5, d, 5);
      x.Fill(Random(5 * d, 3.0f));
      for (int64_t c = 0; c < d; ++c) x.Set(1, c, x.Get(1, c) + 50.0f);
      const std::vector<float> gain = Random(d), bias = Random(d);
      const DeviceFloats device_gain(device(), gain), device_bias(device(), bias);
      ASSERT_TRUE(
          LayerNorm(
              device(),
              {.x = x.view(), .gain = device_gain.array(), .bias = device_bias.array(), .eps = 1e-6f, .y = y.view()})
              .ok());
      std::vector<double> mean(5), factor(5);
      for (int64_t r = 0; r < 5; ++r) {
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < d; ++c) sum += x.Get(r, c);
        mean[r] = sum / d;
        for (int64_t c = 0; c < d; ++c) squares += (x.Get(r, c) - mean[r]) * (x.Get(r, c) - mean[r]);
        factor[r] = 1 / std::sqrt(squares / d + 1e-6);
      }
      // A mean far from 0 costs digits in any f32 arithmetic: the error is that of x, not of the normed value.
      const double slack = 10;
      std::vector<double> want;
      for (int64_t r = 0; r < 5; ++r) {
        for (int64_t c = 0; c < d; ++c) want.push_back((x.Get(r, c) - mean[r]) * factor[r] * gain[c] + bias[c]);
      }
      EXPECT_LT(RelativeError(y, want), dtype == DType::kF32 ? slack * 1e-6 : Tolerance(dtype));
      EXPECT_TRUE(y.GapsUntouched());
    }
  }
}

TEST_F(RowsTest, RmsNorm) {
  for (const int64_t d : kWidths) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(absl::StrCat("d=", d, " ", DTypeName(dtype)));
      Storage x(device(), DType::kF32, 4, d, 1), y(device(), dtype, 4, d, 2);
      x.Fill(Random(4 * d, 2.0f));
      const std::vector<float> gain = Random(d);
      const DeviceFloats device_gain(device(), gain);
      ASSERT_TRUE(RmsNorm(device(), {.x = x.view(), .gain = device_gain.array(), .eps = 1e-6f, .y = y.view()}).ok());
      Expect(y, dtype, [&](int64_t r, int64_t c) {
        double squares = 0;
        for (int64_t i = 0; i < d; ++i) squares += double{x.Get(r, i)} * x.Get(r, i);
        return x.Get(r, c) / std::sqrt(squares / d + 1e-6) * gain[c];
      });
    }
  }
}

// Each head of a row on its own, in the middle of wider rows, in place: as queries and keys lie in qkv.
TEST_F(RowsTest, RmsNormOfGroups) {
  constexpr int64_t kGroups = 3, kBefore = 5;
  for (const int64_t d : {int64_t{1}, int64_t{36}, int64_t{40}, int64_t{128}}) {
    SCOPED_TRACE(d);
    Storage x(device(), DType::kF32, 4, kBefore + kGroups * d + 2, 1);
    const std::vector<float> values = Random(4 * x.view().cols, 2.0f), gain = Random(d);
    x.Fill(values);
    const DeviceFloats device_gain(device(), gain);
    const Matrix heads = x.view().ColRange(kBefore, kGroups * d);
    ASSERT_TRUE(
        RmsNorm(device(), {.x = heads, .gain = device_gain.array(), .eps = 1e-5f, .groups = kGroups, .y = heads}).ok());
    for (int64_t r = 0; r < 4; ++r) {
      const float* row = values.data() + r * x.view().cols;
      for (int64_t c = 0; c < x.view().cols; ++c) {
        double want = row[c];
        if (c >= kBefore && c < kBefore + kGroups * d) {
          const float* group = row + kBefore + (c - kBefore) / d * d;
          double squares = 0;
          for (int64_t i = 0; i < d; ++i) squares += double{group[i]} * group[i];
          want =
              want / std::sqrt(squares / static_cast<double>(d) + 1e-5) * gain[static_cast<size_t>((c - kBefore) % d)];
        }
        ASSERT_NEAR(x.Get(r, c), want, 1e-5 * std::abs(want) + 1e-6) << r << " " << c;
      }
    }
    const auto uneven = RmsNorm(device(), {.x = x.view(), .gain = device_gain.array(), .groups = 0, .y = x.view()});
    EXPECT_EQ(uneven.code(), absl::StatusCode::kInvalidArgument);
  }
}

// Where eps counts as much as the row.
TEST_F(RowsTest, NormsOfSmallRows) {
  constexpr int64_t kCols = 64;
  Storage x(device(), DType::kF32, 2, kCols), rms(device(), DType::kF32, 2, kCols),
      layer(device(), DType::kF32, 2, kCols);
  x.Fill(Random(2 * kCols, 1e-3f));
  const DeviceFloats gain(device(), std::vector<float>(kCols, 1.0f));
  ASSERT_TRUE(RmsNorm(device(), {.x = x.view(), .gain = gain.array(), .eps = 1e-6f, .y = rms.view()}).ok());
  ASSERT_TRUE(LayerNorm(device(), {.x = x.view(), .gain = gain.array(), .eps = 1e-6f, .y = layer.view()}).ok());
  std::vector<double> want_rms, want_layer;
  for (int64_t r = 0; r < 2; ++r) {
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < kCols; ++c) sum += x.Get(r, c), squares += double{x.Get(r, c)} * x.Get(r, c);
    const double mean = sum / kCols;
    for (int64_t c = 0; c < kCols; ++c) {
      want_rms.push_back(x.Get(r, c) / std::sqrt(squares / kCols + 1e-6));
      want_layer.push_back((x.Get(r, c) - mean) / std::sqrt(squares / kCols - mean * mean + 1e-6));
    }
  }
  EXPECT_LT(RelativeError(rms, want_rms), 1e-5);
  EXPECT_LT(RelativeError(layer, want_layer), 1e-5);
}

TEST_F(RowsTest, NormsInPlace) {
  Storage x(device(), DType::kF32, 3, 100);
  x.Fill(Random(300));
  const DeviceFloats gain(device(), Random(100));
  Storage y(device(), DType::kF32, 3, 100);
  ASSERT_TRUE(RmsNorm(device(), {.x = x.view(), .gain = gain.array(), .y = y.view()}).ok());
  ASSERT_TRUE(RmsNorm(device(), {.x = x.view(), .gain = gain.array(), .y = x.view()}).ok());
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t c = 0; c < 100; ++c) ASSERT_EQ(x.Get(r, c), y.Get(r, c));
  }
}

TEST_F(RowsTest, GeluTanhOverItsWholeRange) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const int64_t n = 4001;
    Storage x(device(), DType::kF32, 1, n), y(device(), dtype, 1, n);
    for (int64_t i = 0; i < n; ++i) x.Set(0, i, static_cast<float>(i - 2000) * 0.005f);
    ASSERT_TRUE(GeluTanh(device(), {.x = x.view(), .y = y.view()}).ok());
    for (int64_t i = 0; i < n; ++i) {
      const double v = x.Get(0, i);
      const double u = std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
      const double want = v / (1 + std::exp(-2 * u));
      // In the far negative tail the argument of the exponential is large and its rounding counts.
      const double bound = dtype == DType::kBF16 ? 8e-3 : 4e-7 + 3e-7 * std::max(0.0, -u);
      ASSERT_NEAR(y.Get(0, i), want, bound * std::abs(want) + 1e-30) << v;
    }
  }
}

TEST_F(RowsTest, GeluErfOverItsWholeRange) {
  for (const int64_t n : {4001, 4004}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      Storage x(device(), DType::kF32, 1, n), y(device(), dtype, 1, n);
      for (int64_t i = 0; i < n; ++i) x.Set(0, i, static_cast<float>(i - 2000) * 0.005f);
      ASSERT_TRUE(GeluErf(device(), {.x = x.view(), .y = y.view()}).ok());
      for (int64_t i = 0; i < n; ++i) {
        const double v = x.Get(0, i), want = 0.5 * v * std::erfc(-v / std::sqrt(2));
        ASSERT_NEAR(y.Get(0, i), want, (dtype == DType::kBF16 ? 4e-3 : 2e-7) * std::abs(want) + 4e-7) << v;
      }
    }
  }
}

TEST_F(RowsTest, RmsNormOnTopOfWhatIsThere) {
  for (const int64_t d : kWidths) {
    SCOPED_TRACE(d);
    Storage x(device(), DType::kF32, 4, d, 1), y(device(), DType::kF32, 4, d, 2), half(device(), DType::kBF16, 4, d);
    const std::vector<float> before = Random(4 * d);
    x.Fill(Random(4 * d, 2.0f));
    y.Fill(before);
    const std::vector<float> gain = Random(d);
    const DeviceFloats device_gain(device(), gain);
    RmsNormArgs args = {.x = x.view(), .gain = device_gain.array(), .eps = 1e-6f, .accumulate = true, .y = y.view()};
    ASSERT_TRUE(RmsNorm(device(), args).ok());
    Expect(y, DType::kF32, [&](int64_t r, int64_t c) {
      double squares = 0;
      for (int64_t i = 0; i < d; ++i) squares += double{x.Get(r, i)} * x.Get(r, i);
      return before[static_cast<size_t>(r * d + c)] + x.Get(r, c) / std::sqrt(squares / d + 1e-6) * gain[c];
    });
    args.y = half.view();
    EXPECT_EQ(RmsNorm(device(), args).code(), kInvalid);
  }
}

TEST_F(RowsTest, ActivationsAtTheExtremes) {
  const float values[] = {0.0f, -0.0f, 1e-20f, -1e-20f, 100.0f, -100.0f, 1e30f, -1e30f, INFINITY};
  const int64_t n = std::size(values);
  Storage x(device(), DType::kF32, 1, n), y(device(), DType::kF32, 1, n), gate_up(device(), DType::kF32, 1, 2 * n),
      z(device(), DType::kF32, 1, n), erf(device(), DType::kF32, 1, n);
  for (int64_t i = 0; i < n; ++i) {
    x.Set(0, i, values[i]);
    gate_up.Set(0, i, values[i]);
    gate_up.Set(0, n + i, 1.0f);
  }
  ASSERT_TRUE(GeluTanh(device(), {.x = x.view(), .y = y.view()}).ok());
  ASSERT_TRUE(GeluErf(device(), {.x = x.view(), .y = erf.view()}).ok());
  ASSERT_TRUE(SiluMul(device(), {.gate_up = gate_up.view(), .y = z.view()}).ok());
  for (int64_t i = 0; i < n; ++i) {
    const float want = values[i] > 50 ? values[i] : values[i] * 0.5f;
    if (values[i] < -50) {
      EXPECT_NEAR(y.Get(0, i), 0, 1e-6);
      EXPECT_NEAR(z.Get(0, i), 0, 1e-6);
      EXPECT_NEAR(erf.Get(0, i), 0, 1e-6);
    } else {
      EXPECT_EQ(y.Get(0, i), want);
      EXPECT_EQ(z.Get(0, i), want);
      EXPECT_FLOAT_EQ(erf.Get(0, i), want) << values[i];
    }
  }
  x.Set(0, 3, NAN);
  ASSERT_TRUE(GeluTanh(device(), {.x = x.view(), .y = y.view()}).ok());
  ASSERT_TRUE(GeluErf(device(), {.x = x.view(), .y = erf.view()}).ok());
  EXPECT_TRUE(std::isnan(y.Get(0, 3)));
  EXPECT_TRUE(std::isnan(erf.Get(0, 3)));
}

TEST_F(RowsTest, SiluMul) {
  for (const int64_t d : kWidths) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      Storage x(device(), DType::kF32, 6, 2 * d, 4), y(device(), dtype, 6, d, 1);
      x.Fill(Random(12 * d, 4.0f));
      ASSERT_TRUE(SiluMul(device(), {.gate_up = x.view(), .y = y.view()}).ok());
      Expect(y, dtype, [&](int64_t r, int64_t c) {
        const double g = x.Get(r, c);
        return g / (1 + std::exp(-g)) * x.Get(r, d + c);
      });
    }
  }
}

// A device may take several values at a time where columns and strides allow it: the results are those of rows that lie
// at odd places.
TEST_F(RowsTest, StridesDoNotMatter) {
  for (const int64_t d : {4, 100, 1152, 3584}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(absl::StrCat("d=", d, " ", DTypeName(dtype)));
      const std::vector<float> values = Random(6 * d), table_values = Random(4 * d);
      const DeviceFloats gain(device(), Random(d)), bias(device(), Random(d));
      const DeviceValues<int32_t> index(device(), {3, 0, 2, 2, 1, 0});
      std::vector<Storage> results;
      for (const int64_t gap : {3, 4}) {
        Storage x(device(), DType::kF32, 6, d, gap), gate_up(device(), DType::kF32, 3, 2 * d, gap),
            table(device(), dtype, 4, d, gap);
        x.Fill(values);
        gate_up.Fill(values);
        table.Fill(table_values);
        const auto result = [&](DType type, const auto& operation) {
          results.emplace_back(device(), type, 6, d, gap);
          results.back().Fill(values);
          const absl::Status status = operation(results.back().view());
          EXPECT_TRUE(status.ok()) << status;
          EXPECT_TRUE(results.back().GapsUntouched());
        };
        result(dtype, [&](const Matrix& y) {
          return LayerNorm(device(), {.x = x.view(), .gain = gain.array(), .bias = bias.array(), .y = y});
        });
        result(dtype,
               [&](const Matrix& y) { return LayerNorm(device(), {.x = x.view(), .gain = gain.array(), .y = y}); });
        result(dtype,
               [&](const Matrix& y) { return RmsNorm(device(), {.x = x.view(), .gain = gain.array(), .y = y}); });
        result(dtype, [&](const Matrix& y) { return GeluTanh(device(), {.x = x.view(), .y = y}); });
        result(dtype,
               [&](const Matrix& y) { return SiluMul(device(), {.gate_up = gate_up.view(), .y = y.RowRange(2, 3)}); });
        result(dtype, [&](const Matrix& y) { return Convert(device(), {.x = x.view(), .y = y}); });
        result(DType::kF32, [&](const Matrix& y) {
          return EmbeddingGather(device(), {.ids = index.array(), .table = table.view(), .y = y});
        });
        result(DType::kF32, [&](const Matrix& y) {
          return AddGathered(device(), {.index = index.array(), .table = table.view(), .y = y});
        });
      }
      const size_t operations = results.size() / 2;
      for (size_t i = 0; i < operations; ++i) {
        std::vector<double> want;
        for (int64_t r = 0; r < 6; ++r) {
          for (int64_t c = 0; c < d; ++c) want.push_back(results[i].Get(r, c));
        }
        EXPECT_LT(RelativeError(results[operations + i], want), Tolerance(dtype)) << "operation " << i;
      }
    }
  }
}

TEST_F(RowsTest, AddGathered) {
  for (const int64_t d : kWidths) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      Storage table(device(), dtype, 11, d, 2), y(device(), DType::kF32, 70, d, 3);
      const std::vector<float> start = Random(70 * d);
      std::vector<int32_t> index;
      for (int32_t r = 0; r < 70; ++r) index.push_back(r * 7 % 11);
      table.Fill(Random(11 * d));
      y.Fill(start);
      ASSERT_TRUE(
          AddGathered(device(),
                      {.index = DeviceValues<int32_t>(device(), index).array(), .table = table.view(), .y = y.view()})
              .ok());
      Expect(y, DType::kF32, [&](int64_t r, int64_t c) { return double{start[r * d + c]} + table.Get(index[r], c); });
    }
  }
}

TEST_F(RowsTest, AddGatheredWithWeights) {
  constexpr int64_t kRows = 70, kTaps = 16;
  for (const int64_t d : kWidths) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      SCOPED_TRACE(absl::StrCat("d=", d, " ", DTypeName(dtype)));
      Storage table(device(), dtype, 11, d, d % 4 == 0 ? 4 : 2), y(device(), DType::kF32, kRows, d, d % 4 == 0 ? 4 : 3);
      const std::vector<float> start = Random(kRows * d), weights = Random(kRows * kTaps);
      std::vector<int32_t> index;
      for (int32_t i = 0; i < kRows * kTaps; ++i) index.push_back(i * 7 % 11);
      table.Fill(Random(11 * d));
      y.Fill(start);
      const DeviceValues<int32_t> device_index(device(), index);
      const DeviceFloats device_weights(device(), weights);
      AddGatheredArgs args = {.index = device_index.array(),
                              .taps = kTaps,
                              .weights = device_weights.array(),
                              .table = table.view(),
                              .y = y.view()};
      ASSERT_TRUE(AddGathered(device(), args).ok());
      Expect(y, DType::kF32, [&](int64_t r, int64_t c) {
        double sum = start[static_cast<size_t>(r * d + c)];
        for (int64_t i = r * kTaps; i < (r + 1) * kTaps; ++i) sum += double{weights[i]} * table.Get(index[i], c);
        return sum;
      });
      args.weights = {};
      EXPECT_EQ(AddGathered(device(), args).code(), kInvalid);
    }
  }
}

TEST_F(RowsTest, JoinRows) {
  for (const int64_t d : kWidths) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const int64_t group : {1, 4, 9}) {
        SCOPED_TRACE(absl::StrCat("d=", d, " ", DTypeName(dtype), " group ", group));
        Storage x(device(), DType::kF32, 3 * group, d, 3), y(device(), dtype, 3, d * group, 2);
        x.Fill(Random(3 * group * d));
        ASSERT_TRUE(JoinRows(device(), {.x = x.view(), .y = y.view()}).ok());
        Expect(y, dtype, [&](int64_t r, int64_t c) { return double{x.Get(r * group + c % group, c / group)}; });
        EXPECT_EQ(JoinRows(device(), {.x = x.view().RowRange(0, 3 * group - 1), .y = y.view()}).code(), kInvalid);
      }
    }
  }
}

TEST_F(RowsTest, ConvertRoundsToNearestEven) {
  std::vector<float> values = {0.0f,         -0.0f,   1.0f,   1.00390625f, 1.01171875f,
                               -1.00390625f, 3.4e38f, 1e-40f, INFINITY,    -INFINITY};
  for (const float v : Random(500, 100.0f)) values.push_back(v);
  const int64_t n = static_cast<int64_t>(values.size());
  Storage x(device(), DType::kF32, 1, n), half(device(), DType::kBF16, 1, n), back(device(), DType::kF32, 1, n);
  x.Fill(values);
  ASSERT_TRUE(Convert(device(), {.x = x.view(), .y = half.view()}).ok());
  ASSERT_TRUE(Convert(device(), {.x = half.view(), .y = back.view()}).ok());
  for (int64_t i = 0; i < n; ++i) {
    const float want = FromBf16(ToBf16(values[i]));
    // The processor's own conversion takes subnormal numbers for 0.
    if (std::abs(values[i]) < 1e-37f) {
      EXPECT_NEAR(back.Get(0, i), values[i], 1e-38f);
    } else {
      EXPECT_EQ(back.Get(0, i), want) << values[i];
    }
  }
  x.Set(0, 0, NAN);
  ASSERT_TRUE(Convert(device(), {.x = x.view(), .y = half.view()}).ok());
  EXPECT_TRUE(std::isnan(half.Get(0, 0)));
}

TEST_F(RowsTest, ConvertTakesEveryPairOfTypes) {
  for (const DType from : {DType::kF32, DType::kBF16}) {
    for (const DType to : {DType::kF32, DType::kBF16}) {
      for (const int64_t d : {8, 9, 1152}) {
        Storage x(device(), from, 3, d), y(device(), to, 3, d);
        x.Fill(Random(3 * d));
        ASSERT_TRUE(Convert(device(), {.x = x.view(), .y = y.view()}).ok());
        for (int64_t i = 0; i < 3 * d; ++i) {
          const float value = x.Get(i / d, i % d);
          ASSERT_EQ(y.Get(i / d, i % d), to == DType::kF32 ? value : FromBf16(ToBf16(value)));
        }
      }
    }
  }
}

TEST_F(RowsTest, EmbeddingGatherAndAddGathered) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const int64_t d : {int64_t{9}, int64_t{100}}) {
      Storage table(device(), dtype, 11, d), y(device(), DType::kF32, 4, d, 1);
      table.Fill(Random(11 * d));
      const std::vector<int32_t> ids = {10, 0, 3, 3};
      ASSERT_TRUE(CheckIndices(ids, 11).ok());
      const DeviceValues<int32_t> device_ids(device(), ids);
      ASSERT_TRUE(EmbeddingGather(device(), {.ids = device_ids.array(), .table = table.view(), .y = y.view()}).ok());
      for (int64_t r = 0; r < 4; ++r) {
        for (int64_t c = 0; c < d; ++c) ASSERT_EQ(y.Get(r, c), table.Get(ids[r], c));
      }
      ASSERT_TRUE(AddGathered(device(), {.index = device_ids.array(), .table = table.view(), .y = y.view()}).ok());
      for (int64_t r = 0; r < 4; ++r) {
        for (int64_t c = 0; c < d; ++c) ASSERT_EQ(y.Get(r, c), 2 * table.Get(ids[r], c));
      }
      for (const int32_t bad : {-1, 11}) {
        const std::vector<int32_t> wrong = {0, 1, 2, bad};
        EXPECT_EQ(CheckIndices(wrong, 11).code(), kInvalid);
      }
    }
  }
}

TEST_F(RowsTest, SineTableIsSinesThenCosines) {
  Storage table(device(), DType::kF32, 300, 8, 3);
  ASSERT_TRUE(SineTable(device(), {.table = table.view()}).ok());
  for (const int c : {0, 1, 69, 70, 299}) {
    for (int k = 0; k < 4; ++k) {
      const double angle = c * std::pow(10000.0, -k / 4.0);
      EXPECT_NEAR(table.Get(c, k), std::sin(angle), 2e-5) << c << " " << k;
      EXPECT_NEAR(table.Get(c, 4 + k), std::cos(angle), 2e-5) << c << " " << k;
    }
  }
  EXPECT_TRUE(table.GapsUntouched());
  Storage odd(device(), DType::kF32, 2, 7), half(device(), DType::kBF16, 2, 8);
  EXPECT_EQ(SineTable(device(), {.table = odd.view()}).code(), kInvalid);
  EXPECT_EQ(SineTable(device(), {.table = half.view()}).code(), kInvalid);
}

TEST_F(RowsTest, SineTableOfManyFrequencies) {
  constexpr int64_t kHalf = 700;
  Storage table(device(), DType::kF32, 2, 2 * kHalf);
  ASSERT_TRUE(SineTable(device(), {.table = table.view()}).ok());
  for (int64_t k = 0; k < kHalf; ++k) {
    const double angle = std::pow(10000.0, -static_cast<double>(k) / kHalf);
    ASSERT_EQ(table.Get(0, k), 0.0f);
    ASSERT_EQ(table.Get(0, kHalf + k), 1.0f);
    ASSERT_NEAR(table.Get(1, k), std::sin(angle), 1e-6) << k;
    ASSERT_NEAR(table.Get(1, kHalf + k), std::cos(angle), 1e-6) << k;
  }
}

TEST_F(RowsTest, FindNonFiniteInRowsOfEveryWidth) {
  for (const int64_t d : {4, 48, 1153, 3584, 5000}) {
    Storage x(device(), DType::kF32, 6, d);
    x.Fill(Random(6 * d));
    x.Set(3, d - 1, NAN);
    DeviceBuffer found(device(), 3 * sizeof(int32_t));
    ASSERT_TRUE(FindNonFinite(device(), {.x = x.view(), .group = 2, .found = {found.data(), 3}}).ok());
    std::vector<int32_t> groups(3, -1);
    found.Download(groups.data());
    EXPECT_EQ(groups, (std::vector<int32_t>{0, 1, 0})) << d;
  }
}

TEST_F(RowsTest, FindNonFiniteNamesTheGroups) {
  Storage x(device(), DType::kF32, 12, 50, 3);
  x.Fill(Random(600, 1e30f));
  x.Set(3, 49, NAN);
  x.Set(8, 0, -INFINITY);
  DeviceBuffer found(device(), 6 * sizeof(int32_t));
  ASSERT_TRUE(FindNonFinite(device(), {.x = x.view(), .group = 2, .found = {found.data(), 6}}).ok());
  std::vector<int32_t> groups(6, -1);
  found.Download(groups.data());
  EXPECT_EQ(groups, (std::vector<int32_t>{0, 1, 0, 0, 1, 0}));
  EXPECT_EQ(FindNonFinite(device(), {.x = x.view(), .group = 5, .found = {found.data(), 2}}).code(), kInvalid);
  EXPECT_EQ(FindNonFinite(device(), {.x = x.view(), .group = 0, .found = {found.data(), 6}}).code(), kInvalid);
  EXPECT_EQ(FindNonFinite(device(), {.x = x.view(), .group = 2, .found = {found.data(), 5}}).code(), kInvalid);
}

TEST_F(RowsTest, WrongArgumentsAreRefused) {
  Storage a(device(), DType::kF32, 2, 8), b(device(), DType::kF32, 2, 6), c(device(), DType::kF32, 3, 8),
      half(device(), DType::kBF16, 2, 8);
  const DeviceFloats gain(device(), std::vector<float>(8, 1.0f));
  const DeviceValues<int32_t> two_values(device(), {0, 1});
  const DeviceArray<const int32_t> two = two_values.array();
  EXPECT_EQ(LayerNorm(device(), {.x = a.view(), .gain = gain.array(), .y = b.view()}).code(), kInvalid);
  EXPECT_EQ(LayerNorm(device(), {.x = a.view(), .y = a.view()}).code(), kInvalid);
  EXPECT_EQ(RmsNorm(device(), {.x = half.view(), .gain = gain.array(), .y = a.view()}).code(), kInvalid);
  EXPECT_EQ(RmsNorm(device(), {.x = a.view(), .gain = gain.array(), .eps = NAN, .y = a.view()}).code(), kInvalid);
  EXPECT_EQ(AddGathered(device(), {.index = two, .table = a.view(), .y = c.view()}).code(), kInvalid);
  EXPECT_EQ(AddGathered(device(), {.index = two, .table = a.view(), .y = half.view()}).code(), kInvalid);
  EXPECT_EQ(GeluTanh(device(), {.x = a.view(), .y = b.view()}).code(), kInvalid);
  EXPECT_EQ(SiluMul(device(), {.gate_up = a.view(), .y = b.view()}).code(), kInvalid);
  EXPECT_EQ(Convert(device(), {.x = a.view(), .y = c.view()}).code(), kInvalid);
}

}  // namespace
}  // namespace headroom::runtime
