// A picture file on its way to the tower, as the services do it: header probe, geometry, decode, resize, cut.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "model/image/pieces.h"
#include "model/spec.h"
#include "vision-worker/image/cut.h"

namespace headroom::tools {

struct Picture {
  model::PieceGeometry geometry;
  std::vector<vision_worker::PiecePixels> pieces;  // empty after ProbePicture
};

// From the header alone.
absl::StatusOr<model::PieceGeometry> ProbePicture(const std::string& directory, const std::string& path,
                                                  const model::ModelSpec& config, std::optional<int> max_slice_nums);

absl::StatusOr<Picture> LoadPicture(const std::string& directory, const std::string& path,
                                    const model::ModelSpec& config, std::optional<int> max_slice_nums);

}  // namespace headroom::tools
