#include <algorithm>

#include "model/image/format_headers.h"

namespace headroom::model {
namespace {

// A picture with an animation of some thousand frames has as many chunks.
constexpr int kChunksMax = 65536;
constexpr size_t kPayload = 20;  // of the first chunk

// RFC 6386, 9.1: a key frame starts with a 3-byte tag, 9D 01 2A and two 14-bit sizes (the upper two bits are a scaling
// hint).
absl::StatusOr<StoredSize> ReadVp8(const FileBytes& file) {
  if (!file.Has(kPayload, 10)) return TruncatedHeader("WebP");
  if ((file.U8(kPayload) & 1) != 0) return MalformedHeader("WebP", "the first frame is not a key frame");
  if (!file.Is(kPayload + 3, "\x9d\x01\x2a")) return MalformedHeader("WebP", "VP8 start code");
  return StoredSize{file.Le16(kPayload + 6) & 0x3FFF, file.Le16(kPayload + 8) & 0x3FFF};
}

// WebP lossless bitstream specification, section 3.
absl::StatusOr<StoredSize> ReadVp8l(const FileBytes& file) {
  if (!file.Has(kPayload, 5)) return TruncatedHeader("WebP");
  if (file.U8(kPayload) != 0x2F) return MalformedHeader("WebP", "VP8L signature");
  uint32_t bits = file.Le32(kPayload + 1);
  if (bits >> 29 != 0) return MalformedHeader("WebP", "VP8L version");
  return StoredSize{(bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1};
}

// The flags of VP8X say which metadata chunks count.
Orientation ReadOrientation(const FileBytes& file) {
  const uint32_t flags = file.U8(kPayload);
  const bool exif = (flags & 0x08) != 0;
  const bool xmp = (flags & 0x04) != 0;
  if (!exif && !xmp) return Orientation::kUpright;
  OrientationTags tags;
  bool has_xmp = false;
  const size_t end = std::min(file.size(), size_t{file.Le32(4)} + 8);
  size_t at = 12;
  for (int chunk = 0; chunk < kChunksMax && at + 8 <= end; ++chunk) {
    const size_t length = file.Le32(at + 4);
    if (length > end - at - 8) break;
    if (exif && file.Is(at, "EXIF") && !tags.has_exif()) tags.ReadExif(file.Part(at + 8, length));
    if (xmp && file.Is(at, "XMP ") && !has_xmp) {
      tags.ReadXmp(file.Part(at + 8, length));
      has_xmp = true;
    }
    at += 8 + length + length % 2;
  }
  return tags.Get();
}

}  // namespace

absl::StatusOr<StoredSize> ProbeWebp(const FileBytes& file) {
  if (!file.Has(12, 8)) return TruncatedHeader("WebP");
  if (file.Is(12, "VP8 ")) return ReadVp8(file);
  if (file.Is(12, "VP8L")) return ReadVp8l(file);
  if (!file.Is(12, "VP8X")) return MalformedHeader("WebP", "unknown first chunk");
  if (file.Le32(16) < 10) return MalformedHeader("WebP", "VP8X length");
  if (!file.Has(kPayload, 10)) return TruncatedHeader("WebP");
  return StoredSize{int64_t{file.Le24(kPayload + 4)} + 1, int64_t{file.Le24(kPayload + 7)} + 1, ReadOrientation(file)};
}

}  // namespace headroom::model
