// One sequence through the decoder, as the engine would drive it: prompt in chunks, then token by token. It has the
// whole KV pool to itself.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "common/status.h"
#include "llm-worker/decoder.h"
#include "runtime/host_matrix.h"

namespace headroom::tools {

// Positions [begin, begin + rows.rows) take these embeddings.
struct EmbeddingSpan {
  int64_t begin = 0;
  runtime::HostMatrix rows;
};

class SequenceRun {
 public:
  // Logits that follow position `position`.
  using LogitsSink = std::function<void(int64_t position, std::span<const float> logits)>;

  // `decoder` must outlive this. `grids`: tokens that lie on a grid, in order.
  SequenceRun(llm_worker::Decoder* decoder, int64_t tokens_max, std::vector<llm_worker::TokenGrid> grids = {});

  // Computes ids at positions [begin, begin + ids.size()), in steps of at most max_tokens(). What the cache held from
  // `begin` on is replaced. `wanted`, ascending, are the positions whose logits go to the sink.
  absl::Status Feed(int64_t begin, std::span<const int32_t> ids, std::span<const EmbeddingSpan> embeddings,
                    std::span<const int64_t> wanted, const LogitsSink& sink);

 private:
  absl::Status Step(int64_t begin, std::span<const int32_t> ids, std::span<const EmbeddingSpan> embeddings,
                    std::span<const int64_t> wanted, const LogitsSink& sink);

  llm_worker::Decoder& decoder_;
  std::vector<int32_t> blocks_;
  std::vector<llm_worker::TokenGrid> grids_;
};

}  // namespace headroom::tools
