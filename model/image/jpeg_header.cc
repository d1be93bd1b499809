#include "common/status.h"
#include "model/image/format_headers.h"

namespace headroom::model {
namespace {

// JPEG files carry metadata segments before the frame header; a real file has some dozens (an ICC profile or EXIF in 64
// KiB parts).
constexpr int kSegmentsMax = 1024;

bool IsFrame(uint32_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

// ITU-T T.81, table B.1: baseline, extended and progressive, with Huffman (SOF0 to SOF2) or arithmetic coding.
bool IsDecoded(uint32_t marker) { return marker <= 0xC2 || marker == 0xC9 || marker == 0xCA; }

// ITU-T T.81, B.2.2: frame header {length, precision, height, width, components}.
absl::StatusOr<StoredSize> ReadFrame(const FileBytes& file, size_t at, uint32_t marker) {
  if (!file.Has(at, 8)) return TruncatedHeader("JPEG");
  if (!IsDecoded(marker)) {
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
  if (file.Be16(at) != 8 + 3 * components) return MalformedHeader("JPEG", "frame length");
  return StoredSize{file.Be16(at + 5), file.Be16(at + 3)};
}

// The byte after the next marker's 0xFF, as libjpeg finds it: any bytes may stand before a marker, and any number of
// fill bytes 0xFF. The size of the file where there is none.
size_t FindMarker(const FileBytes& file, size_t at) {
  for (; at < file.size(); ++at) {
    if (file.U8(at) != 0xFF) continue;
    while (at + 1 < file.size() && file.U8(at + 1) == 0xFF) ++at;
    if (at + 1 < file.size() && file.U8(at + 1) != 0) return at + 1;
  }
  return file.size();
}

// APP1 of {length, name, body}.
void ReadMetadata(const FileBytes& file, size_t at, uint32_t length, OrientationTags* tags) {
  constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
  if (file.Is(at + 2, "Exif\0\0")) {
    if (!tags->has_exif()) tags->ReadExif(file.Part(at + 2, length - 2));
  } else if (file.Is(at + 2, kXmp) && length >= 2 + kXmp.size()) {
    tags->ReadXmp(file.Part(at + 2 + kXmp.size(), length - 2 - kXmp.size()));
  }
}

}  // namespace

absl::StatusOr<StoredSize> ProbeJpeg(const FileBytes& file) {
  StoredSize size;
  OrientationTags tags;
  bool framed = false;
  size_t at = 2;
  // Metadata may stand behind the frame header, up to the first scan; what is wrong there is the decoder's affair.
  for (int segment = 0; segment < kSegmentsMax; ++segment) {
    at = FindMarker(file, at);
    if (!file.Has(at, 2)) {
      if (framed) break;
      return TruncatedHeader("JPEG");
    }
    const uint32_t marker = file.U8(at++);
    if (IsFrame(marker) && !framed) {
      HEADROOM_ASSIGN_OR_RETURN(size, ReadFrame(file, at, marker));
      framed = true;
    }
    if (marker == 0xDA || marker == 0xD9 || marker == 0xD8) {
      if (framed) break;
      return MalformedHeader("JPEG", "no frame header before the data");
    }
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) continue;  // TEM and RSTn have no length
    const uint32_t length = file.Be16(at);
    if (!framed && !file.Has(at, 2)) return TruncatedHeader("JPEG");
    if (!framed && length < 2) return MalformedHeader("JPEG", "segment length below 2");
    if (length < 2) break;
    if (marker == 0xE1) ReadMetadata(file, at, length, &tags);
    at += length;
  }
  if (!framed) {
    return absl::InvalidArgumentError(
        absl::StrCat("JPEG with more than ", kSegmentsMax, " segments before the frame header"));
  }
  size.orientation = tags.Get();
  return size;
}

}  // namespace headroom::model
