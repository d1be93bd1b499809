#include "common/testing/paths.h"

namespace headroom {

std::string SourceDir() { return HEADROOM_SOURCE_DIR; }
std::string BinaryDir() { return HEADROOM_BINARY_DIR; }

}  // namespace headroom
