// What stands in a prompt around and in the place of images; named in preprocessor_config.json. Each is one token.
#pragma once

#include <string>

namespace headroom::model {

struct ImageMarkers {
  std::string image_start = "<image>";
  std::string image_end = "</image>";
  std::string slice_start = "<slice>";
  std::string slice_end = "</slice>";
  std::string id_start = "<image_id>";
  std::string id_end = "</image_id>";
  std::string placeholder = "<unk>";  // stands for one row of embeddings
};

}  // namespace headroom::model
