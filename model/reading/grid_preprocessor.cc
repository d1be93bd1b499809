#include "model/reading/grid_preprocessor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/reading/limits.h"

namespace headroom::model::reading {
namespace {

constexpr int64_t kPixelsMax = int64_t{1} << 34;

}  // namespace

void ReadGridPreprocessor(const FamilyInput& input, const GridDefaults& defaults, FieldReader& config,
                          ModelSpec& spec) {
  GridResize& resize = spec.resize;
  const int64_t patch = resize.patch_size, merge = resize.merge, frames = resize.frames;
  FieldReader reader(input.preprocessor, "preprocessor_config.", spec.assumed);
  FieldReader size = FieldReader::Object(reader, "size");
  const bool flat_max = defaults.flat && reader.Has("max_pixels"), flat_min = defaults.flat && reader.Has("min_pixels");
  resize.pixels_max = flat_max ? reader.Int("max_pixels", 1, kPixelsMax)
                               : size.IntOr("longest_edge", 1, kPixelsMax, defaults.pixels_max);
  resize.pixels_min = std::min(defaults.pixels_min, resize.pixels_max);
  if (flat_min) {
    resize.pixels_min = reader.Int("min_pixels", 1, resize.pixels_max);
  } else if (size.Has("shortest_edge")) {
    resize.pixels_min = size.Int("shortest_edge", 1, resize.pixels_max);
  }
  spec.norm_mean = {0.48145466, 0.4578275, 0.40821073};  // CLIP's, the class default
  spec.norm_std = {0.26862954, 0.26130258, 0.27577711};
  reader.Triple("image_mean", -1000, spec.norm_mean);
  reader.Triple("image_std", 1e-6, spec.norm_std);
  for (const auto& [name, value] :
       {std::pair{"patch_size", patch}, {"merge_size", merge}, {"temporal_patch_size", frames}}) {
    if (reader.Has(name) && reader.Int(name, 1, kSideMax) != value) {
      reader.Fail(name, absl::StrCat(reader.fields().Print(name), " differs from vision_config's ", value));
    }
  }
  reader.Adopt(size.status());
  config.Adopt(reader.status());
}

}  // namespace headroom::model::reading
