// Weights on disk: model.safetensors, or shards with or without model.safetensors.index.json (checkpoint_files.h). An
// index decides which copy of a tensor counts; what it names nowhere is not loaded, and a line of the log says so.
//
// Open() reads and validates every header and no tensor data: header at most 100 MB, known dtypes, shape × dtype =
// bytes without overflow, no hole, overlap, trailing byte, duplicate or zero-size tensor, everything inside the file,
// shard names that are plain file names, an index that names only what is there, and no tensor twice without one.
// Reading streams through pread(2) into the caller's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/dtype.h"

namespace headroom::model {

// Types that a safetensors file may declare. Only kF32, kF16 and kBF16 can be read as weights; tensors of the others
// may lie unused in a file (position ids, for example).
enum class StoredType : uint8_t {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool
};
int64_t SizeOf(StoredType type);
const char* StoredTypeName(StoredType type);

struct TensorInfo {
  StoredType type = StoredType::kF32;
  std::vector<int64_t> shape;  // empty = a scalar; every dimension ≥ 1
  int64_t elements = 0;
  int64_t bytes = 0;
  int shard = 0;            // index into the checkpoint's files
  int64_t file_offset = 0;  // of the first byte, from the start of the file
};

struct CheckpointLimits {
  int64_t header_bytes_max = 100'000'000;
  int64_t tensors_max = 1'000'000;  // over all shards; Kimi-K2-Thinking has 208,000
  int64_t name_bytes_max = 512;
  int64_t rank_max = 8;
  int64_t shards_max = 1'000;
  int64_t index_bytes_max = 64 << 20;
};

// Movable. Const methods may be called from several threads at once.
class Checkpoint {
 public:
  static absl::StatusOr<Checkpoint> Open(const std::string& directory, const CheckpointLimits& limits = {});
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;
  ~Checkpoint();

  // Null when there is none.
  const TensorInfo* Find(const std::string& name) const;
  // By name, sorted.
  const std::map<std::string, TensorInfo>& tensors() const;
  int64_t total_bytes() const;  // of tensor data

  // What the kernel keeps of the files in its page cache is given back: after a load, weights exist once. Reading does
  // so already for what it has read; this is for what the kernel read ahead.
  void DropCached() const;

  // Copies destination.size() bytes of the tensor, as stored, from byte_offset on.
  absl::Status Read(const std::string& name, int64_t byte_offset, std::span<std::byte> destination) const;

  // Reads rows [row_begin, row_begin + row_count) of the first dimension (a scalar has one) and converts
  // (F32|F16|BF16 → kF32|kBF16, round to nearest even). destination.size() must be exactly their elements ×
  // SizeOf(type). To stack q, k and v into one matrix, pass consecutive parts of it.
  absl::Status ReadRowsAs(const std::string& name, int64_t row_begin, int64_t row_count, DType type,
                          std::span<std::byte> destination) const;

  // SHA-256 (32 bytes) over the names, sizes and header bytes of all files.
  const std::string& header_digest() const;

 private:
  struct State;
  explicit Checkpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace headroom::model
