#include "model/image/exif.h"

#include "model/image/file_bytes.h"

namespace headroom::model {
namespace {

constexpr uint32_t kOrientationTag = 0x0112;

// Types of TIFF 6 and its supplement: bytes of a value by its type, 0 for a type that does not exist.
uint32_t UnitBytes(uint32_t type) {
  constexpr uint8_t kBytes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4};
  if (type == 16) return 8;
  return type < sizeof(kBytes) ? kBytes[type] : 0;
}

class TiffBlock {
 public:
  explicit TiffBlock(std::string_view block) : bytes_(block) {
    little_ = bytes_.Is(0, "II*\0") || bytes_.Is(0, "II\0*");
    valid_ = (little_ || bytes_.Is(0, "MM\0*") || bytes_.Is(0, "MM*\0")) && bytes_.Has(4, 4);
  }
  bool valid() const { return valid_; }

  // The first value of the tag in the first directory, if it is an integer. Reading ends where an entry points outside:
  // what stands behind it is not trusted.
  bool Find(uint32_t wanted, uint32_t* value) const {
    if (!valid_) return false;
    size_t at = U32(4);
    if (!bytes_.Has(at, 2)) return false;
    const uint32_t entries = U16(at);
    uint64_t claimed = 0;
    at += 2;
    for (uint32_t entry = 0; entry < entries && bytes_.Has(at, 12); ++entry, at += 12) {
      const uint32_t type = U16(at + 2);
      const uint64_t size = uint64_t{U32(at + 4)} * UnitBytes(type);
      size_t place = at + 8;
      if (size == 0) continue;
      if (size > 4) {
        claimed += size;
        if (claimed > bytes_.size()) continue;
        place = U32(at + 8);
        if (!bytes_.Has(place, size)) return false;
      }
      if (U16(at) == wanted) {
        *value = Integer(type, place);
        return true;
      }
    }
    return false;
  }

 private:
  uint32_t U16(size_t at) const { return little_ ? bytes_.Le16(at) : bytes_.Be16(at); }
  uint32_t U32(size_t at) const { return little_ ? bytes_.Le32(at) : bytes_.Be32(at); }
  // 0 for a type that is no integer.
  uint32_t Integer(uint32_t type, size_t at) const {
    switch (type) {
      case 3:
      case 8:
        return U16(at);
      case 4:
      case 9:
      case 13:
        return U32(at);
      case 6:
        return bytes_.U8(at);
      default:
        return 0;
    }
  }

  FileBytes bytes_;
  bool little_ = false;
  bool valid_ = false;
};

// The digit of tiff:Orientation="6" or <tiff:Orientation>6; 0 where there is none.
uint32_t XmpOrientation(std::string_view packet) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = packet.find(kName); at != std::string_view::npos; at = packet.find(kName, at + 1)) {
    std::string_view rest = packet.substr(at + kName.size());
    if (rest.substr(0, 2) == "=\"") {
      rest.remove_prefix(2);
    } else if (rest.substr(0, 1) == ">") {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return static_cast<uint32_t>(rest[0] - '0');
  }
  return 0;
}

}  // namespace

void OrientationTags::ReadExif(std::string_view block) {
  constexpr std::string_view kName("Exif\0\0", 6);
  for (int i = 0; i < 2 && block.substr(0, kName.size()) == kName; ++i) block.remove_prefix(kName.size());
  has_exif_ = true;
  tag_ = 0;
  const TiffBlock tiff(block);
  // A block that is none says nothing, but XMP beside it is not believed either: so Pillow has it.
  tagged_ = tiff.Find(kOrientationTag, &tag_) || !(block.empty() || tiff.valid());
}

Orientation OrientationTags::Get() const {
  const uint32_t value = tagged_ ? tag_ : XmpOrientation(xmp_);
  return value >= 1 && value <= 8 ? static_cast<Orientation>(value) : Orientation::kUpright;
}

}  // namespace headroom::model
