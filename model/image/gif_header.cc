#include <algorithm>

#include "model/image/format_headers.h"

namespace headroom::model {
namespace {

// Before the first picture stand comments, a loop count, perhaps an XMP packet: of 255 bytes at most each.
constexpr int kBlocksMax = 65536;

size_t ColourTableBytes(uint32_t flags) { return (flags & 0x80) != 0 ? size_t{3} << ((flags & 7) + 1) : 0; }

// GIF89a, 20: {left, top, width, height, flags} behind the separator.
absl::StatusOr<StoredSize> AddFrame(const FileBytes& file, size_t at, const StoredSize& screen) {
  if (!file.Has(at, 10)) return TruncatedHeader("GIF");
  const int64_t width = file.Le16(at + 5);
  const int64_t height = file.Le16(at + 7);
  if (width == 0 || height == 0) return MalformedHeader("GIF", "a picture without pixels");
  // A picture may reach beyond the screen, which then grows.
  return StoredSize{std::max(screen.width, file.Le16(at + 1) + width),
                    std::max(screen.height, file.Le16(at + 3) + height)};
}

}  // namespace

absl::StatusOr<StoredSize> ProbeGif(const FileBytes& file) {
  if (!file.Has(0, 13)) return TruncatedHeader("GIF");
  const StoredSize screen{file.Le16(6), file.Le16(8)};
  size_t at = 13 + ColourTableBytes(file.U8(10));
  bool in_extension = false;
  for (int block = 0; block < kBlocksMax; ++block) {
    if (!file.Has(at, 1)) return TruncatedHeader("GIF");
    const uint32_t first = file.U8(at);
    if (in_extension) {  // data blocks {length, bytes}, up to one of length 0
      in_extension = first != 0;
      at += 1 + first;
    } else if (first == '!') {  // {'!', label}, then data blocks
      in_extension = true;
      at += 2;
    } else if (first == ',') {
      return AddFrame(file, at, screen);
    } else {
      return MalformedHeader("GIF", first == ';' ? "it ends before the first picture" : "unknown block");
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("GIF with more than ", kBlocksMax, " blocks before the first picture"));
}

}  // namespace headroom::model
