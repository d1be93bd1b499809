#include "vision-worker/image/resize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "common/testing/heap_peak.h"

namespace headroom::vision_worker {
namespace {

using Bytes = std::vector<uint8_t>;

double SlowCubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0;
}

// One axis, one channel sample at a time: `samples` are the input samples along the axis.
std::vector<int> SlowAxis(const std::vector<int>& samples, int out) {
  const int in = static_cast<int>(samples.size());
  std::vector<int> result(out);
  double scale = double(in) / out, filter = scale < 1 ? 1 : scale;
  for (int i = 0; i < out; ++i) {
    double centre = (i + 0.5) * scale;
    int begin = std::max(int(centre - 2 * filter + 0.5), 0), end = std::min(int(centre + 2 * filter + 0.5), in);
    std::vector<double> weights;
    double sum = 0;
    for (int tap = begin; tap < end; ++tap) weights.push_back(SlowCubic((tap - centre + 0.5) * (1 / filter)));
    for (double weight : weights) sum += weight;
    int64_t total = 1 << 21;
    for (int tap = begin; tap < end; ++tap) {
      double weight = weights[tap - begin] / sum * (1 << 22);
      total += int64_t{samples[tap]} * int64_t(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    result[i] = int(std::min<int64_t>(std::max<int64_t>(total >> 22, 0), 255));
  }
  return result;
}

Bytes Transposed(const Bytes& in, int width, int height) {
  Bytes out(in.size());
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x)
      std::memcpy(&out[(size_t(x) * height + y) * 3], &in[(size_t(y) * width + x) * 3], 3);
  }
  return out;
}

Bytes SlowHorizontal(const Bytes& in, int width, int height, int out_width) {
  if (width == out_width) return in;
  Bytes out(size_t{3} * out_width * height);
  for (int y = 0; y < height; ++y) {
    for (int channel = 0; channel < 3; ++channel) {
      std::vector<int> row(width);
      for (int x = 0; x < width; ++x) row[x] = in[(size_t(y) * width + x) * 3 + channel];
      row = SlowAxis(row, out_width);
      for (int x = 0; x < out_width; ++x) out[(size_t(y) * out_width + x) * 3 + channel] = uint8_t(row[x]);
    }
  }
  return out;
}

Bytes SlowVertical(const Bytes& in, int width, int height, int out_height) {
  return Transposed(SlowHorizontal(Transposed(in, width, height), height, width, out_height), out_height, width);
}

// Whole intermediate pictures, no windows, no vectors.
Bytes SlowResize(const Bytes& in, int width, int height, int out_width, int out_height) {
  if (out_height < height && height - out_height > 2 * (width - out_width)) {
    return SlowHorizontal(SlowVertical(in, width, height, out_height), width, out_height, out_width);
  }
  return SlowVertical(SlowHorizontal(in, width, height, out_width), out_width, height, out_height);
}

// Extreme values (all samples 0 or 255) make the cubic overshoot, so the clamps matter.
Bytes RandomPicture(std::mt19937& random, int width, int height) {
  Bytes picture(size_t{3} * width * height);
  bool extreme = random() % 2 == 0;
  for (uint8_t& byte : picture) byte = extreme ? uint8_t(random() % 2 * 255) : uint8_t(random());
  return picture;
}

void ExpectSame(std::mt19937& random, int width, int height, int out_width, int out_height) {
  Bytes in = RandomPicture(random, width, height);
  Bytes got(size_t{3} * out_width * out_height, 99);
  ResizeBicubic(in.data(), width, height, got.data(), out_width, out_height);
  ASSERT_EQ(got, SlowResize(in, width, height, out_width, out_height))
      << width << "x" << height << " to " << out_width << "x" << out_height;
}

TEST(ResizeTest, RandomSizesAgreeWithSlowVersion) {
  unsigned seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  for (int i = 0; i < 200; ++i) {
    int most = i % 3 == 0 ? 4 : i % 3 == 1 ? 40 : 100;
    auto side = [&] { return int(1 + random() % most); };
    ExpectSame(random, side(), side(), side(), side());
    ASSERT_FALSE(HasFatalFailure()) << "seed " << seed;
  }
}

TEST(ResizeTest, PassesThatChangeNothingAreSkipped) {
  std::mt19937 random(1);
  ExpectSame(random, 31, 17, 31, 17);
  ExpectSame(random, 31, 17, 31, 40);
  ExpectSame(random, 31, 17, 8, 17);
}

TEST(ResizeTest, ExtremeSizes) {
  std::mt19937 random(2);
  ExpectSame(random, 1, 1, 64, 64);
  ExpectSame(random, 1, 500, 14, 28);
  ExpectSame(random, 5000, 2, 14, 14);
  ExpectSame(random, 2, 5000, 14, 14);
  ExpectSame(random, 4096, 1, 2000, 14);
}

TEST(ResizeTest, ScratchIsAWindowNotAPicture) {
  const auto scratch = [](int width, int height, int out_width, int out_height) {
    const Bytes in(size_t{3} * width * height, 100);
    Bytes out(size_t{3} * out_width * out_height);
    const HeapPeak peak;
    ResizeBicubic(in.data(), width, height, out.data(), out_width, out_height);
    return peak.bytes();
  };
  EXPECT_EQ(scratch(100, 100, 100, 100), 0);
  EXPECT_GT(scratch(200, 100, 100, 100), 0) << "nothing is measured";
  EXPECT_LT(scratch(4000, 3000, 518, 392), 1 << 20);
  EXPECT_LT(scratch(32768, 1220, 2000, 100), 4 << 20);
  EXPECT_LT(scratch(1220, 32768, 100, 2000), 4 << 20);
}

}  // namespace
}  // namespace headroom::vision_worker
