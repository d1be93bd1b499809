#include "model/image/header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <random>

#include "common/testing/paths.h"
#include "model/image/host_bytes.h"

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

std::string Gif(uint32_t width, uint32_t height, const std::string& before = "", uint32_t left = 0) {
  return "GIF89a" + Le(width, 2) + Le(height, 2) + std::string("\x80\0\0", 3) + std::string(6, 'c') + before + "," +
         Le(left, 2) + Le(0, 2) + Le(width, 2) + Le(height, 2) + Le(0, 1);
}
// Windows bitmap with a header of 40 bytes and no palette.
std::string Bmp(uint32_t width, uint32_t height, uint32_t bits = 24, uint32_t compression = 0) {
  return "BM" + Le(0, 4) + Le(0, 4) + Le(54, 4) + Le(40, 4) + Le(width, 4) + Le(height, 4) + Le(1, 2) + Le(bits, 2) +
         Le(compression, 4) + std::string(20, '\0');
}

// A TIFF structure whose only entry is the orientation.
std::string Exif(int orientation) {
  return std::string("II*\0", 4) + Le(8, 4) + Le(1, 2) + Le(0x0112, 2) + Le(3, 2) + Le(1, 4) +
         Le(static_cast<uint32_t>(orientation), 4) + Le(0, 4);
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
  ExpectHeader(Jpeg(JpegFrame(40, 30, 0xC9)), ImageFormat::kJpeg, 40, 30);
  ExpectHeader(Jpeg(JpegFrame(40, 30, 0xCA)), ImageFormat::kJpeg, 40, 30);
  ExpectHeader(Gif(40, 30), ImageFormat::kGif, 40, 30);
  ExpectHeader(Gif(40, 30, std::string("!\xFE\x03xyz\x00!\xF9\x04\x00\x00\x00\x00\x00", 15)), ImageFormat::kGif, 40,
               30);
  ExpectHeader(Gif(40, 30, "", 5), ImageFormat::kGif, 45, 30);  // beyond its screen
  ExpectHeader(Bmp(40, 30), ImageFormat::kBmp, 40, 30);
  ExpectHeader(Bmp(40, -30U), ImageFormat::kBmp, 40, 30);  // rows from the top
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
  EXPECT_EQ(Error(Png(60000, 60000)), "image width is 60000: limit 32768 (image_side_max)");
  EXPECT_EQ(Error(Png(0x80000000u, 0xFFFFFFFFu)), "image width is 2147483648: limit 32768 (image_side_max)");
  EXPECT_EQ(Error(Png(100, 40000)), "image height is 40000: limit 32768 (image_side_max)");
  EXPECT_EQ(Error(Png(20000, 20000)), "image has 400000000 pixels (20000x20000): limit 64000000 (image_pixels_max)");
  EXPECT_EQ(Error(Jpeg(JpegFrame(65535, 65535))), "image width is 65535: limit 32768 (image_side_max)");
  EXPECT_EQ(Error(Vp8x(1 << 24, 1 << 24)), "image width is 16777216: limit 32768 (image_side_max)");
  EXPECT_EQ(Error(Vp8l(16384, 16384)), "image has 268435456 pixels (16384x16384): limit 64000000 (image_pixels_max)");
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
  EXPECT_EQ(Error(Png(101, 1), limits), "image width is 101: limit 100 (image_side_max)");
  EXPECT_EQ(Error(Png(100, 51), limits), "image has 5100 pixels (100x51): limit 5000 (image_pixels_max)");
  EXPECT_EQ(Error(Png(100, 50) + "x", limits), "image has 34 bytes: limit 33 (receive_bytes_max)");
  limits.side_max = INT64_MAX;
  limits.pixels_max = INT64_MAX;
  limits.aspect_ratio_max = 1 << 20;
  EXPECT_EQ(Error(Png(65536, 1), limits), "image width is 65536: limit 65535 (image_side_max)");
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
  EXPECT_EQ(Error("II*\0...."s),
            "unsupported image format TIFF: convert it to PNG or JPEG (PNG, JPEG, WebP, GIF and BMP are read)");
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
  EXPECT_EQ(Error("hello, this is text"), "not an image of a known format: PNG, JPEG, WebP, GIF and BMP are read");
  EXPECT_EQ(Error("RIFF....WAVEfmt "), "not an image of a known format: PNG, JPEG, WebP, GIF and BMP are read");
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
  EXPECT_THAT(Error(Jpeg(JpegFrame(5, 5, 0xCB))), HasSubstr("SOF11"));
  EXPECT_THAT(Error(Jpeg(JpegFrame(5, 5, 0xCD))), HasSubstr("SOF13"));
  EXPECT_THAT(Error(Jpeg(JpegFrame(5, 5, 0xC0, 2))), HasSubstr("2 components"));
  EXPECT_THAT(Error(Jpeg(JpegFrame(5, 5, 0xC1, 3, 12))), HasSubstr("12 bits"));
  std::string many = "\xFF\xD8";
  for (int i = 0; i < 1024; ++i) many += Segment(0xFE, "");
  EXPECT_THAT(Error(many + JpegFrame(5, 5)), HasSubstr("more than 1024 segments"));
  EXPECT_THAT(Error(Vp8l(5, 5, 1)), HasSubstr("version"));
  EXPECT_THAT(Error(Riff("ABCD", std::string(16, '\0'))), HasSubstr("unknown first chunk"));
}

TEST(HeaderTest, MalformedGifAndBmp) {
  EXPECT_THAT(Error("GIF89a.........."), HasSubstr("unknown block"));
  EXPECT_THAT(Error(Gif(0, 5)), HasSubstr("without pixels"));
  EXPECT_THAT(Error(Gif(5, 5, ";")), HasSubstr("ends before the first picture"));
  EXPECT_THAT(Error(Gif(60000, 60000, "", 60000)), HasSubstr("image width is 120000"));
  std::string blocks = "!\xFE";
  for (int i = 0; i < 70000; ++i) blocks += "\x01x";
  EXPECT_THAT(Error(Gif(5, 5, blocks + std::string(1, '\0'))), HasSubstr("more than 65536 blocks"));
  EXPECT_THAT(Error(Bmp(5, 5, 2)), HasSubstr("bits a pixel: 2"));
  EXPECT_THAT(Error(Bmp(5, 5, 0, 4)), HasSubstr("not supported"));
  EXPECT_THAT(Error(Bmp(5, 5, 24, 5)), HasSubstr("compression 5"));
  EXPECT_THAT(Error(Bmp(5, 5, 24, 1)), HasSubstr("run lengths of another bit depth"));
  EXPECT_THAT(Error(Bmp(5, 5, 32, 3)), HasSubstr("truncated"));  // the masks
  EXPECT_THAT(Error(Bmp(5, 5, 16, 3) + Le(0x50, 4) + Le(7, 4) + Le(8, 4)), HasSubstr("colour masks"));
  EXPECT_THAT(Error(Bmp(5, 5, 8)), HasSubstr("truncated"));  // the palette
  EXPECT_THAT(Error(Bmp(0x80000000U, 1)), HasSubstr("image width is 2147483648"));
  EXPECT_THAT(Error(Bmp(1, 0x80000000U)), HasSubstr("image height is 2147483648"));
  EXPECT_THAT(Error(Bmp(0, 5)), HasSubstr("0x5"));
}

Orientation OrientationOf(const std::string& bytes) {
  absl::StatusOr<ImageHeader> header = ProbeImage(bytes, {});
  EXPECT_TRUE(header.ok()) << header.status();
  return header.ok() ? header->orientation : Orientation::kUpright;
}

std::string JpegWithExif(const std::string& block) {
  return Jpeg(Segment(0xE1, std::string("Exif\0\0", 6) + block) + JpegFrame(40, 30));
}

TEST(HeaderTest, SizesAreThoseOfTheTurnedPicture) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(orientation);
    const bool swapped = orientation >= 5;
    ExpectHeader(JpegWithExif(Exif(orientation)), ImageFormat::kJpeg, swapped ? 30 : 40, swapped ? 40 : 30);
    absl::StatusOr<ImageHeader> header = ProbeImage(JpegWithExif(Exif(orientation)), {});
    ASSERT_TRUE(header.ok());
    EXPECT_EQ(static_cast<int>(header->orientation), orientation);
    EXPECT_EQ(header->stored_width(), 40);
    EXPECT_EQ(header->stored_height(), 30);
  }
}

// The metadata of a picture is no reason to refuse it.
TEST(HeaderTest, ABrokenExifBlockIsNoTurn) {
  const std::string whole = Exif(6);
  EXPECT_EQ(OrientationOf(JpegWithExif(whole)), Orientation::kQuarterTurn);
  for (size_t length = 0; length < 20; ++length) {
    EXPECT_EQ(OrientationOf(JpegWithExif(whole.substr(0, length))), Orientation::kUpright) << length;
  }
  for (const int value : {0, 9, 255, 65535}) {
    EXPECT_EQ(OrientationOf(JpegWithExif(Exif(value))), Orientation::kUpright) << value;
  }
  std::string cut = JpegWithExif(whole);
  cut.resize(30);  // the file ends inside the segment
  EXPECT_THAT(Error(cut), HasSubstr("truncated"));
  std::string long_segment = Jpeg(JpegFrame(40, 30) + "\xFF\xE1\xFF\xFF" + std::string("Exif\0\0", 6) + whole);
  EXPECT_EQ(OrientationOf(long_segment), Orientation::kQuarterTurn);  // what exists of it is read
}

TEST(HeaderTest, RandomExifBlocksStayInBounds) {
  unsigned seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937 random(seed);
  for (int i = 0; i < 50'000; ++i) {
    std::string block = Exif(static_cast<int>(random() % 10));
    for (unsigned flips = random() % 5; flips > 0; --flips)
      block[random() % block.size()] = static_cast<char>(random());
    if (random() % 4 == 0) block.resize(random() % block.size());
    // An exact copy on the heap, so that AddressSanitizer sees a read past the end.
    const std::unique_ptr<char[]> exact(new char[block.size()]);
    block.copy(exact.get(), block.size());
    OrientationTags tags;
    tags.ReadExif({exact.get(), block.size()});
    const auto orientation = static_cast<int>(tags.Get());
    ASSERT_TRUE(orientation >= 1 && orientation <= 8) << "seed " << seed;
  }
}

TEST(HeaderTest, BytesBetweenSegmentsAreSkipped) {
  ExpectHeader(Jpeg(Segment(0xE0, "JFIF") + "abc" + JpegFrame(40, 30)), ImageFormat::kJpeg, 40, 30);
  ExpectHeader(Jpeg(Segment(0xE0, "JFIF") + std::string("\0\xFF\0\xFF\xFF", 5) + JpegFrame(40, 30)), ImageFormat::kJpeg,
               40, 30);
  EXPECT_THAT(Error(Jpeg(Segment(0xE0, "JFIF") + std::string(1 << 20, '\0'))), HasSubstr("truncated"));
}

TEST(HostBytesTest, OnlyVeryLargeJpegIsShrunk) {
  const auto shrink = [](ImageFormat format, int width, int height, int slices) {
    absl::StatusOr<PieceGeometry> geometry = ComputePieces(width, height, {.max_slice_nums = slices});
    EXPECT_TRUE(geometry.ok());
    return DecodeShrink(format, *geometry);
  };
  EXPECT_EQ(shrink(ImageFormat::kJpeg, 8000, 5000, 9), 1);  // 40 megapixels
  EXPECT_EQ(shrink(ImageFormat::kJpeg, 8000, 5001, 9), 2);
  EXPECT_EQ(shrink(ImageFormat::kJpeg, 8064, 6048, 9), 2);
  EXPECT_EQ(shrink(ImageFormat::kJpeg, 8064, 6048, 1), 4);
  EXPECT_EQ(shrink(ImageFormat::kJpeg, 8064, 6048, 256), 1);  // the grid needs it all
  EXPECT_EQ(shrink(ImageFormat::kPng, 8064, 6048, 9), 1);
  absl::StatusOr<PieceGeometry> geometry = ComputePieces(8064, 6048, {});
  ASSERT_TRUE(geometry.ok());
  const int64_t pieces = 2 * geometry->total_patches() * 3 * 14 * 14;
  EXPECT_EQ(DecodedHostBytes(ImageFormat::kPng, *geometry), 3 * 8064 * 6048 + pieces);
  EXPECT_EQ(DecodedHostBytes(ImageFormat::kJpeg, *geometry), 3 * 4032 * 3024 + pieces);
}

TEST(HeaderTest, EveryPrefixIsAnError) {
  for (const std::string& file :
       {Png(5, 5), Jpeg(Segment(0xE0, "JFIF") + JpegFrame(5, 5)), Vp8x(5, 5), Gif(5, 5), Bmp(5, 5)}) {
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
  const std::string files[] = {Png(5, 5),
                               Jpeg(Segment(0xE0, "JFIF") + JpegFrame(5, 5)),
                               Jpeg(Segment(0xE1, std::string("Exif\0\0", 6) + Exif(6)) + JpegFrame(5, 7)),
                               Vp8(5, 5),
                               Vp8l(5, 5),
                               Vp8x(5, 5),
                               Gif(5, 5),
                               Bmp(5, 5)};
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
