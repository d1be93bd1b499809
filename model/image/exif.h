// Which way up a picture is, from the metadata that cameras write: untrusted bytes, read within bounds.
#pragma once

#include <cstdint>
#include <string_view>

namespace headroom::model {

// EXIF 2.32, tag 0x0112: which edges of the stored picture are the top and the left of what people see.
enum class Orientation {
  kUpright = 1,
  kMirrored = 2,  // left and right change places
  kHalfTurn = 3,
  kFlipped = 4,        // top and bottom change places
  kTransposed = 5,     // rows become columns
  kQuarterTurn = 6,    // shown turned by 90° clockwise
  kTransverse = 7,     // transposed across the other diagonal
  kThreeQuarters = 8,  // shown turned by 90° anticlockwise
};

// Orientations from kTransposed on exchange width and height.
inline bool SwapsSides(Orientation orientation) { return orientation >= Orientation::kTransposed; }

// What the metadata of one file says, in the order in which Pillow looks: the first EXIF block, and XMP only where that
// block has no such tag. Anything broken is no turn, never an error.
class OrientationTags {
 public:
  // `block`: a TIFF structure, with or without "Exif\0\0" in front. Later blocks replace earlier ones.
  void ReadExif(std::string_view block);
  // `packet`: XML text. Later packets replace earlier ones.
  void ReadXmp(std::string_view packet) { xmp_ = packet; }
  bool has_exif() const { return has_exif_; }

  Orientation Get() const;

 private:
  bool has_exif_ = false;
  bool tagged_ = false;  // the block has the tag, whatever it says
  uint32_t tag_ = 0;
  std::string_view xmp_;
};

}  // namespace headroom::model
