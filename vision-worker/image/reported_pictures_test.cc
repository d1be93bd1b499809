// Pictures of kinds that servers were reported to read wrongly (tests/pictures), and damage that viewers do not mind.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/testing/paths.h"
#include "model/image/header.h"
#include "vision-worker/image/codec.h"

namespace headroom::vision_worker {
namespace {

std::string ReadFile(const std::string& path) {
  std::ifstream in(SourceDir() + "/" + path, std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(in), {});
  EXPECT_FALSE(bytes.empty()) << path;
  return bytes;
}
std::string Reported(const std::string& name) { return ReadFile("tests/pictures/" + name); }
std::string Fixture(const std::string& name) { return ReadFile("vision-worker/image/testdata/" + name); }

struct Seen {
  DecodeOutcome outcome = DecodeOutcome::kCorrupt;
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;
};

Seen See(const std::string& bytes, Transparency transparency = Transparency::kWhite) {
  const absl::StatusOr<model::ImageHeader> header = model::ProbeImage(bytes, {});
  EXPECT_TRUE(header.ok()) << header.status();
  if (!header.ok()) return {};
  Seen seen{.width = header->width, .height = header->height, .rgb = {}};
  seen.rgb.resize(size_t{3} * seen.width * seen.height);
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  seen.outcome =
      DecodeImage({.header = *header, .transparency = transparency}, exact.data(), exact.size(), seen.rgb.data());
  return seen;
}

// Each byte within `most` of the other picture's, and within `mean` on average.
void ExpectSame(const Seen& got, const Seen& want, int most = 0, double mean = 0) {
  ASSERT_EQ(got.outcome, DecodeOutcome::kOk);
  ASSERT_EQ(want.outcome, DecodeOutcome::kOk);
  ASSERT_EQ(got.width, want.width);
  ASSERT_EQ(got.height, want.height);
  double sum = 0;
  for (size_t i = 0; i < got.rgb.size(); ++i) {
    const int difference = std::abs(got.rgb[i] - want.rgb[i]);
    ASSERT_LE(difference, most) << "byte " << i;
    sum += difference;
  }
  EXPECT_LE(sum / double(got.rgb.size()), mean);
}

TEST(ReportedPicturesTest, PhotosAreUpright) {
  const Seen upright = See(Reported("upright.png"));
  for (const char* name : {"orientation1.jpg", "orientation3.jpg", "orientation6.jpg", "orientation8.jpg"}) {
    SCOPED_TRACE(name);
    ExpectSame(See(Reported(name)), upright, 80, 2.0);  // JPEG loss at the edges of letters
  }
}

TEST(ReportedPicturesTest, TransparencyIsOnWhiteOrDropped) {
  const Seen flattened = See(Reported("flattened.png"));
  for (const char* name : {"black-on-transparent.png", "hidden-noise.png"}) {
    SCOPED_TRACE(name);
    ExpectSame(See(Reported(name)), flattened);
    const Seen dropped = See(Reported(name), Transparency::kDropped);
    EXPECT_EQ(dropped.outcome, DecodeOutcome::kOk);
    EXPECT_NE(dropped.rgb, flattened.rgb);
  }
}

TEST(ReportedPicturesTest, GreyOf16BitsKeepsItsHighByte) {
  ExpectSame(See(Reported("grey16.png")), See(Reported("grey8.png")));
}

TEST(ReportedPicturesTest, GifIsItsFirstFrame) {
  ExpectSame(See(Reported("still.gif")), See(Reported("still-first-frame.png")));
}

TEST(ReportedPicturesTest, JpegWithoutItsEnd) {
  ExpectSame(See(Reported("no-eoi.jpg")), See(Reported("complete.jpg")));
  ExpectSame(See(Reported("no-eoi-2.jpg")), See(Reported("complete-2.jpg")));
  ExpectSame(See(Reported("cut-with-eoi.jpg")), See(Reported("cut-with-eoi.png")), 2, 0.1);
}

TEST(ReportedPicturesTest, JpegThatIsCutIsRefused) {
  const std::string whole = Reported("complete.jpg");
  EXPECT_EQ(See(whole.substr(0, whole.size() / 2)).outcome, DecodeOutcome::kTruncated);
  // Hardly anything is there, whatever stands behind it.
  const size_t scan = whole.find("\xFF\xDA");
  EXPECT_EQ(See(whole.substr(0, scan + 20) + "\xFF\xD9").outcome, DecodeOutcome::kTruncated);
  // Arithmetic coding leaves zeros out at its end, so nobody can tell.
  const std::string arithmetic = Fixture("jpeg_420_arithmetic.jpg");
  EXPECT_EQ(See(arithmetic.substr(0, arithmetic.size() - 2)).outcome, DecodeOutcome::kTruncated);
}

TEST(ReportedPicturesTest, ProgressiveJpegLacksNoScan) {
  const std::string whole = Fixture("jpeg_444_progressive.jpg");
  ExpectSame(See(whole.substr(0, whole.size() - 2)), See(whole));
  int scans = 0;
  for (size_t at = whole.find("\xFF\xDA"); at != std::string::npos; at = whole.find("\xFF\xDA", at + 2)) {
    ++scans;
    EXPECT_EQ(See(whole.substr(0, at)).outcome, DecodeOutcome::kTruncated) << "before scan " << scans;
    if (scans == 1) continue;
    // Closed there, it is shown with what it has.
    EXPECT_EQ(See(whole.substr(0, at) + "\xFF\xD9").outcome, DecodeOutcome::kOk) << "before scan " << scans;
  }
  EXPECT_GE(scans, 4);
}

TEST(ReportedPicturesTest, BytesBetweenJpegSegments) {
  const Seen whole = See(Reported("complete.jpg"));
  ExpectSame(See(Reported("three-zero-bytes.jpg")), whole);
  std::string bytes = Reported("complete.jpg");
  // A marker with fill bytes, and stuffed FF 00, which is none.
  bytes.insert(bytes.find("\xFF\xDB"), std::string("\xFF\x00 junk \xFF\xFF", 10));
  ExpectSame(See(bytes), whole);
}

// Length, name, body, checksum.
struct Chunk {
  size_t at;
  size_t bytes;
};
Chunk Find(const std::string& png, const std::string& name) {
  const size_t at = png.find(name) - 4;
  const auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(png[at + i])); };
  return {at, 12 + (byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3))};
}

TEST(ReportedPicturesTest, PngWithoutItsEndOrWithWrongChecksums) {
  for (const char* name :
       {"png_c2_d8.png", "png_c6_d8_interlaced.png", "png_c3_d4_trns.png", "png_c0_d16_interlaced.png"}) {
    SCOPED_TRACE(name);
    const std::string whole = Fixture(name);
    const Seen want = See(whole);
    const Chunk data = Find(whole, "IDAT");
    ExpectSame(See(whole.substr(0, whole.size() - 12)), want);         // IEND is missing
    ExpectSame(See(whole.substr(0, data.at + data.bytes - 4)), want);  // and the checksum of the chunk
    ExpectSame(See(whole + "what follows the end"), want);
    std::string damaged = whole;
    damaged[data.at + data.bytes - 1] ^= 1;
    ExpectSame(See(damaged), want);  // as Pillow, which does not look at it
    const Chunk gamma = Find(whole, "gAMA");
    damaged = whole;
    damaged[gamma.at + gamma.bytes - 1] ^= 1;
    ExpectSame(See(damaged), want);
    damaged = whole;
    damaged[data.at + data.bytes - 5] ^= 1;
    EXPECT_EQ(See(damaged).outcome, DecodeOutcome::kCorrupt);  // the checksum of the pixels
    EXPECT_EQ(See(whole.substr(0, data.at + data.bytes - 30)).outcome, DecodeOutcome::kTruncated);
    EXPECT_EQ(See(whole.substr(0, data.at + data.bytes - 5)).outcome, DecodeOutcome::kTruncated);
  }
}

}  // namespace
}  // namespace headroom::vision_worker
