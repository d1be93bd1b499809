// Readers of one format each, behind ProbeImage: INVALID_ARGUMENT for a header that is truncated, malformed or of a
// variant that no decoder here has. The file starts with the format's signature.
#pragma once

#include "absl/status/statusor.h"
#include "model/image/exif.h"
#include "model/image/file_bytes.h"

namespace headroom::model {

// Pixels as stored, and how to turn them. Sides are below 2^33 and may be 0.
struct StoredSize {
  int64_t width = 0;
  int64_t height = 0;
  Orientation orientation = Orientation::kUpright;
};

absl::StatusOr<StoredSize> ProbePng(const FileBytes& file);
absl::StatusOr<StoredSize> ProbeJpeg(const FileBytes& file);
absl::StatusOr<StoredSize> ProbeWebp(const FileBytes& file);
absl::StatusOr<StoredSize> ProbeGif(const FileBytes& file);
absl::StatusOr<StoredSize> ProbeBmp(const FileBytes& file);

}  // namespace headroom::model
