#include "vision-worker/image/codec.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/testing/paths.h"
#include "vision-worker/image/canvas.h"

namespace headroom::vision_worker {
namespace {

namespace fs = std::filesystem;
using model::ImageFormat;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::vector<fs::path> Fixtures() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(SourceDir() + "/vision-worker/image/testdata")) {
    std::string kind = entry.path().extension();
    if (kind != ".rgb" && kind != ".py") paths.push_back(entry.path());
  }
  return paths;
}

DecodeOutcome Decode(const DecodeSpec& spec, const std::string& bytes, std::vector<uint8_t>* out) {
  // An exact heap copy, so that AddressSanitizer sees a read past the end.
  std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  out->assign(size_t{3} * spec.width() * spec.height(), 0);
  return DecodeImage(spec, exact.data(), exact.size(), out->data());
}

// As the published processor reads it.
DecodeOutcome Decode(const model::ImageHeader& header, const std::string& bytes, std::vector<uint8_t>* out) {
  return Decode(DecodeSpec{.header = header, .transparency = Transparency::kDropped}, bytes, out);
}

DecodeOutcome Decode(ImageFormat format, const std::string& bytes, int width, int height, std::vector<uint8_t>* out) {
  return Decode(model::ImageHeader{format, width, height}, bytes, out);
}

model::ImageHeader Probe(const std::string& bytes) {
  absl::StatusOr<model::ImageHeader> header = model::ProbeImage(bytes, {});
  EXPECT_TRUE(header.ok()) << header.status();
  return header.ok() ? *header : model::ImageHeader{ImageFormat::kPng, 1, 1};
}

// Pillow's pixels: {width, height} as little-endian uint32, then RGB.
void ExpectPixels(const DecodeSpec& spec, const std::string& bytes, const fs::path& judge) {
  SCOPED_TRACE(judge.filename().string());
  const std::string want = ReadFile(judge);
  uint32_t size[2];
  ASSERT_GE(want.size(), sizeof(size));
  std::memcpy(size, want.data(), sizeof(size));
  ASSERT_EQ(spec.width(), int(size[0]));
  ASSERT_EQ(spec.height(), int(size[1]));
  std::vector<uint8_t> got;
  ASSERT_EQ(Decode(spec, bytes, &got), DecodeOutcome::kOk);
  ASSERT_EQ(got.size() + 8, want.size());
  // Another libjpeg may round its transform differently; PNG and lossless WebP are exact by definition.
  const int tolerance = spec.header.format == ImageFormat::kJpeg ? 2 : 0;
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(got[i] - int(uint8_t(want[i + 8]))), tolerance) << "byte " << i;
  }
}

// NAME.rgb is what Pillow makes of a picture with alpha dropped, NAME.white.rgb on white (testdata/make_fixtures.py).
TEST(CodecTest, EqualToPillow) {
  int count = 0, with_alpha = 0, turned = 0;
  for (const fs::path& path : Fixtures()) {
    SCOPED_TRACE(path.filename().string());
    const std::string bytes = ReadFile(path);
    const model::ImageHeader header = Probe(bytes);
    const fs::path dropped = fs::path(path).replace_extension(".rgb");
    const fs::path white = fs::path(path).replace_extension(".white.rgb");
    ExpectPixels({.header = header, .transparency = Transparency::kDropped}, bytes, dropped);
    ExpectPixels({.header = header}, bytes, fs::exists(white) ? white : dropped);
    ++count;
    with_alpha += fs::exists(white);
    turned += header.orientation != model::Orientation::kUpright;
  }
  EXPECT_GE(count, 120);
  EXPECT_GE(with_alpha, 20);
  EXPECT_GE(turned, 20);
}

TEST(CodecTest, WhiteShowsByAlpha) {
  for (uint32_t value = 0; value < 256; ++value) {
    EXPECT_EQ(OnWhite(value, 255), value);
    EXPECT_EQ(OnWhite(value, 0), 255);
    for (uint32_t alpha = 0; alpha < 256; ++alpha) {
      const double exact = (value * alpha + 255.0 * (255 - alpha)) / 255;
      ASSERT_NEAR(OnWhite(value, alpha), exact, 0.51) << value << " " << alpha;
    }
  }
}

// The mean over boxes of shrink × shrink pixels, which a smaller inverse transform approximates.
std::vector<uint8_t> BoxMeans(const std::vector<uint8_t>& rgb, int width, int height, int shrink) {
  std::vector<uint8_t> means;
  for (int top = 0; top < height; top += shrink) {
    for (int left = 0; left < width; left += shrink) {
      for (int channel = 0; channel < 3; ++channel) {
        int sum = 0, count = 0;
        for (int y = top; y < std::min(top + shrink, height); ++y) {
          for (int x = left; x < std::min(left + shrink, width); ++x, ++count)
            sum += rgb[(y * width + x) * 3 + channel];
        }
        means.push_back(uint8_t(sum / count));
      }
    }
  }
  return means;
}

TEST(CodecTest, ShrunkJpegIsThePictureInSmall) {
  const std::string bytes = ReadFile(SourceDir() + "/tests/golden/minicpmv/images/photo.jpg");
  const model::ImageHeader header = Probe(bytes);
  std::vector<uint8_t> whole;
  ASSERT_EQ(Decode(DecodeSpec{.header = header}, bytes, &whole), DecodeOutcome::kOk);
  for (const int shrink : {2, 4, 8}) {
    SCOPED_TRACE("1/" + std::to_string(shrink));
    const DecodeSpec spec{.header = header, .shrink = shrink};
    std::vector<uint8_t> small;
    ASSERT_EQ(Decode(spec, bytes, &small), DecodeOutcome::kOk);
    const std::vector<uint8_t> means = BoxMeans(whole, header.width, header.height, shrink);
    ASSERT_EQ(small.size(), means.size());
    double sum = 0;
    for (size_t i = 0; i < small.size(); ++i) sum += std::abs(small[i] - means[i]);
    EXPECT_LE(sum / double(small.size()), 2.5);

    // Turned by 90° clockwise: the first column, from below, is the first row.
    DecodeSpec quarter = spec;
    quarter.header.orientation = model::Orientation::kQuarterTurn;
    std::swap(quarter.header.width, quarter.header.height);
    std::vector<uint8_t> turned;
    ASSERT_EQ(Decode(quarter, bytes, &turned), DecodeOutcome::kOk);
    for (int y = 0; y < spec.height(); ++y) {
      for (int x = 0; x < spec.width(); ++x) {
        const size_t there = size_t(x) * spec.height() + spec.height() - 1 - y;
        ASSERT_EQ(std::memcmp(&turned[there * 3], &small[(size_t(y) * spec.width() + x) * 3], 3), 0) << x << " " << y;
      }
    }
  }
  std::vector<uint8_t> out;
  const std::string png = ReadFile(SourceDir() + "/tests/golden/minicpmv/images/photo.png");
  EXPECT_EQ(Decode(DecodeSpec{.header = Probe(png), .shrink = 2}, png, &out), DecodeOutcome::kUnsupported);
}

TEST(CodecTest, JpegOfThePhotoIsCloseToItsPng) {
  const fs::path images = SourceDir() + "/tests/golden/minicpmv/images";
  std::vector<uint8_t> png, jpeg;
  ASSERT_EQ(Decode(ImageFormat::kPng, ReadFile(images / "photo.png"), 800, 533, &png), DecodeOutcome::kOk);
  ASSERT_EQ(Decode(ImageFormat::kJpeg, ReadFile(images / "photo.jpg"), 800, 533, &jpeg), DecodeOutcome::kOk);
  double sum = 0;
  for (size_t i = 0; i < png.size(); ++i) sum += std::abs(png[i] - jpeg[i]);
  EXPECT_LE(sum / double(png.size()), 1.0);
}

// What is cut off is an end marker, a checksum, or pixels.
TEST(CodecTest, APrefixIsAnErrorOrTheWholePicture) {
  for (const fs::path& path : Fixtures()) {
    SCOPED_TRACE(path.filename().string());
    std::string bytes = ReadFile(path);
    model::ImageHeader header = Probe(bytes);
    std::vector<uint8_t> whole, out;
    ASSERT_EQ(Decode(header, bytes, &whole), DecodeOutcome::kOk);
    for (size_t length = 0; length < bytes.size(); ++length) {
      if (Decode(header, bytes.substr(0, length), &out) != DecodeOutcome::kOk) continue;
      ASSERT_EQ(out, whole) << length << " of " << bytes.size();
    }
  }
}

TEST(CodecTest, AnotherSizeThanProbedIsRefused) {
  for (const fs::path& path : Fixtures()) {
    SCOPED_TRACE(path.filename().string());
    std::string bytes = ReadFile(path);
    model::ImageHeader header = Probe(bytes);
    std::vector<uint8_t> out;
    EXPECT_EQ(Decode(header.format, bytes, header.width + 1, header.height, &out), DecodeOutcome::kWrongSize);
    EXPECT_EQ(Decode(header.format, bytes, header.width, header.height - 1, &out), DecodeOutcome::kWrongSize);
  }
}

TEST(CodecTest, AnotherFormatThanProbedIsRefused) {
  std::vector<uint8_t> out;
  std::string png = ReadFile(SourceDir() + "/tests/golden/minicpmv/images/dot.png");
  EXPECT_NE(Decode(ImageFormat::kJpeg, png, 2, 2, &out), DecodeOutcome::kOk);
  EXPECT_NE(Decode(ImageFormat::kWebp, png, 2, 2, &out), DecodeOutcome::kOk);
  EXPECT_EQ(Decode(static_cast<ImageFormat>(9), png, 2, 2, &out), DecodeOutcome::kUnsupported);
}

TEST(CodecTest, RandomMutationsDoNotCrash) {
  unsigned seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  std::vector<uint8_t> out;
  for (const fs::path& path : Fixtures()) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " " + path.filename().string());
    std::string bytes = ReadFile(path);
    model::ImageHeader header = Probe(bytes);
    for (int i = 0; i < 100; ++i) {
      std::string mutated = bytes;
      for (unsigned flips = 1 + random() % 5; flips > 0; --flips) mutated[random() % mutated.size()] = char(random());
      DecodeOutcome outcome = Decode(header, mutated, &out);
      ASSERT_LE(outcome, kDecodeOutcomeLast);
    }
  }
}

std::string Be32(uint32_t value) { return {char(value >> 24), char(value >> 16), char(value >> 8), char(value)}; }

std::string Chunk(const std::string& name, const std::string& body) {
  std::string named = name + body;
  auto crc = crc32(0, reinterpret_cast<const Bytef*>(named.data()), uInt(named.size()));
  return Be32(uint32_t(body.size())) + named + Be32(uint32_t(crc));
}

std::string Deflate(const std::string& data) {
  uLongf size = compressBound(data.size());
  std::string out(size, '\0');
  EXPECT_EQ(compress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(data.data()),
                      data.size(), 9),
            Z_OK);
  out.resize(size);
  return out;
}

std::string GreyPng(uint32_t width, uint32_t height, const std::string& before_data, const std::string& rows) {
  return "\x89PNG\r\n\x1a\n" + Chunk("IHDR", Be32(width) + Be32(height) + std::string("\x08\0\0\0\0", 5)) +
         before_data + Chunk("IDAT", Deflate(rows)) + Chunk("IEND", "");
}

TEST(CodecTest, PngWithTooFewOrTooManyRows) {
  std::vector<uint8_t> out;
  std::string row(1 + 16, '\0');
  EXPECT_EQ(Decode(ImageFormat::kPng, GreyPng(16, 1, "", row), 16, 1, &out), DecodeOutcome::kOk);
  EXPECT_NE(Decode(ImageFormat::kPng, GreyPng(16, 2, "", row), 16, 2, &out), DecodeOutcome::kOk);
  // 64 MiB of rows behind a header of one row: nothing beyond the picture is inflated or written.
  Decode(ImageFormat::kPng, GreyPng(16, 1, "", std::string(64 << 20, '\0')), 16, 1, &out);
}

TEST(CodecTest, CompressedTextOfPngIsNotInflated) {
  std::vector<uint8_t> out;
  std::string bomb = std::string("key\0\0", 5) + Deflate(std::string(64 << 20, 'x'));
  std::string profile = Deflate(std::string(64 << 20, 'x'));
  std::string extras;
  for (int i = 0; i < 50; ++i) extras += Chunk("zTXt", bomb);
  extras += Chunk("iCCP", std::string("name\0\0", 6) + profile);
  EXPECT_EQ(Decode(ImageFormat::kPng, GreyPng(16, 1, extras, std::string(17, '\0')), 16, 1, &out), DecodeOutcome::kOk);
}

TEST(CodecTest, ScratchBoundGrowsWithThePicture) {
  EXPECT_GE(DecodeScratchBytesMax(1, 1), 32 << 20);
  EXPECT_GE(DecodeScratchBytesMax(8000, 5000), int64_t{400'000'000});
  EXPECT_NEAR(double(DecodeScratchBytesMax(8000, 8000)), double(DecodeScratchBytesMax(8000, 5000)), 8e6);
  EXPECT_GT(DecodeScratchBytesMax(65535, 65535), int64_t{25} << 30);
}

}  // namespace
}  // namespace headroom::vision_worker
