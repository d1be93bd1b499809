// Pulls the embeddings of images from the vision-worker that holds them.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "common/dtype.h"
#include "common/rpc/channel_directory.h"
#include "common/status.h"
#include "headroom/v1/common.pb.h"

namespace headroom::llm_worker {

// The rows that this worker's model takes.
struct EmbeddingShape {
  int64_t columns = 0;  // 0: the model takes no images
  DType dtype = DType::kF32;
  std::string model;  // fingerprint

  int64_t row_bytes() const { return columns * SizeOf(dtype); }
};

// The reference says the model of this worker, its columns, and pieces with a row each at least. INVALID_ARGUMENT or
// FAILED_PRECONDITION with both values.
absl::Status CheckRef(const v1::EmbeddingRef& ref, const EmbeddingShape& shape);

// All pieces of `ref`, in order, each with the rows that `ref` says, which the caller has checked against what it may
// hold. Blocks until they are here, the deadline passes or `stop`
// fires. UNAVAILABLE when they cannot be had (worker gone, evicted, another incarnation): a new grant and another
// Encode may help. INTERNAL for a worker that sends something else than it announced.
absl::StatusOr<std::vector<std::string>> FetchEmbeddings(rpc::ChannelDirectory& channels, const v1::EmbeddingRef& ref,
                                                         const v1::GrantId& grant, const EmbeddingShape& shape,
                                                         std::chrono::system_clock::time_point deadline,
                                                         const std::stop_token& stop);

}  // namespace headroom::llm_worker
