// Headers of clients' pictures, and the pieces that follow from them: what admission trusts.
#include <algorithm>

#include "common/check.h"
#include "model/image/header.h"
#include "model/image/host_bytes.h"
#include "model/image/pieces.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

constexpr model::ImageLimits kLimits[] = {
    {},
    {.bytes_max = 4096, .side_max = 100, .pixels_max = 5000, .aspect_ratio_max = 4},
    {.side_max = 1 << 20, .pixels_max = int64_t{1} << 40, .aspect_ratio_max = int64_t{1} << 40}};
constexpr model::SliceConfig kConfigs[] = {
    {}, {.max_slice_nums = 1}, {.max_slice_nums = 256, .scale_resolution = 56}, {2, 8192, 1}, {256, 1, 1}};

// A side snaps to the nearest multiple of the patch size, so it grows by at most one patch.
void CheckPieceArea(int64_t width, int64_t height, const model::SliceConfig& config) {
  const int64_t scale = config.scale_resolution;
  const int64_t patch = config.patch_size;
  HEADROOM_CHECK(width >= patch && height >= patch && width % patch == 0 && height % patch == 0);
  HEADROOM_CHECK(width * height <= scale * scale + patch * (width + height) + patch * patch) << width << "x" << height;
}

void CheckPieces(const model::ImageHeader& header, const model::SliceConfig& config) {
  const auto geometry = model::ComputePieces(header.width, header.height, config);
  HEADROOM_CHECK(geometry.ok()) << geometry.status();
  const int64_t slices = int64_t{geometry->grid_cols} * geometry->grid_rows;
  HEADROOM_CHECK(slices >= 0 && slices != 1 && slices <= config.max_slice_nums);
  HEADROOM_CHECK(static_cast<int64_t>(geometry->pieces.size()) == 1 + slices);
  CheckPieceArea(geometry->overview_width, geometry->overview_height, config);
  if (geometry->sliced()) CheckPieceArea(geometry->slice_width, geometry->slice_height, config);
  const int64_t pieces = 1 + slices;
  HEADROOM_CHECK(geometry->total_patches() <= pieces * geometry->largest_piece_patches());
  const int64_t pixel_bytes = geometry->total_patches() * 3 * config.patch_size * config.patch_size;
  HEADROOM_CHECK(pixel_bytes > 0);
  HEADROOM_CHECK(model::DecodedHostBytes(header.format, *geometry) > pixel_bytes);
  const int64_t largest = geometry->largest_piece_patches();
  HEADROOM_CHECK(model::CheckPiecePatches(*geometry, largest).ok());
  CheckClientError(model::CheckPiecePatches(*geometry, largest - 1));
}

void Run(const std::string& input) {
  for (const model::ImageLimits& limits : kLimits) {
    const auto header = model::ProbeImage(input, limits);
    if (!header.ok()) {
      CheckClientError(header.status());
      continue;
    }
    const int64_t longer = std::max(header->width, header->height);
    const int64_t shorter = std::min(header->width, header->height);
    HEADROOM_CHECK(static_cast<int64_t>(input.size()) <= limits.bytes_max);
    HEADROOM_CHECK(shorter >= 1 && longer <= std::min<int64_t>(limits.side_max, model::kImageSideLimit));
    HEADROOM_CHECK(longer * shorter <= limits.pixels_max && longer <= limits.aspect_ratio_max * shorter);
    for (const model::SliceConfig& config : kConfigs) CheckPieces(*header, config);
  }
}

// Nothing behind the first kilobyte of a picture's header is read.
std::vector<std::string> Seeds() {
  std::vector<std::string> seeds = TreeFiles("vision-worker/image/testdata", {".png", ".jpg", ".webp", ".gif", ".bmp"});
  for (std::string& seed : seeds) seed.resize(std::min<size_t>(seed.size(), 1024));
  for (const char* other : {"GIF89a", "II*", "....ftypavif", "\xEF\xBB\xBF <svg>", "RIFF"}) seeds.emplace_back(other);
  return seeds;
}

const Registration registration({"image_header", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
