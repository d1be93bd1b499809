// Models to test with are found, not listed.
#pragma once

#include <string>
#include <vector>

namespace headroom {

// The folders of `parent` (a path below SourceDir()) that hold this file, by name, sorted.
std::vector<std::string> FoldersWith(const std::string& file, const std::string& parent);

}  // namespace headroom
