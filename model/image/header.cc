#include "model/image/header.h"

#include <algorithm>
#include <cstring>

#include "common/status.h"

namespace headroom::model {
namespace {

// JPEG files carry metadata segments before the frame header; a real file has some dozens (an ICC profile or EXIF in 64
// KiB parts).
constexpr int kJpegSegmentsMax = 1024;

// Keeps every product below in 64 bits, whatever the configured limits say.
constexpr int64_t kSideMax = 65535;

absl::Status Truncated(const char* format) {
  return absl::InvalidArgumentError(absl::StrCat("truncated ", format, " header"));
}

absl::Status Malformed(const char* format, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat("malformed ", format, " header: ", what));
}

// Bounds-checked view of the file. Reads past the end give 0; callers check Has() first where it matters.
class Bytes {
 public:
  explicit Bytes(const std::string& bytes) : data_(bytes) {}

  bool Has(size_t offset, size_t count) const { return offset <= data_.size() && count <= data_.size() - offset; }
  uint32_t U8(size_t offset) const { return Has(offset, 1) ? static_cast<unsigned char>(data_[offset]) : 0; }
  uint32_t Be16(size_t offset) const { return U8(offset) << 8 | U8(offset + 1); }
  uint32_t Be32(size_t offset) const { return Be16(offset) << 16 | Be16(offset + 2); }
  uint32_t Le16(size_t offset) const { return U8(offset) | U8(offset + 1) << 8; }
  uint32_t Le24(size_t offset) const { return Le16(offset) | U8(offset + 2) << 16; }
  uint32_t Le32(size_t offset) const { return Le16(offset) | Le16(offset + 2) << 16; }
  bool Is(size_t offset, const char* text, size_t length) const {
    return Has(offset, length) && std::memcmp(data_.data() + offset, text, length) == 0;
  }
  template <size_t n>
  bool Is(size_t offset, const char (&text)[n]) const {
    return Is(offset, text, n - 1);
  }
  // True when the file is a proper prefix of `text`: cut off inside the signature.
  template <size_t n>
  bool CutInside(const char (&text)[n]) const {
    return data_.size() < n - 1 && std::memcmp(data_.data(), text, data_.size()) == 0;
  }
  size_t size() const { return data_.size(); }

 private:
  const std::string& data_;
};

constexpr char kPngSignature[] = "\x89PNG\r\n\x1a\n";

struct Size {
  int64_t width;
  int64_t height;
};

bool PngDepthAllowed(uint32_t colour, uint32_t depth) {
  switch (colour) {
    case 0:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
    case 3:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8;
    case 2:
    case 4:
    case 6:
      return depth == 8 || depth == 16;
    default:
      return false;
  }
}

// PNG 1.2, 11.2.2: the first chunk is IHDR, 13 bytes.
absl::StatusOr<Size> ProbePng(const Bytes& file) {
  if (!file.Has(8, 8)) return Truncated("PNG");
  if (!file.Is(12, "IHDR") || file.Be32(8) != 13) return Malformed("PNG", "the first chunk is not IHDR");
  if (!file.Has(16, 13 + 4)) return Truncated("PNG");
  if (!PngDepthAllowed(file.U8(25), file.U8(24))) return Malformed("PNG", "colour type and bit depth do not match");
  if (file.U8(26) != 0 || file.U8(27) != 0) return Malformed("PNG", "unknown compression or filter method");
  if (file.U8(28) > 1) return Malformed("PNG", "unknown interlace method");
  return Size{file.Be32(16), file.Be32(20)};
}

bool IsJpegFrame(uint32_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

// ITU-T T.81, B.2.2: frame header {length, precision, height, width, components}.
absl::StatusOr<Size> ReadJpegFrame(const Bytes& file, size_t at, uint32_t marker) {
  if (!file.Has(at, 8)) return Truncated("JPEG");
  if (marker > 0xC2) {
    return absl::InvalidArgumentError(
        absl::StrCat("JPEG coding process SOF", marker - 0xC0, " is not supported: use baseline or progressive"));
  }
  if (file.U8(at + 2) != 8) {
    return absl::InvalidArgumentError(absl::StrCat("JPEG with ", file.U8(at + 2), " bits a sample: limit 8"));
  }
  uint32_t components = file.U8(at + 7);
  if (components != 1 && components != 3 && components != 4) {
    return absl::InvalidArgumentError(absl::StrCat("JPEG with ", components, " components: 1, 3 or 4 are supported"));
  }
  if (file.Be16(at) != 8 + 3 * components) return Malformed("JPEG", "frame length");
  return Size{file.Be16(at + 5), file.Be16(at + 3)};
}

absl::StatusOr<Size> ProbeJpeg(const Bytes& file) {
  size_t at = 2;
  for (int segment = 0; segment < kJpegSegmentsMax; ++segment) {
    if (!file.Has(at, 2)) return Truncated("JPEG");
    if (file.U8(at) != 0xFF) return Malformed("JPEG", "a marker is missing");
    // Any number of fill bytes 0xFF may stand before a marker.
    while (file.Has(at, 2) && file.U8(at + 1) == 0xFF) ++at;
    uint32_t marker = file.U8(at + 1);
    at += 2;
    if (!file.Has(at, 1)) return Truncated("JPEG");
    if (IsJpegFrame(marker)) return ReadJpegFrame(file, at, marker);
    if (marker == 0xDA || marker == 0xD9 || marker == 0xD8 || marker == 0) {
      return Malformed("JPEG", "no frame header before the data");
    }
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) continue;  // TEM and RSTn have no length
    if (!file.Has(at, 2)) return Truncated("JPEG");
    uint32_t length = file.Be16(at);
    if (length < 2) return Malformed("JPEG", "segment length below 2");
    at += length;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("JPEG with more than ", kJpegSegmentsMax, " segments before the frame header"));
}

// RFC 6386, 9.1: a key frame starts with a 3-byte tag, 9D 01 2A and two 14-bit sizes (the upper two bits are a scaling
// hint).
absl::StatusOr<Size> ReadVp8(const Bytes& file, size_t at) {
  if (!file.Has(at, 10)) return Truncated("WebP");
  if ((file.U8(at) & 1) != 0) return Malformed("WebP", "the first frame is not a key frame");
  if (!file.Is(at + 3, "\x9d\x01\x2a")) return Malformed("WebP", "VP8 start code");
  return Size{file.Le16(at + 6) & 0x3FFF, file.Le16(at + 8) & 0x3FFF};
}

// WebP lossless bitstream specification, section 3.
absl::StatusOr<Size> ReadVp8l(const Bytes& file, size_t at) {
  if (!file.Has(at, 5)) return Truncated("WebP");
  if (file.U8(at) != 0x2F) return Malformed("WebP", "VP8L signature");
  uint32_t bits = file.Le32(at + 1);
  if (bits >> 29 != 0) return Malformed("WebP", "VP8L version");
  return Size{(bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1};
}

absl::StatusOr<Size> ProbeWebp(const Bytes& file) {
  if (!file.Has(12, 8)) return Truncated("WebP");
  constexpr size_t kPayload = 20;
  if (file.Is(12, "VP8 ")) return ReadVp8(file, kPayload);
  if (file.Is(12, "VP8L")) return ReadVp8l(file, kPayload);
  if (!file.Is(12, "VP8X")) return Malformed("WebP", "unknown first chunk");
  if (file.Le32(16) < 10) return Malformed("WebP", "VP8X length");
  if (!file.Has(kPayload, 10)) return Truncated("WebP");
  return Size{int64_t{file.Le24(kPayload + 4)} + 1, int64_t{file.Le24(kPayload + 7)} + 1};
}

// ISO base media files: HEIC and AVIF name themselves in the `ftyp` box.
const char* IsoBrand(const Bytes& file) {
  for (const char* brand : {"avif", "avis"}) {
    if (file.Is(8, brand, 4)) return "AVIF";
  }
  for (const char* brand : {"heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"}) {
    if (file.Is(8, brand, 4)) return "HEIC";
  }
  return "a video or ISO media file";
}

bool LooksLikeSvg(const Bytes& file) {
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
const char* UnsupportedFormat(const Bytes& file) {
  if (file.Is(0, "GIF87a") || file.Is(0, "GIF89a")) return "GIF";
  if (file.Is(0, "II*\0") || file.Is(0, "MM\0*") || file.Is(0, "II+\0") || file.Is(0, "MM\0+")) return "TIFF";
  if (file.Is(4, "ftyp")) return IsoBrand(file);
  if (file.Is(0, "\0\0\0\x0CjP  ") || file.Is(0, "\xFF\x4F\xFF\x51")) return "JPEG 2000";
  if (file.Is(0, "\0\0\0\x0CJXL ") || file.Is(0, "\xFF\x0A")) return "JPEG XL";
  if (file.Is(0, "%PDF")) return "PDF";
  if (file.Is(0, "8BPS")) return "PSD";
  if (file.Is(0, "qoif")) return "QOI";
  if (file.Is(0, "\0\0\1\0")) return "ICO";
  if (LooksLikeSvg(file)) return "SVG";
  if (file.Is(0, "BM")) return "BMP";
  return nullptr;
}

absl::Status CheckSize(const Size& size, const ImageLimits& limits) {
  auto refuse = [](const char* what, int64_t value, int64_t limit) {
    return absl::InvalidArgumentError(absl::StrCat("image ", what, " is ", value, ": limit ", limit));
  };
  if (size.width < 1 || size.height < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("image size is ", size.width, "x", size.height, ": both sides must be at least 1"));
  }
  int64_t side_max = std::min(limits.side_max, kSideMax);
  if (size.width > side_max) return refuse("width", size.width, side_max);
  if (size.height > side_max) return refuse("height", size.height, side_max);
  if (size.width * size.height > limits.pixels_max) {
    return absl::InvalidArgumentError(absl::StrCat("image has ", size.width * size.height, " pixels (", size.width, "x",
                                                   size.height, "): limit ", limits.pixels_max));
  }
  int64_t longer = std::max(size.width, size.height);
  int64_t shorter = std::min(size.width, size.height);
  if (longer > limits.aspect_ratio_max * shorter) {
    return absl::InvalidArgumentError(absl::StrCat("image aspect ratio is ", size.width, ":", size.height, ": limit ",
                                                   limits.aspect_ratio_max, ":1"));
  }
  return absl::OkStatus();
}

absl::StatusOr<ImageFormat> SniffFormat(const Bytes& file) {
  if (file.Is(0, kPngSignature)) return ImageFormat::kPng;
  if (file.Is(0, "\xFF\xD8\xFF")) return ImageFormat::kJpeg;
  if (file.Is(0, "RIFF") && file.Is(8, "WEBP")) return ImageFormat::kWebp;
  if (file.CutInside(kPngSignature)) return Truncated("PNG");
  if (file.CutInside("\xFF\xD8\xFF")) return Truncated("JPEG");
  if (file.CutInside("RIFF") || (file.Is(0, "RIFF") && file.size() < 12)) return Truncated("WebP");
  const char* name = UnsupportedFormat(file);
  return absl::InvalidArgumentError(absl::StrCat(
      "unsupported image format", name == nullptr ? "" : absl::StrCat(" ", name), ": PNG, JPEG or WebP expected"));
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
  }
  return "unknown";
}

absl::StatusOr<ImageHeader> ProbeImage(const std::string& bytes, const ImageLimits& limits) {
  if (bytes.empty()) return absl::InvalidArgumentError("image has 0 bytes");
  if (static_cast<int64_t>(bytes.size()) > limits.bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("image has ", bytes.size(), " bytes: limit ", limits.bytes_max));
  }
  Bytes file(bytes);
  HEADROOM_ASSIGN_OR_RETURN(ImageFormat format, SniffFormat(file));
  absl::StatusOr<Size> size = format == ImageFormat::kPng    ? ProbePng(file)
                              : format == ImageFormat::kJpeg ? ProbeJpeg(file)
                                                             : ProbeWebp(file);
  HEADROOM_RETURN_IF_ERROR(size.status());
  HEADROOM_RETURN_IF_ERROR(CheckSize(*size, limits));
  return ImageHeader{format, static_cast<int>(size->width), static_cast<int>(size->height)};
}

}  // namespace headroom::model
