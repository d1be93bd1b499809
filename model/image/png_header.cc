#include "model/image/format_headers.h"

namespace headroom::model {
namespace {

// Encoders write image data in chunks of some KiB; 20 MiB are some thousand of them.
constexpr int kChunksMax = 65536;

bool DepthAllowed(uint32_t colour, uint32_t depth) {
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

// PNG 1.2, 4.2.3.3: iTXt is {keyword 0, compression flag, method, language 0, translated keyword 0, text}. Compressed
// text is not inflated here.
void ReadText(std::string_view body, OrientationTags* tags) {
  constexpr std::string_view kKeyword("XML:com.adobe.xmp\0\0", 19);  // with the flag: not compressed
  if (body.substr(0, kKeyword.size()) != kKeyword) return;
  size_t at = kKeyword.size() + 1;
  for (int field = 0; field < 2; ++field) {
    at = body.find('\0', at);
    if (at == std::string_view::npos) return;
    ++at;
  }
  tags->ReadXmp(body.substr(at));
}

// eXIf may stand before or behind the image data, so chunk after chunk is visited.
Orientation ReadOrientation(const FileBytes& file) {
  OrientationTags tags;
  size_t at = 8;
  for (int chunk = 0; chunk < kChunksMax && file.Has(at, 12); ++chunk) {
    const size_t length = file.Be32(at);
    if (length > 0x7FFFFFFF || file.Is(at + 4, "IEND") || !file.Has(at + 8, length)) break;
    if (file.Is(at + 4, "eXIf")) tags.ReadExif(file.Part(at + 8, length));
    if (file.Is(at + 4, "iTXt")) ReadText(file.Part(at + 8, length), &tags);
    at += 12 + length;
  }
  return tags.Get();
}

}  // namespace

// PNG 1.2, 11.2.2: the first chunk is IHDR, 13 bytes.
absl::StatusOr<StoredSize> ProbePng(const FileBytes& file) {
  if (!file.Has(8, 8)) return TruncatedHeader("PNG");
  if (!file.Is(12, "IHDR") || file.Be32(8) != 13) return MalformedHeader("PNG", "the first chunk is not IHDR");
  if (!file.Has(16, 13 + 4)) return TruncatedHeader("PNG");
  if (!DepthAllowed(file.U8(25), file.U8(24))) return MalformedHeader("PNG", "colour type and bit depth do not match");
  if (file.U8(26) != 0 || file.U8(27) != 0) return MalformedHeader("PNG", "unknown compression or filter method");
  if (file.U8(28) > 1) return MalformedHeader("PNG", "unknown interlace method");
  return StoredSize{file.Be32(16), file.Be32(20), ReadOrientation(file)};
}

}  // namespace headroom::model
