#include "llm-worker/sequence.h"

#include <algorithm>

#include "common/check.h"

namespace headroom::llm_worker {
namespace {

absl::Status CheckIds(const std::vector<int32_t>& ids, const char* what, int64_t vocab_size) {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat(what, ": id ", id, " is outside the vocabulary of ", vocab_size));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRuns(const SequenceRequest& request) {
  const auto prompt = static_cast<int64_t>(request.prompt_ids.size());
  int64_t end = 0;
  for (const EmbeddingRun& run : request.runs) {
    if (run.rows < 1 || run.begin < 0 || run.begin > prompt || run.rows > prompt - run.begin) {
      return absl::InvalidArgumentError(absl::StrCat("span of ", run.rows, " rows at ", run.begin,
                                                     " is not inside the prompt of ", prompt, " tokens"));
    }
    if (run.begin < end) {
      return absl::InvalidArgumentError(
          absl::StrCat("span at ", run.begin, " begins before ", end, ", the end of the span before it"));
    }
    end = run.begin + run.rows;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSequenceRequest(const SequenceRequest& request, const ModelLimits& limits) {
  const auto prompt = static_cast<int64_t>(request.prompt_ids.size());
  const auto continued = static_cast<int64_t>(request.continued_ids.size());
  if (prompt < 1) return absl::InvalidArgumentError("the prompt has no tokens");
  if (request.max_tokens < 1) {
    return absl::InvalidArgumentError(absl::StrCat("max_tokens ", request.max_tokens, ": at least 1"));
  }
  // Written without a sum: max_tokens may be anything.
  if (prompt > limits.max_model_len || request.max_tokens > limits.max_model_len - prompt) {
    return absl::InvalidArgumentError(absl::StrCat("prompt of ", prompt, " tokens and max_tokens ", request.max_tokens,
                                                   " are above max_model_len ", limits.max_model_len));
  }
  if (continued >= request.max_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat(continued, " continued ids leave nothing of max_tokens ", request.max_tokens));
  }
  if (request.stop_ids.size() > kStopIdsMax) {
    return absl::InvalidArgumentError(absl::StrCat(request.stop_ids.size(), " stop ids: at most ", kStopIdsMax));
  }
  HEADROOM_RETURN_IF_ERROR(CheckIds(request.prompt_ids, "prompt", limits.vocab_size));
  HEADROOM_RETURN_IF_ERROR(CheckIds(request.continued_ids, "continued_ids", limits.vocab_size));
  HEADROOM_RETURN_IF_ERROR(CheckIds(request.stop_ids, "stop_ids", limits.vocab_size));
  HEADROOM_RETURN_IF_ERROR(CheckRuns(request));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckSampling(request.sampling));
  return absl::OkStatus();
}

Sequence::Sequence(SequenceRequest request, std::shared_ptr<TokenStream> stream, KvBlocks blocks, int64_t vocab_size)
    : request_(std::move(request)), stream_(std::move(stream)), blocks_(std::move(blocks)) {
  const size_t tokens_max = request_.prompt_ids.size() + static_cast<size_t>(request_.max_tokens);
  tokens_.reserve(tokens_max);
  tokens_ = request_.prompt_ids;
  tokens_.insert(tokens_.end(), request_.continued_ids.begin(), request_.continued_ids.end());
  if (request_.sampling.repetition_penalty != 1.0f) {
    seen_.assign(static_cast<size_t>(runtime::SeenWords(vocab_size)), 0);
  }
  size_t position = 0;
  for (const EmbeddingRun& run : request_.runs) {
    MarkSeen(tokens().subspan(position, static_cast<size_t>(run.begin) - position));
    position = static_cast<size_t>(run.begin + run.rows);
    image_tokens_ += run.rows;
  }
  MarkSeen(tokens().subspan(position));
}

void Sequence::MarkSeen(std::span<const int32_t> ids) {
  if (seen_.empty()) return;
  for (const int32_t id : ids) seen_[static_cast<size_t>(id / 32)] |= uint32_t{1} << (id % 32);
}

SequenceView Sequence::View() const {
  return {.computed_tokens = computed_,
          .known_tokens = static_cast<int64_t>(tokens_.size()),
          .blocks_held = static_cast<int64_t>(blocks_.blocks().size()),
          .blocks_reserved = blocks_.reserved(),
          .last_step = last_step_,
          .next_is_shared = blocks_.IsShared(computed_)};
}

absl::Status Sequence::MakeRoom(int64_t tokens, std::vector<BlockCopy>& copies) {
  return blocks_.MakeWritable(computed_, computed_ + tokens, copies);
}

void Sequence::MarkComputed(int64_t tokens, uint64_t step) {
  computed_ += tokens;
  last_step_ = step;
  HEADROOM_CHECK(computed_ <= static_cast<int64_t>(tokens_.size())) << computed_;
}

Finish Sequence::Append(int32_t token) {
  tokens_.push_back(token);
  MarkSeen({&token, 1});
  if (std::find(request_.stop_ids.begin(), request_.stop_ids.end(), token) != request_.stop_ids.end()) {
    return Finish::kStop;
  }
  return answer_tokens() >= request_.max_tokens ? Finish::kLength : Finish::kNone;
}

AnswerUsage Sequence::Usage() const {
  return {.prompt_tokens = static_cast<int64_t>(request_.prompt_ids.size()),
          .image_tokens = image_tokens_,
          .completion_tokens = answer_tokens()};
}

}  // namespace headroom::llm_worker
