#include "model/image/header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

#include "common/testing/paths.h"

namespace headroom::model {
namespace {

using ::testing::HasSubstr;

std::string Be(uint32_t value, int count) {
  std::string out;
  for (int shift = 8 * (count - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift);
  return out;
}
std::string Le(uint32_t value, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += static_cast<char>(value >> 8 * i);
  return out;
}

std::string Png(uint32_t width, uint32_t height, int depth = 8, int colour = 2, int interlace = 0) {
  return std::string("\x89PNG\r\n\x1a\n") + Be(13, 4) + "IHDR" + Be(width, 4) + Be(height, 4) + Be(depth, 1) +
         Be(colour, 1) + Be(0, 2) + Be(interlace, 1) + Be(0, 4);
}

std::string JpegFrame(uint32_t width, uint32_t height, int marker = 0xC0, int components = 3, int precision = 8) {
  std::string out = "\xFF" + Be(marker, 1) + Be(8 + 3 * components, 2) + Be(precision, 1) + Be(height, 2) +
                    Be(width, 2) + Be(components, 1);
  for (int i = 0; i < components; ++i) out += Be(i + 1, 1) + "\x11" + Be(0, 1);
  return out;
}
std::string Segment(int marker, const std::string& body) {
  return "\xFF" + Be(marker, 1) + Be(static_cast<uint32_t>(body.size() + 2), 2) + body;
}
std::string Jpeg(const std::string& rest) { return "\xFF\xD8" + rest; }

std::string Riff(const std::string& chunk, const std::string& payload) {
  return "RIFF" + Le(static_cast<uint32_t>(payload.size() + 12), 4) + "WEBP" + chunk +
         Le(static_cast<uint32_t>(payload.size()), 4) + payload;
}
std::string Vp8(uint32_t width, uint32_t height) {
  return Riff("VP8 ", Le(0x10, 3) + "\x9d\x01\x2a" + Le(width, 2) + Le(height, 2) + std::string(8, '\0'));
}
std::string Vp8l(uint32_t width, uint32_t height, uint32_t version = 0) {
  return Riff("VP8L", "\x2f" + Le((width - 1) | (height - 1) << 14 | version << 29, 4) + std::string(8, '\0'));
}
std::string Vp8x(uint32_t width, uint32_t height) {
  return Riff("VP8X", Le(0, 4) + Le(width - 1, 3) + Le(height - 1, 3));
}

std::string Error(const std::string& bytes, const ImageLimits& limits = {}) {
  absl::StatusOr<ImageHeader> header = ProbeImage(bytes, limits);
  if (header.ok()) return "OK";
  EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(header.status().message());
}

void ExpectHeader(const std::string& bytes, ImageFormat format, int width, int height) {
  absl::StatusOr<ImageHeader> header = ProbeImage(bytes, {});
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->format, format);
  EXPECT_EQ(header->width, width);
  EXPECT_EQ(header->height, height);
}

TEST(HeaderTest, ReadsSizes) {
  ExpectHeader(Png(1, 1), ImageFormat::kPng, 1, 1);
  ExpectHeader(Png(4032, 448, 16, 6, 1), ImageFormat::kPng, 4032, 448);
  ExpectHeader(Jpeg(JpegFrame(800, 533)), ImageFormat::kJpeg, 800, 533);
  ExpectHeader(Jpeg(JpegFrame(7, 9, 0xC2, 4)), ImageFormat::kJpeg, 7, 9);
  ExpectHeader(
      Jpeg(Segment(0xE0, "JFIF") + Segment(0xE1, std::string(60000, 'x')) + "\xFF\xFF" + JpegFrame(3, 2, 0xC1, 1)),
      ImageFormat::kJpeg, 3, 2);
  ExpectHeader(Vp8(640, 480), ImageFormat::kWebp, 640, 480);
  ExpectHeader(Vp8(640 | 0x4000, 480 | 0x8000), ImageFormat::kWebp, 640, 480);  // scaling hints
  ExpectHeader(Vp8l(16384, 100), ImageFormat::kWebp, 16384, 100);
  ExpectHeader(Vp8x(20000, 1000), ImageFormat::kWebp, 20000, 1000);
}

TEST(HeaderTest, ReadsGoldenPictures) {
  auto read = [](const std::string& name) {
    std::ifstream in(SourceDir() + "/tests/golden/minicpmv/images/" + name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  ExpectHeader(read("photo.png"), ImageFormat::kPng, 800, 533);
  ExpectHeader(read("photo.jpg"), ImageFormat::kJpeg, 800, 533);
  ExpectHeader(read("wide.png"), ImageFormat::kPng, 2000, 200);
  ExpectHeader(read("dot.png"), ImageFormat::kPng, 2, 2);
}

TEST(HeaderTest, BombsAreRefusedFromTheHeader) {
  EXPECT_EQ(Error(Png(60000, 60000)), "image width is 60000: limit 32768");
  EXPECT_EQ(Error(Png(0x80000000u, 0xFFFFFFFFu)), "image width is 2147483648: limit 32768");
  EXPECT_EQ(Error(Png(100, 40000)), "image height is 40000: limit 32768");
  EXPECT_EQ(Error(Png(20000, 20000)), "image has 400000000 pixels (20000x20000): limit 40000000");
  EXPECT_EQ(Error(Jpeg(JpegFrame(65535, 65535))), "image width is 65535: limit 32768");
  EXPECT_EQ(Error(Vp8x(1 << 24, 1 << 24)), "image width is 16777216: limit 32768");
  EXPECT_EQ(Error(Vp8l(16384, 16384)), "image has 268435456 pixels (16384x16384): limit 40000000");
  EXPECT_EQ(Error(Png(1025, 1)), "image aspect ratio is 1025:1: limit 1024:1");
  EXPECT_EQ(Error(Png(1, 1025)), "image aspect ratio is 1:1025: limit 1024:1");
  EXPECT_EQ(Error(Png(1024, 1)), "OK");
}

TEST(HeaderTest, LimitsAreInclusiveAndConfigurable) {
  ImageLimits limits;
  limits.side_max = 100;
  limits.pixels_max = 5000;
  limits.bytes_max = 33;
  EXPECT_EQ(Error(Png(100, 50), limits), "OK");
  EXPECT_EQ(Error(Png(101, 1), limits), "image width is 101: limit 100");
  EXPECT_EQ(Error(Png(100, 51), limits), "image has 5100 pixels (100x51): limit 5000");
  EXPECT_EQ(Error(Png(100, 50) + "x", limits), "image has 34 bytes: limit 33");
  limits.side_max = INT64_MAX;
  limits.pixels_max = INT64_MAX;
  limits.aspect_ratio_max = 1 << 20;
  EXPECT_EQ(Error(Png(65536, 1), limits), "image width is 65536: limit 65535");
  EXPECT_EQ(Error(Png(65535, 65535), limits), "OK");
}

TEST(HeaderTest, ZeroSizes) {
  EXPECT_THAT(Error(Png(0, 5)), HasSubstr("0x5: both sides must be at least 1"));
  EXPECT_THAT(Error(Png(5, 0)), HasSubstr("5x0"));
  EXPECT_THAT(Error(Jpeg(JpegFrame(5, 0))), HasSubstr("5x0"));
  EXPECT_THAT(Error(Vp8(0, 3)), HasSubstr("0x3"));
}

TEST(HeaderTest, UnsupportedFormatsAreNamed) {
  using namespace std::string_literals;
  EXPECT_EQ(Error(""), "image has 0 bytes");
  EXPECT_EQ(Error("GIF89a......"), "unsupported image format GIF: PNG, JPEG or WebP expected");
  EXPECT_THAT(Error("BM\x10\0\0\0"s), HasSubstr("BMP"));
  EXPECT_THAT(Error("II*\0...."s), HasSubstr("TIFF"));
  EXPECT_THAT(Error("\0\0\0\x18"
                    "ftypheic...."s),
              HasSubstr("HEIC"));
  EXPECT_THAT(Error("\0\0\0\x18"
                    "ftypavif...."s),
              HasSubstr("AVIF"));
  EXPECT_THAT(Error("\0\0\0\x18"
                    "ftypisom...."s),
              HasSubstr("video"));
  EXPECT_THAT(Error("<?xml version=\"1.0\"?>\n<svg xmlns="), HasSubstr("SVG"));
  EXPECT_THAT(Error("\0\0\0\x0CjP  \r\n\x87\n"s), HasSubstr("JPEG 2000"));
  EXPECT_THAT(Error("%PDF-1.7"), HasSubstr("PDF"));
  EXPECT_EQ(Error("hello, this is text"), "unsupported image format: PNG, JPEG or WebP expected");
  EXPECT_EQ(Error("RIFF....WAVEfmt "), "unsupported image format: PNG, JPEG or WebP expected");
}

TEST(HeaderTest, MalformedHeaders) {
  EXPECT_THAT(Error(Png(1, 1, 3)), HasSubstr("bit depth"));
  EXPECT_THAT(Error(Png(1, 1, 16, 3)), HasSubstr("bit depth"));
  EXPECT_THAT(Error(Png(1, 1, 8, 2, 2)), HasSubstr("interlace"));
  std::string first = Png(1, 1);
  first[12] = 'X';
  EXPECT_THAT(Error(first), HasSubstr("not IHDR"));
  EXPECT_THAT(Error(Jpeg("\xFF\xDA")), HasSubstr("truncated"));
  EXPECT_THAT(Error(Jpeg("\xFF\xDA\x01")), HasSubstr("no frame header"));
  EXPECT_THAT(Error(Jpeg(JpegFrame(5, 5, 0xC3))), HasSubstr("SOF3"));
  EXPECT_THAT(Error(Jpeg(JpegFrame(5, 5, 0xC9))), HasSubstr("SOF9"));
  EXPECT_THAT(Error(Jpeg(JpegFrame(5, 5, 0xC0, 2))), HasSubstr("2 components"));
  EXPECT_THAT(Error(Jpeg(JpegFrame(5, 5, 0xC1, 3, 12))), HasSubstr("12 bits"));
  std::string many = "\xFF\xD8";
  for (int i = 0; i < 1024; ++i) many += Segment(0xFE, "");
  EXPECT_THAT(Error(many + JpegFrame(5, 5)), HasSubstr("more than 1024 segments"));
  EXPECT_THAT(Error(Vp8l(5, 5, 1)), HasSubstr("version"));
  EXPECT_THAT(Error(Riff("ABCD", std::string(16, '\0'))), HasSubstr("unknown first chunk"));
}

TEST(HeaderTest, EveryPrefixIsAnError) {
  for (const std::string& file : {Png(5, 5), Jpeg(Segment(0xE0, "JFIF") + JpegFrame(5, 5)), Vp8x(5, 5)}) {
    // The CRC of IHDR and the component list are not needed for the size, yet belong to the header.
    size_t enough = file[0] == '\xFF' ? file.size() - 9 : file.size();
    for (size_t length = 0; length < enough; ++length) {
      EXPECT_NE(Error(file.substr(0, length)), "OK") << length << " of " << file.size();
    }
    EXPECT_EQ(Error(file), "OK");
  }
}

TEST(HeaderTest, RandomMutationsNeverPassTheLimits) {
  unsigned seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  const std::string files[] = {Png(5, 5), Jpeg(Segment(0xE0, "JFIF") + JpegFrame(5, 5)), Vp8(5, 5), Vp8l(5, 5),
                               Vp8x(5, 5)};
  ImageLimits limits;
  for (int i = 0; i < 100'000; ++i) {
    std::string file = files[random() % std::size(files)];
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips)
      file[random() % file.size()] = static_cast<char>(random());
    if (random() % 4 == 0) file.resize(random() % file.size());
    absl::StatusOr<ImageHeader> header = ProbeImage(file, limits);
    if (!header.ok()) continue;
    ASSERT_GE(header->width, 1) << "seed " << seed;
    ASSERT_GE(header->height, 1) << "seed " << seed;
    ASSERT_LE(int64_t{header->width} * header->height, limits.pixels_max) << "seed " << seed;
  }
}

}  // namespace
}  // namespace headroom::model
