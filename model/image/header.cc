#include "model/image/header.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/status.h"
#include "model/image/format_headers.h"

namespace headroom::model {
namespace {

// Keeps every product below in 64 bits, whatever the configured limits say.
constexpr int64_t kSideMax = 65535;

constexpr const char* kFormats = "PNG, JPEG, WebP, GIF and BMP";

constexpr char kPngSignature[] = "\x89PNG\r\n\x1a\n";

// ISO base media files: HEIC and AVIF name themselves in the `ftyp` box.
const char* IsoBrand(const FileBytes& file) {
  for (const char* brand : {"avif", "avis"}) {
    if (file.Is(8, std::string_view(brand))) return "AVIF";
  }
  for (const char* brand : {"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"}) {
    if (file.Is(8, std::string_view(brand))) return "HEIC";
  }
  return "a video or ISO media file";
}

bool LooksLikeSvg(const FileBytes& file) {
  constexpr size_t kLook = 1024;
  size_t start = file.Is(0, "\xEF\xBB\xBF") ? 3 : 0;
  while (start < 64 &&
         (file.U8(start) == ' ' || file.U8(start) == '\n' || file.U8(start) == '\r' || file.U8(start) == '\t')) {
    ++start;
  }
  if (file.U8(start) != '<') return false;
  for (size_t at = start; at < std::min(file.size(), kLook); ++at) {
    if (file.Is(at, "<svg")) return true;
  }
  return false;
}

// Name of a format that people send and that is not decoded here, or nullptr.
const char* UnsupportedFormat(const FileBytes& file) {
  if (file.Is(0, "II*\0") || file.Is(0, "MM\0*") || file.Is(0, "II+\0") || file.Is(0, "MM\0+")) return "TIFF";
  if (file.Is(4, "ftyp")) return IsoBrand(file);
  if (file.Is(0, "\0\0\0\x0CjP  ") || file.Is(0, "\xFF\x4F\xFF\x51")) return "JPEG 2000";
  if (file.Is(0, "\0\0\0\x0CJXL ") || file.Is(0, "\xFF\x0A")) return "JPEG XL";
  if (file.Is(0, "%PDF")) return "PDF";
  if (file.Is(0, "8BPS")) return "PSD";
  if (file.Is(0, "qoif")) return "QOI";
  if (file.Is(0, "\0\0\1\0")) return "ICO";
  if (LooksLikeSvg(file)) return "SVG";
  return nullptr;
}

absl::StatusOr<ImageFormat> SniffFormat(const FileBytes& file) {
  if (file.Is(0, kPngSignature)) return ImageFormat::kPng;
  if (file.Is(0, "\xFF\xD8\xFF")) return ImageFormat::kJpeg;
  if (file.Is(0, "RIFF") && file.Is(8, "WEBP")) return ImageFormat::kWebp;
  if (file.Is(0, "GIF87a") || file.Is(0, "GIF89a")) return ImageFormat::kGif;
  if (file.CutInside(kPngSignature)) return TruncatedHeader("PNG");
  if (file.CutInside("\xFF\xD8\xFF")) return TruncatedHeader("JPEG");
  if (file.CutInside("RIFF") || (file.Is(0, "RIFF") && file.size() < 12)) return TruncatedHeader("WebP");
  if (file.CutInside("GIF87a") || file.CutInside("GIF89a")) return TruncatedHeader("GIF");
  const char* name = UnsupportedFormat(file);
  // Two letters are a weak signature, so the others come first.
  if (name == nullptr && file.Is(0, "BM")) return ImageFormat::kBmp;
  if (name != nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("unsupported image format ", name, ": convert it to PNG or JPEG (", kFormats, " are read)"));
  }
  return absl::InvalidArgumentError(absl::StrCat("not an image of a known format: ", kFormats, " are read"));
}

absl::StatusOr<StoredSize> ProbeSize(ImageFormat format, const FileBytes& file) {
  switch (format) {
    case ImageFormat::kPng:
      return ProbePng(file);
    case ImageFormat::kJpeg:
      return ProbeJpeg(file);
    case ImageFormat::kWebp:
      return ProbeWebp(file);
    case ImageFormat::kGif:
      return ProbeGif(file);
    case ImageFormat::kBmp:
      return ProbeBmp(file);
  }
  return absl::InternalError("unknown image format");
}

}  // namespace

const char* ImageFormatName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kPng:
      return "PNG";
    case ImageFormat::kJpeg:
      return "JPEG";
    case ImageFormat::kWebp:
      return "WebP";
    case ImageFormat::kGif:
      return "GIF";
    case ImageFormat::kBmp:
      return "BMP";
  }
  return "unknown";
}

std::string ImageFormatKey(ImageFormat format) { return absl::AsciiStrToLower(ImageFormatName(format)); }

std::optional<ImageFormat> ImageFormatFromKey(std::string_view key) {
  for (const ImageFormat format :
       {ImageFormat::kPng, ImageFormat::kJpeg, ImageFormat::kWebp, ImageFormat::kGif, ImageFormat::kBmp}) {
    if (ImageFormatKey(format) == key) return format;
  }
  return std::nullopt;
}

// The message names the setting that would let the picture in.
absl::Status CheckImageSize(int64_t width, int64_t height, const ImageLimits& limits) {
  auto refuse = [](const char* what, int64_t value, int64_t limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("image ", what, " is ", value, ": limit ", limit, " (image_side_max)"));
  };
  if (width < 1 || height < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("image size is ", width, "x", height, ": both sides must be at least 1"));
  }
  int64_t side_max = std::min(limits.side_max, kSideMax);
  if (width > side_max) return refuse("width", width, side_max);
  if (height > side_max) return refuse("height", height, side_max);
  if (width * height > limits.pixels_max) {
    return absl::InvalidArgumentError(absl::StrCat("image has ", width * height, " pixels (", width, "x", height,
                                                   "): limit ", limits.pixels_max, " (image_pixels_max)"));
  }
  int64_t longer = std::max(width, height);
  int64_t shorter = std::min(width, height);
  if (longer > limits.aspect_ratio_max * shorter) {
    return absl::InvalidArgumentError(
        absl::StrCat("image aspect ratio is ", width, ":", height, ": limit ", limits.aspect_ratio_max, ":1"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ImageHeader> ProbeImage(const std::string& bytes, const ImageLimits& limits) {
  if (bytes.empty()) return absl::InvalidArgumentError("image has 0 bytes");
  if (static_cast<int64_t>(bytes.size()) > limits.bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("image has ", bytes.size(), " bytes: limit ", limits.bytes_max, " (receive_bytes_max)"));
  }
  const FileBytes file(bytes);
  HEADROOM_ASSIGN_OR_RETURN(ImageFormat format, SniffFormat(file));
  HEADROOM_ASSIGN_OR_RETURN(StoredSize size, ProbeSize(format, file));
  if (SwapsSides(size.orientation)) std::swap(size.width, size.height);
  HEADROOM_RETURN_IF_ERROR(CheckImageSize(size.width, size.height, limits));
  return ImageHeader{format, static_cast<int>(size.width), static_cast<int>(size.height), size.orientation};
}

}  // namespace headroom::model
