#include "model/image/bmp_header.h"

#include <algorithm>
#include <bit>

#include "common/status.h"
#include "model/image/format_headers.h"

namespace headroom::model {
namespace {

// Offsets in the file; the sizes are those of the structures of each version of the format.
constexpr size_t kInfo = 14;
constexpr uint32_t kCoreBytes = 12;
constexpr uint32_t kInfoBytes[] = {40, 52, 56, 64, 108, 124};

constexpr std::array<uint32_t, 4> k555 = {0x7C00, 0x03E0, 0x001F, 0};
constexpr std::array<uint32_t, 4> k888 = {0xFF0000, 0x00FF00, 0x0000FF, 0};

// How pixels are written.
enum : uint32_t { kRgb = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3, kAlphaBitFields = 6 };

bool IsContiguous(uint32_t mask) {
  return mask == 0 || std::has_single_bit((mask >> std::countr_zero(mask)) + 1U) ||
         mask >> std::countr_zero(mask) == 0xFFFFFFFFU;
}

absl::Status NotDecoded(const char* what, uint32_t value) {
  return absl::InvalidArgumentError(absl::StrCat("BMP with ", what, " ", value, " is not supported"));
}

// Masks stand in the header, or behind one of 40 bytes.
absl::Status ReadMasks(const FileBytes& file, uint32_t info_bytes, uint32_t compression, BmpHeader* header) {
  const bool alpha = info_bytes >= 56 ? info_bytes != 64 : compression == kAlphaBitFields;
  if (!file.Has(kInfo + 40, alpha ? 16 : 12)) return TruncatedHeader("BMP");
  for (size_t i = 0; i < (alpha ? 4U : 3U); ++i) header->masks[i] = file.Le32(kInfo + 40 + 4 * i);
  if (header->masks == std::array<uint32_t, 4>{} && header->bits == 32)
    header->masks = {0xFF0000, 0xFF00, 0xFF, 0xFF000000};
  if (header->bits == 24) header->masks = k888;  // nothing else fits
  uint32_t seen = 0;
  for (const uint32_t mask : header->masks) {
    if (!IsContiguous(mask) || (mask & seen) != 0 || (header->bits == 16 && mask > 0xFFFF)) {
      return MalformedHeader("BMP", "colour masks");
    }
    seen |= mask;
  }
  if (seen == 0) return MalformedHeader("BMP", "no colour masks");
  return absl::OkStatus();
}

absl::Status ReadCoding(const FileBytes& file, uint32_t info_bytes, uint32_t compression, BmpHeader* header) {
  const int bits = header->bits;
  if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32) {
    return NotDecoded("bits a pixel:", static_cast<uint32_t>(bits));
  }
  header->masks = bits == 16 ? k555 : k888;
  switch (compression) {
    case kRgb:
      return absl::OkStatus();
    case kRle8:
    case kRle4:
      if (bits != (compression == kRle8 ? 8 : 4)) return MalformedHeader("BMP", "run lengths of another bit depth");
      header->coding = compression == kRle8 ? BmpCoding::kRle8 : BmpCoding::kRle4;
      return absl::OkStatus();
    case kBitFields:
    case kAlphaBitFields:
      if (bits < 16) return MalformedHeader("BMP", "colour masks beside a palette");
      header->masks = {};
      return ReadMasks(file, info_bytes, compression, header);
    default:
      return NotDecoded("compression", compression);
  }
}

}  // namespace

absl::StatusOr<BmpHeader> ReadBmpHeader(const FileBytes& file) {
  if (!file.Has(kInfo, 4)) return TruncatedHeader("BMP");
  const uint32_t info_bytes = file.Le32(kInfo);
  const bool core = info_bytes == kCoreBytes;
  if (!core && std::ranges::find(kInfoBytes, info_bytes) == std::end(kInfoBytes)) {
    return MalformedHeader("BMP", "unknown length of its information");
  }
  if (!file.Has(kInfo, info_bytes)) return TruncatedHeader("BMP");
  BmpHeader header;
  uint32_t compression = kRgb;
  uint32_t colours = 0;
  if (core) {
    header.width = file.Le16(kInfo + 4);
    header.height = file.Le16(kInfo + 6);
    header.bits = static_cast<int>(file.Le16(kInfo + 10));
  } else {
    header.width = file.Le32(kInfo + 4);
    const auto height = static_cast<int32_t>(file.Le32(kInfo + 8));
    header.top_down = height < 0;
    header.height = height < 0 ? -int64_t{height} : height;
    header.bits = static_cast<int>(file.Le16(kInfo + 14));
    compression = file.Le32(kInfo + 16);
    colours = file.Le32(kInfo + 32);
  }
  HEADROOM_RETURN_IF_ERROR(ReadCoding(file, info_bytes, compression, &header));
  size_t end = kInfo + info_bytes;
  if (header.bits <= 8) {
    const uint32_t all = 1U << header.bits;
    header.palette_entry_bytes = core ? 3 : 4;
    header.palette_entries = static_cast<int>(std::min(colours == 0 ? all : colours, all));
    header.palette_offset = end;
    end += size_t{static_cast<uint32_t>(header.palette_entries * header.palette_entry_bytes)};
    if (!file.Has(0, end)) return TruncatedHeader("BMP");
  } else if (info_bytes == 40 && compression == kBitFields) {
    end += 12;
  } else if (info_bytes == 40 && compression == kAlphaBitFields) {
    end += 16;
  }
  // Some writers give no offset, or that of the palette.
  const uint32_t offset = file.Le32(10);
  header.pixel_offset = offset == 0 || (header.bits <= 8 && offset == header.palette_offset) ? end : offset;
  return header;
}

absl::StatusOr<StoredSize> ProbeBmp(const FileBytes& file) {
  HEADROOM_ASSIGN_OR_RETURN(const BmpHeader header, ReadBmpHeader(file));
  return StoredSize{header.width, header.height};
}

}  // namespace headroom::model
