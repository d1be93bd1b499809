// preprocessor_config.json of families that resize a picture to a grid of patches.
#pragma once

#include <cstdint>

#include "model/reading/field_reader.h"
#include "model/reading/registry.h"

namespace headroom::model::reading {

// What the class of the processor says where the file does not.
struct GridDefaults {
  int64_t pixels_min = 0, pixels_max = 0;
  bool flat = false;  // the bounds may stand at the top, as min_pixels and max_pixels, and then count before size
};

// Reads the bounds on pixels (size.shortest_edge, size.longest_edge) into spec.resize, and the colours' mean and
// deviation. The sides of a patch, a token and a pair of frames stand in spec.resize already: a file that has others
// contradicts config.json. Errors go to `config`.
void ReadGridPreprocessor(const FamilyInput& input, const GridDefaults& defaults, FieldReader& config, ModelSpec& spec);

}  // namespace headroom::model::reading
