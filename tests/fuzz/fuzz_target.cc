#include "tests/fuzz/fuzz_target.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/check.h"
#include "common/testing/paths.h"
#include "common/utf8.h"

namespace headroom::fuzz {

std::vector<Target>& Targets() {
  static std::vector<Target> targets;
  return targets;
}

std::string TreeFile(const std::string& path) {
  std::ifstream file(SourceDir() + "/" + path, std::ios::binary);
  HEADROOM_CHECK(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> TreeFiles(const std::string& directory, const std::vector<std::string>& endings) {
  std::vector<std::string> paths;
  const std::filesystem::path root = SourceDir();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / directory)) {
    const std::string path = entry.path().lexically_relative(root).string();
    const auto ends = [&](const std::string& ending) { return path.ends_with(ending); };
    if (entry.is_regular_file() && std::any_of(endings.begin(), endings.end(), ends)) paths.push_back(path);
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> contents;
  for (const std::string& path : paths) contents.push_back(TreeFile(path));
  return contents;
}

void CheckClientError(const absl::Status& status, absl::StatusCode code) {
  constexpr size_t kMessageBytesMax = 1024;
  const std::string message(status.message());
  HEADROOM_CHECK(status.code() == code) << status;
  HEADROOM_CHECK(IsValidUtf8(message)) << message;
  HEADROOM_CHECK(!message.empty() && message.size() <= kMessageBytesMax) << message;
}

}  // namespace headroom::fuzz
