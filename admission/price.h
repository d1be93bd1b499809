// The price of a request under policy `guaranteed`: the worst case, reserved before any work is done, so that an
// admitted request can always finish. It follows from numbers that the gateway knows before a pixel is decoded. Pure.
//
//   role    dimension        formula
//   llm     slots            choices
//           kv_blocks        ChoiceBlocks: the prompt's whole blocks once, what lies behind them for each choice; the
//                            prefix that requests share counts in full
//           host_bytes       image_tokens · embedding_row_bytes (fetched embeddings wait in host memory for prefill)
//                            + of each choice: (prompt_tokens + max_tokens) · 4 (ids) + max_tokens · (kTokenEventBytes
//                            + LogprobBytes(answer_logprobs)) (unread events) + changed_ids · kChangeBytes
//                            + prompt_tokens · LogprobBytes(prompt_logprobs)
//   vision  slots            images
//           patches          patches over all pieces
//           embedding_bytes  embedding_pages · kEmbeddingPageRows · embedding_row_bytes
//           host_bytes       compressed_bytes + decoded_bytes
//
// So an llm-worker must offer slots, kv_blocks and host_bytes; a vision-worker slots, patches, embedding_bytes and
// host_bytes. A dimension that a worker does not offer is 0 and nothing that needs it fits.
#pragma once

#include <cstdint>

#include "admission/grant.h"
#include "common/status.h"

namespace headroom::admission {

// Host memory that one answer token may hold until the client has read it.
inline constexpr int64_t kTokenEventBytes = 64;
// What comes to it where it is told with the logprobs of so many tokens; the same for a token of the prompt.
constexpr int64_t LogprobBytes(int64_t tokens) { return tokens == 0 ? 0 : 128 + 8 * tokens; }
// Of an id whose logit a choice changes.
inline constexpr int64_t kChangeBytes = 24;

inline constexpr int64_t kChoicesMax = 1024;
inline constexpr int64_t kLogprobsMax = 128;
inline constexpr int64_t kSequenceTokensMax = int64_t{1} << 31;
inline constexpr int64_t kImagesMax = int64_t{1} << 20;
inline constexpr int64_t kPatchesMax = int64_t{1} << 40;

struct PriceInput {
  int64_t prompt_tokens = 0;  // image tokens included; ≥ 1
  int64_t image_tokens = 0;   // of the prompt: the rows of all pieces
  int64_t max_tokens = 0;     // ≥ 1
  int64_t block_size = 0;     // tokens of a KV block, ≥ 1; workers of one model agree on it
  int64_t choices = 1;
  int64_t answer_logprobs = 0;  // tokens told for each token of the answer, that one included
  int64_t prompt_logprobs = 0;  // likewise of the prompt
  int64_t changed_ids = 0;      // whose logits the request changes: bias, penalties, stop ids
  // All 0 for a text-only request.
  int64_t images = 0;
  int64_t pieces = 0;
  int64_t patches = 0;                // over all pieces of all images
  int64_t largest_piece_patches = 0;  // of one piece
  int64_t embedding_pages = 0;        // of the store, over all pieces: EmbeddingPages of the rows of each
  int64_t embedding_row_bytes = 0;    // columns · bytes of an element
  int64_t compressed_bytes = 0;       // of all images
  int64_t decoded_bytes = 0;          // model::DecodedHostBytes of all images: decoded picture, pieces, sheet of slices
};

// KV blocks of a request whose choices share its prompt. All ≥ 0, block_size and choices ≥ 1.
int64_t ChoiceBlocks(int64_t prompt_tokens, int64_t max_tokens, int64_t choices, int64_t block_size);

// INVALID_ARGUMENT with the value and the limit when a number is out of its bounds or a product overflows.
absl::StatusOr<Price> ComputePrice(const PriceInput& input);
// Of pictures that are encoded and read by no llm: the vision role alone. `input`: the numbers of images, one at least;
// their rows (image_tokens) count as its tokens where tenants are compared.
absl::StatusOr<Price> ComputeVisionPrice(const PriceInput& input);

// What the scheduler checks of a price that came over the wire: at least one role, every role takes at least one slot,
// every dimension and number in bounds.
absl::Status ValidatePrice(const Price& price);

}  // namespace headroom::admission
