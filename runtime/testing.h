// Shared by the tests of runtime/: the device, seeded inputs, and comparison with double references.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "runtime/device.h"
#include "runtime/matrix.h"

namespace headroom::runtime {

inline uint16_t ToBf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  bits += 0x7fff + ((bits >> 16) & 1);
  return static_cast<uint16_t>(bits >> 16);
}

inline float FromBf16(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// The tests run once per instruction set, chosen by HEADROOM_ISA; where the machine lacks it they are skipped.
class OpTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto device = Device::Create({.kind = "cpu", .isa = "auto", .threads = 2});
    if (device.status().code() == absl::StatusCode::kFailedPrecondition) {
      GTEST_SKIP() << std::string(device.status().message());
    }
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = std::move(device).value();
    random_.seed(seed_);
    RecordProperty("seed", static_cast<int>(seed_));
  }

  Device& device() { return *device_; }

  std::vector<float> Random(int64_t n, float scale = 1.0f) {
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<float> values(static_cast<size_t>(n));
    for (float& v : values) v = normal(random_);
    return values;
  }
  int64_t RandomInt(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }

  static constexpr uint32_t seed_ = 20240607;
  std::mt19937 random_;
  std::unique_ptr<Device> device_;
};

// A matrix with its memory, rows further apart than columns need and sentinels between.
class Storage {
 public:
  static constexpr float kSentinel = -77.5f;

  Storage(DType dtype, int64_t rows, int64_t cols, int64_t gap = 0, int64_t spare_rows = 0)
      : dtype_(dtype), rows_(rows), cols_(cols), stride_(cols + gap) {
    floats_.assign(static_cast<size_t>((rows + spare_rows) * stride_), kSentinel);
    words_.assign(floats_.size(), ToBf16(kSentinel));
  }

  Matrix view() {
    return {dtype_ == DType::kBF16 ? static_cast<void*>(words_.data()) : floats_.data(), dtype_, rows_, cols_, stride_};
  }
  float Get(int64_t row, int64_t col) const {
    const size_t i = static_cast<size_t>(row * stride_ + col);
    return dtype_ == DType::kBF16 ? FromBf16(words_[i]) : floats_[i];
  }
  void Set(int64_t row, int64_t col, float value) {
    const size_t i = static_cast<size_t>(row * stride_ + col);
    floats_[i] = value;
    words_[i] = ToBf16(value);
  }
  void Fill(const std::vector<float>& values) {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < cols_; ++c) Set(r, c, values[static_cast<size_t>(r * cols_ + c)]);
    }
  }
  // Nothing between the columns of the view and the next row was written.
  bool GapsUntouched() const {
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = cols_; c < stride_; ++c) {
        if (Get(r, c) != kSentinel) return false;
      }
    }
    return true;
  }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

 private:
  DType dtype_;
  int64_t rows_, cols_, stride_;
  std::vector<float> floats_;
  std::vector<uint16_t> words_;
};

// ‖got − want‖ / ‖want‖ over all elements; NaN when a value is none.
inline double RelativeError(const Storage& got, const std::vector<double>& want) {
  double difference = 0, norm = 0;
  for (int64_t r = 0; r < got.rows(); ++r) {
    for (int64_t c = 0; c < got.cols(); ++c) {
      const double w = want[static_cast<size_t>(r * got.cols() + c)];
      const double d = got.Get(r, c) - w;
      difference += d * d;
      norm += w * w;
    }
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

// Rounding of a result to its type, in the relative L2 norm.
inline double Tolerance(DType dtype) { return dtype == DType::kBF16 ? 3e-3 : 1e-6; }

// 64-byte aligned scratch.
class Scratch {
 public:
  explicit Scratch(int64_t bytes) : memory_(static_cast<size_t>(bytes) + 64) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory_.data());
    span_ = {memory_.data() + (64 - address % 64) % 64, static_cast<size_t>(bytes)};
  }
  std::span<std::byte> span() const { return span_; }

 private:
  std::vector<std::byte> memory_;
  std::span<std::byte> span_;
};

}  // namespace headroom::runtime
