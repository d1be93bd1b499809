#include "model/checkpoint_files.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <system_error>

#include "common/status.h"
#include "model/files.h"
#include "model/safetensors_header.h"

namespace headroom::model {
namespace {

constexpr char kSingleFile[] = "model.safetensors";

absl::Status CheckCount(const char* what, size_t count, const CheckpointLimits& limits) {
  if (static_cast<int64_t>(count) <= limits.shards_max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", count, " shards, the limit is ", limits.shards_max));
}

struct Shard {
  int64_t number = 0;
  int64_t count = 0;

  std::string Name() const {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05ld-of-%05ld.safetensors", number, count);
    return name;
  }
};

// Only names of exactly the form of Name().
std::optional<Shard> ParseShardName(const std::string& name) {
  Shard shard;
  if (std::sscanf(name.c_str(), "model-%5ld-of-%5ld.safetensors", &shard.number, &shard.count) != 2) {
    return std::nullopt;
  }
  if (name != shard.Name()) return std::nullopt;
  return shard;
}

// The shards of a directory that has no index, left behind by partial copies and by tools that write shards only.
absl::StatusOr<std::vector<std::string>> FindShards(const std::string& directory, const CheckpointLimits& limits) {
  std::set<int64_t> numbers;
  int64_t count = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::optional<Shard> shard = ParseShardName(entry->path().filename().string());
    if (!shard) continue;
    if (count != 0 && shard->count != count) {
      return absl::InvalidArgumentError(absl::StrCat("model directory: has shards of ", std::min(count, shard->count),
                                                     " and of ", std::max(count, shard->count), ", and no ", kIndexFile,
                                                     " that tells which count"));
    }
    count = shard->count;
    numbers.insert(shard->number);
    HEADROOM_RETURN_IF_ERROR(CheckCount("model directory", numbers.size(), limits));
  }
  if (error) return absl::InvalidArgumentError(absl::StrCat("model directory: ", error.message()));
  HEADROOM_RETURN_IF_ERROR(CheckCount("model directory", static_cast<size_t>(count), limits));
  std::vector<std::string> names;
  for (int64_t number = 1; number <= count; ++number) {
    names.push_back(Shard{number, count}.Name());
    if (!numbers.contains(number)) {
      return absl::InvalidArgumentError(absl::StrCat("model directory: has ", numbers.size(), " of ", count,
                                                     " shards: ", names.back(), " is missing"));
    }
  }
  return names;
}

absl::StatusOr<CheckpointFiles> FromIndex(const std::string& text, const CheckpointLimits& limits) {
  CheckpointFiles files;
  HEADROOM_ASSIGN_OR_RETURN(files.index, ParseSafetensorsIndex(kIndexFile, text, limits));
  std::set<std::string> names;
  for (const auto& [tensor, file] : *files.index) names.insert(file);
  HEADROOM_RETURN_IF_ERROR(CheckCount(kIndexFile, names.size(), limits));
  files.names.assign(names.begin(), names.end());
  return files;
}

}  // namespace

absl::StatusOr<CheckpointFiles> FindCheckpointFiles(const std::string& directory, const CheckpointLimits& limits) {
  // As the reference does, the single file is taken where both forms are there.
  const absl::Status single = InputFile::Open(directory, kSingleFile).status();
  if (!absl::IsNotFound(single)) {
    HEADROOM_RETURN_IF_ERROR(single);
    return CheckpointFiles{{kSingleFile}, {}};
  }
  HEADROOM_ASSIGN_OR_RETURN(const std::optional<std::string> index,
                            ReadFileIfPresent(directory, kIndexFile, limits.index_bytes_max));
  if (index) return FromIndex(*index, limits);
  HEADROOM_ASSIGN_OR_RETURN(std::vector<std::string> shards, FindShards(directory, limits));
  if (!shards.empty()) return CheckpointFiles{std::move(shards), {}};
  return absl::InvalidArgumentError(absl::StrCat("model directory: has no ", kSingleFile, ", no ", kIndexFile,
                                                 " and no model-00001-of-NNNNN.safetensors"));
}

}  // namespace headroom::model
