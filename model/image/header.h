// What an image file says about itself, read from its header alone: the gateway prices a request with it before any
// pixel exists.
//
// The format is recognised by content, never by name. Nothing is allocated and no entropy-coded byte is read, so the
// cost does not depend on the size that the header claims. A header can lie: the decoder refuses a picture that differs
// from it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace headroom::model {

enum class ImageFormat { kPng = 1, kJpeg = 2, kWebp = 3 };

const char* ImageFormatName(ImageFormat format);

// All limits are inclusive.
struct ImageLimits {
  int64_t bytes_max = int64_t{20} << 20;
  int64_t side_max = 32768;         // pixels; at most 65535
  int64_t pixels_max = 40'000'000;  // width × height
  // Long side over short side. Patches per piece grow with the ratio (1056 up to 5:1, about 1370 near 455:1), see
  // pieces.h.
  int64_t aspect_ratio_max = 1024;
};

struct ImageHeader {
  ImageFormat format = ImageFormat::kPng;
  int width = 0;   // pixels, as stored: EXIF orientation is not applied
  int height = 0;  // pixels
};

// INVALID_ARGUMENT, with the value and the limit, for: no bytes, too many bytes, a format that is not PNG, JPEG or WebP
// (named when recognised), a truncated or malformed header, a coding process that no decoder here has, and sizes
// outside `limits`. Thread-safe, no state.
absl::StatusOr<ImageHeader> ProbeImage(const std::string& bytes, const ImageLimits& limits);

}  // namespace headroom::model
