// Shared by the tests of runtime/: the device under test and its memory, seeded inputs, comparison with double
// references.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/bf16.h"
#include "common/check.h"
#include "runtime/device.h"
#include "runtime/matrix.h"
#include "runtime/testing/test_device.h"

namespace headroom::runtime {

// A test on TestDeviceOptions(); skipped where the machine has no such device.
class OpTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const DeviceOptions options = TestDeviceOptions();
    const std::string absent = WhyAbsent(options);
    if (!absent.empty()) GTEST_SKIP() << absent;
    auto device = CreateTestDevice(options);
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

// Memory of a device. Tests see its contents through Upload and Download alone, in lane order.
class DeviceBuffer {
 public:
  static constexpr int64_t kAlignmentMax = 64;

  // No memory, and a null data(), for 0 bytes. Aligned to `alignment` (a power of two up to kAlignmentMax) and to no
  // more: what an operation does not promise to take, no test gives it by chance.
  DeviceBuffer(Device& device, int64_t bytes, int64_t alignment = kAlignmentMax)
      : device_(&device), bytes_(bytes), offset_(alignment % kAlignmentMax) {
    if (bytes == 0) return;
    auto reserved = device.memory().Reserve(bytes + offset_, {});
    HEADROOM_CHECK(reserved.ok()) << reserved.status();
    memory_ = *reserved;
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : device_(other.device_),
        bytes_(other.bytes_),
        offset_(other.offset_),
        memory_(std::exchange(other.memory_, DeviceSpan{})) {}
  DeviceBuffer& operator=(DeviceBuffer&&) = delete;
  ~DeviceBuffer() {
    if (memory_.empty()) return;
    HEADROOM_CHECK(device_->Wait().ok()) << "an operation failed";
    device_->memory().Release(memory_);
  }

  DevicePtr data() const { return bytes_ == 0 ? DevicePtr() : memory_.data + offset_; }
  int64_t bytes() const { return bytes_; }
  DeviceSpan span() const { return {data(), bytes_}; }

  // All of it, from or to host memory of bytes().
  void Upload(const void* host) {
    const std::span<const std::byte> from(static_cast<const std::byte*>(host), static_cast<size_t>(bytes_));
    HEADROOM_CHECK(device_->Upload(from, data()).ok() && device_->Wait().ok()) << "upload";
  }
  void Download(void* host) const {
    const std::span<std::byte> to(static_cast<std::byte*>(host), static_cast<size_t>(bytes_));
    HEADROOM_CHECK(device_->Download(data(), to).ok() && device_->Wait().ok()) << "download";
  }

 private:
  Device* device_;
  int64_t bytes_, offset_;
  DeviceSpan memory_;
};

// Numbers that an operation reads on the device: a gain, a bias, indices, segments.
template <typename T>
class DeviceValues {
 public:
  DeviceValues(Device& device, const std::vector<T>& values)
      : size_(static_cast<int64_t>(values.size())),
        buffer_(device, size_ * static_cast<int64_t>(sizeof(T)), alignof(std::max_align_t)) {
    buffer_.Upload(values.data());
  }
  DeviceArray<const T> array() const { return {buffer_.data(), size_}; }

 private:
  int64_t size_;
  DeviceBuffer buffer_;
};
using DeviceFloats = DeviceValues<float>;

// A matrix on a device, rows further apart than columns need and sentinels between. Set() and Get() work on the host's
// copy; view() uploads what was set before it, and the first Get() after it downloads. Not thread-safe.
class Storage {
 public:
  static constexpr float kSentinel = -77.5f;

  Storage(Device& device, DType dtype, int64_t rows, int64_t cols, int64_t gap = 0, int64_t spare_rows = 0)
      : dtype_(dtype),
        rows_(rows),
        cols_(cols),
        stride_(cols + gap),
        host_(static_cast<size_t>((rows + spare_rows) * stride_ * SizeOf(dtype))),
        device_(device, static_cast<int64_t>(host_.size()), alignof(std::max_align_t)) {
    for (int64_t i = 0; i < (rows + spare_rows) * stride_; ++i) Write(i, kSentinel);
  }

  Matrix view() {
    if (host_is_newer_) device_.Upload(host_.data());
    host_is_newer_ = false;
    device_is_newer_ = true;  // for all that the host knows
    return {device_.data(), dtype_, rows_, cols_, stride_};
  }
  float Get(int64_t row, int64_t col) const {
    Fetch();
    return Read(row * stride_ + col);
  }
  void Set(int64_t row, int64_t col, float value) {
    Fetch();
    host_is_newer_ = true;
    Write(row * stride_ + col, value);
  }
  // Row by row, for references that read them often.
  std::vector<float> Values() const {
    std::vector<float> values;
    values.reserve(static_cast<size_t>(rows_ * cols_));
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < cols_; ++c) values.push_back(Get(r, c));
    }
    return values;
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
  void Fetch() const {
    if (device_is_newer_) device_.Download(host_.data());
    device_is_newer_ = false;
  }
  float Read(int64_t i) const {
    const std::byte* const at = host_.data() + i * SizeOf(dtype_);
    if (dtype_ == DType::kBF16) {
      uint16_t word;
      std::memcpy(&word, at, sizeof(word));
      return FromBf16(word);
    }
    float value;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }
  void Write(int64_t i, float value) {
    std::byte* const at = host_.data() + i * SizeOf(dtype_);
    if (dtype_ == DType::kBF16) {
      const uint16_t word = ToBf16(value);
      std::memcpy(at, &word, sizeof(word));
    } else {
      std::memcpy(at, &value, sizeof(value));
    }
  }

  DType dtype_;
  int64_t rows_, cols_, stride_;
  mutable std::vector<std::byte> host_;
  DeviceBuffer device_;
  bool host_is_newer_ = true;
  mutable bool device_is_newer_ = false;
};

// ‖got − want‖ / ‖want‖ over all elements; NaN when a value is none. Where `want` is kSentinel an element counts as
// nothing when it stayed that, and makes the result infinite when it did not.
inline double RelativeError(const Storage& got, const std::vector<double>& want) {
  double difference = 0, norm = 0;
  for (int64_t r = 0; r < got.rows(); ++r) {
    for (int64_t c = 0; c < got.cols(); ++c) {
      const double w = want[static_cast<size_t>(r * got.cols() + c)];
      if (w == double{Storage::kSentinel}) {
        if (got.Get(r, c) != Storage::kSentinel) return INFINITY;
        continue;
      }
      const double d = got.Get(r, c) - w;
      difference += d * d;
      norm += w * w;
    }
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

// Rounding of a result to its type, in the relative L2 norm.
inline double Tolerance(DType dtype) { return dtype == DType::kBF16 ? 3e-3 : 1e-6; }

}  // namespace headroom::runtime
