#include "vision-worker/image/cut.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "common/testing/heap_peak.h"
#include "common/testing/paths.h"
#include "model/image/header.h"
#include "vision-worker/image/codec.h"

namespace headroom::vision_worker {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// HEADROOM_GOLDEN_DIR names another directory in the same layout.
fs::path GoldenDir() {
  const char* other = std::getenv("HEADROOM_GOLDEN_DIR");
  return other != nullptr ? fs::path(other) : fs::path(SourceDir() + "/tests/golden/minicpmv");
}

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_sha256(), nullptr); }
  ~Sha256() { EVP_MD_CTX_free(context_); }
  void Add(const std::vector<uint8_t>& bytes) { EVP_DigestUpdate(context_, bytes.data(), bytes.size()); }
  std::string Hex() {
    unsigned char digest[32];
    EVP_DigestFinal_ex(context_, digest, nullptr);
    std::string hex;
    char two[3];
    for (unsigned char byte : digest) {
      std::snprintf(two, sizeof(two), "%02x", byte);
      hex += two;
    }
    return hex;
  }

 private:
  EVP_MD_CTX* context_;
};

RgbImage Decode(const std::string& bytes) {
  absl::StatusOr<model::ImageHeader> header = model::ProbeImage(bytes, {});
  EXPECT_TRUE(header.ok()) << header.status();
  if (!header.ok()) return {};
  auto* pixels = new uint8_t[size_t{3} * header->width * header->height];
  RgbImage image{header->width, header->height,
                 std::shared_ptr<const uint8_t>(pixels, std::default_delete<uint8_t[]>())};
  EXPECT_EQ(DecodeImage({.header = *header, .transparency = Transparency::kDropped},
                        reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), pixels),
            DecodeOutcome::kOk);
  return image;
}

void CheckCase(const fs::path& golden, const json& expected, int max_slice_nums) {
  SCOPED_TRACE(expected["name"].get<std::string>());
  Sha256 all;
  size_t next = 0;
  for (const json& message : expected["messages"]) {
    if (!message["content"].is_array()) continue;
    for (const json& part : message["content"]) {
      if (!part.contains("image")) continue;
      RgbImage image = Decode(ReadFile(golden / part["image"].get<std::string>()));
      absl::StatusOr<model::PieceGeometry> geometry =
          model::ComputePieces(image.width, image.height, {max_slice_nums, 448, 14});
      ASSERT_TRUE(geometry.ok());
      absl::StatusOr<std::vector<PiecePixels>> pieces = CutPieces(image, *geometry);
      ASSERT_TRUE(pieces.ok()) << pieces.status();
      for (const PiecePixels& piece : *pieces) {
        ASSERT_LT(next, expected["tgt_sizes"].size());
        EXPECT_EQ(expected["tgt_sizes"][next], (json{piece.grid.rows, piece.grid.cols}));
        Sha256 one;
        one.Add(PieceStrip(piece));
        all.Add(PieceStrip(piece));
        EXPECT_EQ(one.Hex(), expected["piece_sha256"][next]) << "piece " << next;
        ++next;
      }
    }
  }
  EXPECT_EQ(next, expected["tgt_sizes"].size());
  if (next > 0) {
    EXPECT_EQ(all.Hex(), expected["pixels_sha256"]);
  }
}

TEST(CutTest, PixelsEqualTheReference) {
  json config = json::parse(ReadFile(GoldenDir() / "preprocessor_config.json"));
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(GoldenDir() / "expected")) {
    if (entry.path().extension() != ".json") continue;
    json expected = json::parse(ReadFile(entry.path()));
    if (!expected.is_object() || !expected.contains("tgt_sizes")) continue;
    const json& limit = expected["max_slice_nums"];
    CheckCase(GoldenDir(), expected, (limit.is_null() ? config["max_slice_nums"] : limit).get<int>());
    ++cases;
  }
  EXPECT_GE(cases, 8);
}

RgbImage Ramp(int width, int height) {
  auto* pixels = new uint8_t[size_t{3} * width * height];
  for (int i = 0; i < 3 * width * height; ++i) pixels[i] = uint8_t(i * 7);
  return {width, height, std::shared_ptr<const uint8_t>(pixels, std::default_delete<uint8_t[]>())};
}

TEST(CutTest, PatchMatrixIsNormalisedAndChannelFirst) {
  absl::StatusOr<model::PieceGeometry> geometry = model::ComputePieces(60, 40, {9, 30, 5});
  ASSERT_TRUE(geometry.ok());
  ASSERT_TRUE(geometry->sliced());
  absl::StatusOr<std::vector<PiecePixels>> pieces = CutPieces(Ramp(60, 40), *geometry);
  ASSERT_TRUE(pieces.ok());
  const PixelNorm norm{{0.5f, 0.25f, 0.125f}, {0.5f, 2.0f, 0.75f}};
  for (const PiecePixels& piece : *pieces) {
    const int columns = 3 * 5 * 5;
    std::vector<float> matrix(piece.grid.patches() * columns);
    WritePatchMatrix(piece, norm, matrix.data());
    for (int row = 0; row < piece.grid.rows * 5; ++row) {
      for (int col = 0; col < piece.grid.cols * 5; ++col) {
        int patch = row / 5 * piece.grid.cols + col / 5;
        for (int channel = 0; channel < 3; ++channel) {
          float pixel = piece.rgb[(size_t(row) * piece.grid.cols * 5 + col) * 3 + channel];
          float want = (pixel / 255.0f - norm.mean[channel]) / norm.std[channel];
          ASSERT_EQ(matrix[size_t(patch) * columns + channel * 25 + row % 5 * 5 + col % 5], want);
        }
      }
    }
  }
}

TEST(CutTest, GridMatrixGoesBlockByBlock) {
  constexpr int kSide = 3, kMerge = 2, kFrames = 2, kColumns = 3 * kFrames * kSide * kSide;
  PiecePixels piece{.grid = {4, 6}, .patch_size = kSide, .rgb = {}};
  for (int i = 0; i < 4 * 6 * kSide * kSide * 3; ++i) piece.rgb.push_back(static_cast<uint8_t>(i * 37 % 256));
  const PixelNorm norm{.mean = {0.1f, 0.2f, 0.3f}, .std = {0.5f, 0.25f, 2.0f}};
  std::vector<float> matrix(static_cast<size_t>(piece.grid.patches()) * kColumns);
  WriteGridMatrix(piece, norm, {.merge = kMerge, .frames = kFrames}, matrix.data());
  size_t next = 0;
  for (int patch = 0; patch < piece.grid.patches(); ++patch) {
    const int block = patch / (kMerge * kMerge), inside = patch % (kMerge * kMerge);
    const int row = block / (6 / kMerge) * kMerge + inside / kMerge,
              col = block % (6 / kMerge) * kMerge + inside % kMerge;
    for (size_t channel = 0; channel < 3; ++channel) {
      for (int frame = 0; frame < kFrames; ++frame) {
        for (int pixel = 0; pixel < kSide * kSide; ++pixel) {
          const int y = row * kSide + pixel / kSide, x = col * kSide + pixel % kSide;
          const auto value =
              static_cast<float>(piece.rgb[static_cast<size_t>(y * 6 * kSide + x) * 3 + channel] * (1.0 / 255));
          ASSERT_EQ(matrix[next++], (value - norm.mean[channel]) / norm.std[channel]) << patch << " " << pixel;
        }
      }
    }
  }
}

TEST(CutTest, SlicesTileTheResizedPicture) {
  // The picture already has the size of the sheet, so its slices are its own pixels.
  model::PieceGeometry geometry;
  geometry.image_width = 12;
  geometry.image_height = 8;
  geometry.patch_size = 2;
  geometry.overview_width = geometry.overview_height = 4;
  geometry.grid_cols = 3;
  geometry.grid_rows = 2;
  geometry.slice_width = geometry.slice_height = 4;
  geometry.pieces.assign(7, {.grid = {2, 2}, .rows = 64});
  RgbImage image = Ramp(12, 8);
  absl::StatusOr<std::vector<PiecePixels>> pieces = CutPieces(image, geometry);
  ASSERT_TRUE(pieces.ok());
  ASSERT_EQ(pieces->size(), 7u);
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 12; ++x) {
      const PiecePixels& piece = (*pieces)[1 + y / 4 * 3 + x / 4];
      EXPECT_EQ(piece.rgb[(y % 4 * 4 + x % 4) * 3], image.pixels.get()[(y * 12 + x) * 3]);
    }
  }
}

TEST(CutTest, OtherSizeThanPricedIsRefused) {
  absl::StatusOr<model::PieceGeometry> geometry = model::ComputePieces(60, 41, {});
  ASSERT_TRUE(geometry.ok());
  EXPECT_EQ(CutPieces(Ramp(60, 40), *geometry).status().message(),
            "decoded image is 60x40 pixels, not 60x41 as priced");
}

TEST(CutTest, ShrunkPicturesArePriced) {
  absl::StatusOr<model::PieceGeometry> geometry = model::ComputePieces(60, 41, {});
  ASSERT_TRUE(geometry.ok());
  RgbImage small = Ramp(15, 11);  // 41 / 4, rounded up
  small.shrink = 4;
  EXPECT_TRUE(CutPieces(small, *geometry).ok());
  small = Ramp(15, 10);
  small.shrink = 4;
  EXPECT_EQ(CutPieces(small, *geometry).status().message(),
            "decoded image is 15x10 pixels, not 60x41 as priced at 1/4");
}

TEST(CutTest, PeakBytesAreBounded) {
  for (auto [width, height] : {std::pair{4000, 3000}, {1, 1}, {32768, 1953}, {1953, 32768}, {8000, 8000}}) {
    absl::StatusOr<model::PieceGeometry> geometry = model::ComputePieces(width, height, {});
    ASSERT_TRUE(geometry.ok());
    const RgbImage image = Ramp(width, height);
    const HeapPeak peak;
    ASSERT_TRUE(CutPieces(image, *geometry).ok());
    EXPECT_GE(peak.bytes(), geometry->total_patches() * 3 * 14 * 14);
    EXPECT_LT(peak.bytes(), 24 << 20) << width << "x" << height;
  }
}

}  // namespace
}  // namespace headroom::vision_worker
