#include "common/testing/folders.h"

#include <algorithm>
#include <filesystem>

#include "common/testing/paths.h"

namespace headroom {

std::vector<std::string> FoldersWith(const std::string& file, const std::string& parent) {
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(SourceDir() + "/" + parent)) {
    if (std::filesystem::exists(entry.path() / file)) folders.push_back(entry.path().filename().string());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

}  // namespace headroom
