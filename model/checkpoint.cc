#include "model/checkpoint.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "model/checkpoint_files.h"
#include "model/convert.h"
#include "model/files.h"
#include "model/safetensors_header.h"
#include "model/sha256.h"

namespace headroom::model {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors are little-endian, and are read without swapping");

constexpr int64_t kPrefixBytes = 8;           // the header's length
constexpr int64_t kStagingBytes = 256 << 10;  // of conversion

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) absl::StrAppend(&text, i ? ", " : "", shape[i]);
  return text + "]";
}

absl::StatusOr<std::string> ReadHeader(const InputFile& file, const CheckpointLimits& limits) {
  if (file.bytes() < kPrefixBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": ", file.bytes(), " bytes is too short for a header"));
  }
  uint64_t length = 0;
  HEADROOM_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(&length, 1))));
  if (length > static_cast<uint64_t>(limits.header_bytes_max)) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": header of ", length, " bytes, the limit is ", limits.header_bytes_max));
  }
  if (static_cast<int64_t>(length) > file.bytes() - kPrefixBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.name(), ": header of ", length, " bytes in a file of ", file.bytes()));
  }
  std::string text(length, '\0');
  HEADROOM_RETURN_IF_ERROR(file.ReadAt(kPrefixBytes, std::as_writable_bytes(std::span(text))));
  return text;
}

absl::StatusOr<TensorInfo> CheckEntry(const std::string& file, const HeaderEntry& entry) {
  TensorInfo info{.type = entry.type, .shape = entry.shape, .elements = 1};
  const std::string where = absl::StrCat(file, ": tensor ", entry.name, ": ");
  for (const int64_t dimension : entry.shape) {
    if (dimension < 1)
      return absl::InvalidArgumentError(absl::StrCat(where, "shape ", ShapeText(entry.shape), " is empty"));
    if (__builtin_mul_overflow(info.elements, dimension, &info.elements)) {
      return absl::InvalidArgumentError(absl::StrCat(where, "shape ", ShapeText(entry.shape), " is too large"));
    }
  }
  if (__builtin_mul_overflow(info.elements, SizeOf(entry.type), &info.bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(where, "shape ", ShapeText(entry.shape), " is too large"));
  }
  if (entry.begin > entry.end) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, "data_offsets [", entry.begin, ", ", entry.end, "] run backwards"));
  }
  if (entry.end - entry.begin != info.bytes) {
    return absl::InvalidArgumentError(absl::StrCat(where, "data_offsets hold ", entry.end - entry.begin, " bytes, ",
                                                   StoredTypeName(entry.type), " ", ShapeText(entry.shape), " has ",
                                                   info.bytes));
  }
  return info;
}

// The data of a file is its tensors, one after the other, and nothing else.
absl::Status CheckCoverage(const std::string& file, std::vector<HeaderEntry> entries, int64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  int64_t next = 0;
  for (const HeaderEntry& entry : entries) {
    if (entry.begin != next) {
      return absl::InvalidArgumentError(absl::StrCat(file, ": tensor ", entry.name, " starts at ", entry.begin,
                                                     entry.begin < next ? ", inside the tensor before it (ends at "
                                                                        : ", after a hole (the data before it ends at ",
                                                     next, ")"));
    }
    next = entry.end;
  }
  if (next == data_bytes) return absl::OkStatus();
  const char* what =
      next > data_bytes ? " bytes of tensors, but the file ends after " : " bytes of tensors, but the file has ";
  return absl::InvalidArgumentError(absl::StrCat(file, ": ", next, what, data_bytes));
}

bool IsFloat(StoredType type) {
  return type == StoredType::kF32 || type == StoredType::kF16 || type == StoredType::kBF16;
}

bool SameType(StoredType stored, DType type) {
  return (stored == StoredType::kF32 && type == DType::kF32) || (stored == StoredType::kBF16 && type == DType::kBF16);
}

}  // namespace

struct Checkpoint::State {
  std::vector<InputFile> files;
  std::map<std::string, TensorInfo> tensors;
  int64_t total_bytes = 0;
  Sha256 hash;
  std::string digest;
  int64_t passed_over = 0;  // tensors of which the index names another copy, or none
  std::string first_passed_over;

  // `index`: tensor → file, or null where every tensor of the file counts.
  absl::Status AddFile(const std::string& directory, const std::string& name,
                       const std::map<std::string, std::string>* index, const CheckpointLimits& limits);
  absl::Status CheckIndex(const std::map<std::string, std::string>& index);
};

absl::Status Checkpoint::State::AddFile(const std::string& directory, const std::string& name,
                                        const std::map<std::string, std::string>* index,
                                        const CheckpointLimits& limits) {
  HEADROOM_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(directory, name));
  HEADROOM_ASSIGN_OR_RETURN(const std::string header, ReadHeader(file, limits));
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<HeaderEntry> entries, ParseSafetensorsHeader(name, header, limits));
  const int64_t data_offset = kPrefixBytes + static_cast<int64_t>(header.size());
  std::vector<TensorInfo> infos;
  for (const HeaderEntry& entry : entries) {
    HEADROOM_ASSIGN_OR_RETURN(TensorInfo info, CheckEntry(name, entry));
    infos.push_back(std::move(info));
  }
  // From here on every offset lies inside the file.
  HEADROOM_RETURN_IF_ERROR(CheckCoverage(name, entries, file.bytes() - data_offset));
  for (size_t i = 0; i < entries.size(); ++i) {
    if (index != nullptr) {
      const auto named = index->find(entries[i].name);
      if (named == index->end() || named->second != name) {
        if (passed_over++ == 0) first_passed_over = absl::StrCat(entries[i].name, " of ", name);
        continue;
      }
    }
    infos[i].shard = static_cast<int>(files.size());
    infos[i].file_offset = data_offset + entries[i].begin;
    total_bytes += infos[i].bytes;
    if (!tensors.emplace(entries[i].name, std::move(infos[i])).second) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": tensor ", entries[i].name,
                                                     " is in another file too, and no ", kIndexFile,
                                                     " tells which one counts"));
    }
  }
  if (static_cast<int64_t>(tensors.size()) > limits.tensors_max) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": more than ", limits.tensors_max, " tensors"));
  }
  hash.UpdateField(name);
  hash.UpdateField(std::to_string(file.bytes()));
  hash.UpdateField(header);
  files.push_back(std::move(file));
  return absl::OkStatus();
}

// Every tensor that the index names is where it says; of others a line tells.
absl::Status Checkpoint::State::CheckIndex(const std::map<std::string, std::string>& index) {
  for (const auto& [name, file] : index) {
    if (!tensors.contains(name)) {
      return absl::InvalidArgumentError(absl::StrCat(kIndexFile, ": tensor ", name, " is not in ", file));
    }
  }
  if (passed_over == 0) return absl::OkStatus();
  Log(LogLevel::kWarning, "model", "tensors that the index does not name where they lie are not loaded")
      .With("tensors", passed_over)
      .With("first", first_passed_over);
  // The same files mean another model under another index.
  for (const auto& [name, file] : index) {
    hash.UpdateField(name);
    hash.UpdateField(file);
  }
  return absl::OkStatus();
}

Checkpoint::Checkpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;
Checkpoint::~Checkpoint() = default;

absl::StatusOr<Checkpoint> Checkpoint::Open(const std::string& directory, const CheckpointLimits& limits) {
  HEADROOM_RETURN_IF_ERROR(CheckDirectory(directory));
  auto state = std::make_unique<State>();
  HEADROOM_ASSIGN_OR_RETURN(const CheckpointFiles files, FindCheckpointFiles(directory, limits));
  const auto* const index = files.index ? &*files.index : nullptr;
  for (const std::string& name : files.names) {
    const absl::Status added = state->AddFile(directory, name, index, limits);
    if (absl::IsNotFound(added)) return absl::InvalidArgumentError(std::string(added.message()));
    HEADROOM_RETURN_IF_ERROR(added);
  }
  if (index != nullptr) HEADROOM_RETURN_IF_ERROR(state->CheckIndex(*index));
  state->digest = state->hash.Finish();
  return Checkpoint(std::move(state));
}

const TensorInfo* Checkpoint::Find(const std::string& name) const {
  const auto found = state_->tensors.find(name);
  return found == state_->tensors.end() ? nullptr : &found->second;
}

const std::map<std::string, TensorInfo>& Checkpoint::tensors() const { return state_->tensors; }
int64_t Checkpoint::total_bytes() const { return state_->total_bytes; }
const std::string& Checkpoint::header_digest() const { return state_->digest; }

absl::Status Checkpoint::Read(const std::string& name, int64_t byte_offset, std::span<std::byte> destination) const {
  const TensorInfo* info = Find(name);
  if (!info) return absl::NotFoundError(absl::StrCat("tensor ", name, " is not in the checkpoint"));
  const int64_t bytes = static_cast<int64_t>(destination.size());
  if (byte_offset < 0 || byte_offset > info->bytes || bytes > info->bytes - byte_offset) {
    return absl::OutOfRangeError(
        absl::StrCat("tensor ", name, ": bytes ", byte_offset, " + ", bytes, " of ", info->bytes));
  }
  return state_->files[info->shard].ReadOnceAt(info->file_offset + byte_offset, destination);
}

void Checkpoint::DropCached() const {
  for (const InputFile& file : state_->files) file.DropCached();
}

absl::Status Checkpoint::ReadRowsAs(const std::string& name, int64_t row_begin, int64_t row_count, DType type,
                                    std::span<std::byte> destination) const {
  const TensorInfo* info = Find(name);
  if (!info) return absl::NotFoundError(absl::StrCat("tensor ", name, " is not in the checkpoint"));
  const int64_t rows = info->shape.empty() ? 1 : info->shape[0];
  if (row_begin < 0 || row_count < 0 || row_begin > rows || row_count > rows - row_begin) {
    return absl::OutOfRangeError(absl::StrCat("tensor ", name, ": rows ", row_begin, " + ", row_count, " of ", rows));
  }
  if (!IsFloat(info->type) || (type != DType::kF32 && type != DType::kBF16)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", name, ": cannot read ", StoredTypeName(info->type), " as ", DTypeName(type)));
  }
  const int64_t columns = info->elements / rows;
  const int64_t elements = row_count * columns;
  // In elements: a destination that fits in memory cannot overflow, a claimed tensor could.
  if (destination.size() % SizeOf(type) != 0 || static_cast<int64_t>(destination.size()) / SizeOf(type) != elements) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", name, ": destination has ", destination.size(), " bytes for ", elements, " elements"));
  }
  const int64_t stored_size = SizeOf(info->type);
  int64_t offset = row_begin * columns * stored_size;
  if (SameType(info->type, type)) return Read(name, offset, destination);
  const int64_t chunk_elements = kStagingBytes / stored_size;
  std::vector<std::byte> staging(std::min(kStagingBytes, elements * stored_size));
  for (int64_t done = 0; done < elements; done += chunk_elements) {
    const int64_t count = std::min(chunk_elements, elements - done);
    const std::span<std::byte> chunk(staging.data(), count * stored_size);
    HEADROOM_RETURN_IF_ERROR(Read(name, offset, chunk));
    ConvertElements(info->type, chunk.data(), type, destination.data() + done * SizeOf(type), count);
    offset += static_cast<int64_t>(chunk.size());
  }
  return absl::OkStatus();
}

}  // namespace headroom::model
