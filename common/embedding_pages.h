// How embeddings of pictures are kept and sent. A piece has a number of rows of its own; stores hand out pages of rows,
// as the KV pool hands out blocks of tokens, so that pieces of any number share one region without fragments.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/arith.h"

namespace headroom {

// Rows of a page. The 64 rows of a MiniCPM-V piece fill two; of another number half a page is left on the average. An
// element has at least 2 bytes, so pages keep the 64-byte alignment of device regions whatever their width.
inline constexpr int64_t kEmbeddingPageRows = 32;

// Pages that a piece of so many rows takes.
constexpr int64_t EmbeddingPages(int64_t rows) { return CeilDiv(rows, kEmbeddingPageRows); }

// Rows of one message, whole ones of one piece: as many as fit into this many bytes, at least one.
inline constexpr int64_t kEmbeddingMessageBytes = int64_t{1} << 20;
constexpr int64_t EmbeddingMessageRows(int64_t row_bytes) {
  return std::max<int64_t>(1, kEmbeddingMessageBytes / std::max<int64_t>(1, row_bytes));
}

}  // namespace headroom
