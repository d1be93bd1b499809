// What an image file says about itself, read from its header alone: the gateway prices a request with it before any
// pixel exists.
//
// The format is recognised by content, never by name. Nothing is allocated and no entropy-coded byte is read, so the
// cost does not depend on the size that the header claims. A header can lie: the decoder refuses a picture that differs
// from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "model/image/exif.h"

namespace headroom::model {

// Values are part of the protocol with the decoder process.
enum class ImageFormat { kPng = 1, kJpeg = 2, kWebp = 3, kGif = 4, kBmp = 5 };

const char* ImageFormatName(ImageFormat format);

// The name in small letters, as services write it to each other.
std::string ImageFormatKey(ImageFormat format);
std::optional<ImageFormat> ImageFormatFromKey(std::string_view key);

// All limits are inclusive. A refusal names the setting of the gateway that a limit comes from.
struct ImageLimits {
  int64_t bytes_max = int64_t{20} << 20;  // receive_bytes_max
  int64_t side_max = 32768;               // image_side_max: pixels; at most 65535
  int64_t pixels_max = 64'000'000;        // image_pixels_max: width × height
  // Long side over short side. Patches per piece grow with the ratio (1056 up to 5:1, about 1370 near 455:1), see
  // pieces.h.
  int64_t aspect_ratio_max = 1024;
};

struct ImageHeader {
  ImageFormat format = ImageFormat::kPng;
  int width = 0;   // pixels, as people see it: turned by `orientation`
  int height = 0;  // pixels
  Orientation orientation = Orientation::kUpright;

  // As the file stores it.
  int stored_width() const { return SwapsSides(orientation) ? height : width; }
  int stored_height() const { return SwapsSides(orientation) ? width : height; }
};

// INVALID_ARGUMENT, with the value and the limit, for a picture of this size, as people see it or as it is stored.
absl::Status CheckImageSize(int64_t width, int64_t height, const ImageLimits& limits);

// INVALID_ARGUMENT, with the value and the limit, for: no bytes, too many bytes, a format that is not PNG, JPEG, WebP,
// GIF or BMP (named when recognised), a truncated or malformed header, a coding process that no decoder here has, and
// sizes outside `limits`. The turn is that of EXIF or XMP as Pillow's exif_transpose finds it; a broken block is no
// turn. Of several pictures in a file (animations, MPO) the first counts. Thread-safe, no state.
absl::StatusOr<ImageHeader> ProbeImage(const std::string& bytes, const ImageLimits& limits);

}  // namespace headroom::model
