#include "admission/price.h"

#include <string>

#include "common/arith.h"
#include "common/embedding_pages.h"
#include "common/range.h"

namespace headroom::admission {
namespace {

absl::Status CheckInput(const PriceInput& input) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("prompt_tokens", input.prompt_tokens, 1, kSequenceTokensMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("max_tokens", input.max_tokens, 1, kSequenceTokensMax));
  HEADROOM_RETURN_IF_ERROR(
      CheckRange("prompt and answer tokens", input.prompt_tokens + input.max_tokens, 2, kSequenceTokensMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("block_size", input.block_size, 1, kSequenceTokensMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("choices", input.choices, 1, kChoicesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("logprobs", input.answer_logprobs, 0, kLogprobsMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("prompt logprobs", input.prompt_logprobs, 0, kLogprobsMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("changed ids", input.changed_ids, 0, kSequenceTokensMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("image_tokens", input.image_tokens, 0, input.prompt_tokens));
  if (input.images != 0) return absl::OkStatus();
  if (input.pieces == 0 && input.patches == 0 && input.compressed_bytes == 0) return absl::OkStatus();
  return absl::InvalidArgumentError("pieces, patches or image bytes without an image");
}

absl::Status CheckImages(const PriceInput& input) {
  HEADROOM_RETURN_IF_ERROR(CheckRange("images", input.images, 1, kImagesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("pieces", input.pieces, input.images, kPatchesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("patches", input.patches, input.pieces, kPatchesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("patches of the largest piece", input.largest_piece_patches, 1, input.patches));
  HEADROOM_RETURN_IF_ERROR(CheckRange("image_tokens", input.image_tokens, input.pieces, kSequenceTokensMax));
  // Every page holds a row at least, and all pages together every row.
  HEADROOM_RETURN_IF_ERROR(
      CheckRange("embedding pages", input.embedding_pages, EmbeddingPages(input.image_tokens), input.image_tokens));
  HEADROOM_RETURN_IF_ERROR(CheckRange("embedding bytes of a row", input.embedding_row_bytes, 1, kDimensionMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("compressed bytes", input.compressed_bytes, 0, kDimensionMax));
  return CheckRange("decoded bytes", input.decoded_bytes, 0, kDimensionMax);
}

}  // namespace

int64_t ChoiceBlocks(int64_t prompt_tokens, int64_t max_tokens, int64_t choices, int64_t block_size) {
  const int64_t common = choices == 1 ? 0 : prompt_tokens / block_size;
  return common + choices * (CeilDiv(prompt_tokens + max_tokens, block_size) - common);
}

absl::StatusOr<Price> ComputeVisionPrice(const PriceInput& input) {
  HEADROOM_RETURN_IF_ERROR(CheckImages(input));
  Price price;
  price.sequence_tokens = price.prompt_tokens = price.image_tokens = input.image_tokens;
  price.pieces = input.pieces;
  price.largest_piece_patches = input.largest_piece_patches;
  int64_t embedding_bytes = 0;
  if (__builtin_mul_overflow(input.embedding_pages * kEmbeddingPageRows, input.embedding_row_bytes, &embedding_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("embeddings of ", input.embedding_pages, " pages of ",
                                                   kEmbeddingPageRows, " rows of ", input.embedding_row_bytes,
                                                   " bytes are too large"));
  }
  price.vision = Resources{.slots = input.images,
                           .patches = input.patches,
                           .embedding_bytes = embedding_bytes,
                           .host_bytes = input.compressed_bytes + input.decoded_bytes};
  HEADROOM_RETURN_IF_ERROR(ValidateResources(*price.vision));
  return price;
}

absl::StatusOr<Price> ComputePrice(const PriceInput& input) {
  HEADROOM_RETURN_IF_ERROR(CheckInput(input));
  Price price;
  if (input.images != 0) {
    HEADROOM_ASSIGN_OR_RETURN(price, ComputeVisionPrice(input));
  }
  price.sequence_tokens = input.prompt_tokens + input.max_tokens;
  price.prompt_tokens = input.prompt_tokens;
  // No more than the vision leg's embedding_bytes.
  const int64_t embedding_bytes = price.vision ? input.image_tokens * input.embedding_row_bytes : 0;
  // In bounds: tokens ≤ 2^31, choices ≤ 2^10, logprobs ≤ 2^7 and embedding_bytes ≤ kDimensionMax.
  const int64_t choice_bytes = price.sequence_tokens * int64_t{sizeof(int32_t)} +
                               input.max_tokens * (kTokenEventBytes + LogprobBytes(input.answer_logprobs)) +
                               input.changed_ids * kChangeBytes;
  price.llm =
      Resources{.slots = input.choices,
                .kv_blocks = ChoiceBlocks(input.prompt_tokens, input.max_tokens, input.choices, input.block_size),
                .host_bytes = embedding_bytes + input.choices * choice_bytes +
                              input.prompt_tokens * LogprobBytes(input.prompt_logprobs)};
  HEADROOM_RETURN_IF_ERROR(ValidateResources(*price.llm));
  return price;
}

absl::Status ValidatePrice(const Price& price) {
  if (!price.vision && !price.llm) return absl::InvalidArgumentError("the price names no role");
  for (Role role : {Role::kVision, Role::kLlm}) {
    const std::optional<Resources>& need = price.ForRole(role);
    if (!need) continue;
    HEADROOM_RETURN_IF_ERROR(ValidateResources(*need));
    if (need->slots < 1) {
      return absl::InvalidArgumentError(absl::StrCat("the ", RoleName(role), " price takes ", need->slots, " slots"));
    }
  }
  HEADROOM_RETURN_IF_ERROR(CheckRange("largest_piece_patches", price.largest_piece_patches, 0, kPatchesMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("sequence_tokens", price.sequence_tokens, 0, kSequenceTokensMax));
  HEADROOM_RETURN_IF_ERROR(CheckRange("prompt_tokens", price.prompt_tokens, 0, price.sequence_tokens));
  HEADROOM_RETURN_IF_ERROR(CheckRange("image_tokens", price.image_tokens, 0, price.prompt_tokens));
  return CheckRange("pieces", price.pieces, 0, kPatchesMax);
}

}  // namespace headroom::admission
