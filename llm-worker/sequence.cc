#include "llm-worker/sequence.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "model/request_limits.h"

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
    const int64_t on_grid = run.rows - 2 * run.margin;
    if (run.columns < 0 || (run.columns > 0 && (on_grid < 1 || on_grid % run.columns != 0))) {
      return absl::InvalidArgumentError(absl::StrCat("span of ", run.rows, " rows at ", run.begin, ": no grid of ",
                                                     run.columns, " columns between ", run.margin, " and ", run.margin,
                                                     " rows"));
    }
    end = run.begin + run.rows;
  }
  return absl::OkStatus();
}

// Those that go on, of one choice or of several.
absl::Status CheckContinued(const SequenceRequest& request, int64_t vocab_size) {
  if (request.n < 1 || request.n > model::kChoicesMax) {
    return absl::InvalidArgumentError(absl::StrCat("n ", request.n, ": 1 to ", model::kChoicesMax));
  }
  if (request.n > 1 ? !request.continued_ids.empty() : !request.continued.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("continued ids of ", request.n, " choices in the other field"));
  }
  int32_t last = -1;
  for (const ContinuedChoice& choice : request.Choices()) {
    if (choice.choice <= last || choice.choice >= request.n) {
      return absl::InvalidArgumentError(
          absl::StrCat("continued choice ", choice.choice, " after ", last, ", there are ", request.n));
    }
    last = choice.choice;
    if (static_cast<int64_t>(choice.ids.size()) >= request.max_tokens) {
      return absl::InvalidArgumentError(
          absl::StrCat(choice.ids.size(), " continued ids leave nothing of max_tokens ", request.max_tokens));
    }
    HEADROOM_RETURN_IF_ERROR(CheckIds(choice.ids, "continued_ids", vocab_size));
  }
  return absl::OkStatus();
}

absl::Status CheckAlternatives(const char* what, int32_t count) {
  if (count >= -1 && count <= model::kAlternativesMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " ", count, ": 0 to ", model::kAlternativesMax));
}

}  // namespace

std::vector<ContinuedChoice> SequenceRequest::Choices() const {
  if (n == 1) return {{.choice = 0, .ids = continued_ids}};
  if (!continued.empty()) return continued;
  std::vector<ContinuedChoice> choices;
  for (int32_t choice = 0; choice < n; ++choice) choices.push_back({.choice = choice});
  return choices;
}

absl::Status CheckSequenceRequest(const SequenceRequest& request, const ModelLimits& limits) {
  const auto prompt = static_cast<int64_t>(request.prompt_ids.size());
  if (prompt < 1) return absl::InvalidArgumentError("the prompt has no tokens");
  if (request.max_tokens < 1) {
    return absl::InvalidArgumentError(absl::StrCat("max_tokens ", request.max_tokens, ": at least 1"));
  }
  // Written without a sum: max_tokens may be anything.
  if (prompt > limits.max_model_len || request.max_tokens > limits.max_model_len - prompt) {
    return absl::InvalidArgumentError(absl::StrCat("prompt of ", prompt, " tokens and max_tokens ", request.max_tokens,
                                                   " are above max_model_len ", limits.max_model_len));
  }
  if (static_cast<int64_t>(request.stop_ids.size()) > model::kStopIdsMax) {
    return absl::InvalidArgumentError(absl::StrCat(request.stop_ids.size(), " stop ids: at most ", model::kStopIdsMax));
  }
  if (request.rules.min_tokens < 0 || request.rules.min_tokens > request.max_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("min_tokens ", request.rules.min_tokens, ": 0 to max_tokens, ", request.max_tokens));
  }
  HEADROOM_RETURN_IF_ERROR(CheckIds(request.prompt_ids, "prompt", limits.vocab_size));
  HEADROOM_RETURN_IF_ERROR(CheckContinued(request, limits.vocab_size));
  HEADROOM_RETURN_IF_ERROR(CheckLogitRules(request.rules, limits.vocab_size));
  HEADROOM_RETURN_IF_ERROR(CheckAlternatives("logprobs", request.logprobs));
  HEADROOM_RETURN_IF_ERROR(CheckAlternatives("prompt_logprobs", request.prompt_logprobs));
  HEADROOM_RETURN_IF_ERROR(CheckIds(request.stop_ids, "stop_ids", limits.vocab_size));
  HEADROOM_RETURN_IF_ERROR(CheckRuns(request));
  HEADROOM_RETURN_IF_ERROR(runtime::CheckSampling(request.sampling));
  return absl::OkStatus();
}

std::unique_ptr<Sequence> Sequence::Create(SequenceRequest request, std::shared_ptr<TokenStream> stream,
                                           KvBlocks blocks, int64_t vocab_size) {
  auto group = std::make_shared<AnswerGroup>();
  const std::vector<ContinuedChoice> choices = request.Choices();
  const auto prompt = static_cast<int64_t>(request.prompt_ids.size());
  group->open = static_cast<int64_t>(choices.size());
  group->stream = std::move(stream);
  for (const EmbeddingRun& run : request.runs) {
    group->image_tokens += run.rows;
    if (run.columns == 0) continue;
    group->grids.push_back({.begin = run.begin + run.margin,
                            .rows = static_cast<int32_t>((run.rows - 2 * run.margin) / run.columns),
                            .cols = static_cast<int32_t>(run.columns)});
  }
  const int32_t n = request.n;
  std::vector<std::shared_ptr<ConstrainedText>> texts = std::exchange(request.texts, {});
  HEADROOM_CHECK(texts.empty() || texts.size() == choices.size()) << texts.size();
  texts.resize(choices.size());
  group->request = std::move(request);
  // The parts of choices that are over, and of a moved request do not come again, are given back here.
  std::vector<KvBlocks> others;
  if (n > 1) others = blocks.Divide(n, prompt);
  std::unique_ptr<Sequence> first(
      new Sequence(group, choices.front(), std::move(texts[0]), std::move(blocks), vocab_size));
  for (size_t i = 1; i < choices.size(); ++i) {
    first->waiting_.emplace_back(
        new Sequence(group, choices[i], std::move(texts[i]), std::move(others[i - 1]), vocab_size));
  }
  return first;
}

Sequence::Sequence(std::shared_ptr<AnswerGroup> group, const ContinuedChoice& start,
                   std::shared_ptr<ConstrainedText> text, KvBlocks blocks, int64_t vocab_size)
    : group_(std::move(group)),
      choice_(start.choice),
      text_(std::move(text)),
      blocks_(std::move(blocks)),
      changes_(request().rules, request().stop_ids, request().max_tokens) {
  tokens_.reserve(request().prompt_ids.size() + static_cast<size_t>(request().max_tokens));
  tokens_ = request().prompt_ids;
  tokens_.insert(tokens_.end(), start.ids.begin(), start.ids.end());
  for (const int32_t id : start.ids) changes_.Add(id);
  if (request().sampling.repetition_penalty != 1.0f) {
    seen_.assign(static_cast<size_t>(runtime::SeenWords(vocab_size)), 0);
  }
  size_t position = 0;
  for (const EmbeddingRun& run : request().runs) {
    MarkSeen(tokens().subspan(position, static_cast<size_t>(run.begin) - position));
    position = static_cast<size_t>(run.begin + run.rows);
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
          .next_is_shared = blocks_.IsShared(computed_),
          .slots = 1 + static_cast<int64_t>(waiting_.size()),
          .is_away = text_ != nullptr && !text_->ready()};
}

bool Sequence::IsText(int64_t position) const {
  return std::ranges::none_of(request().runs, [position](const EmbeddingRun& run) {
    return position >= run.begin && position < run.begin + run.rows;
  });
}

RowSample Sequence::Draw(int32_t row) const {
  return {.row = row,
          .how = {.sampling = request().sampling,
                  .position = static_cast<uint64_t>(answer_tokens()),
                  .choice = static_cast<uint32_t>(choice_),
                  .alternatives = request().logprobs},
          .seen = seen_,
          .changes = changes_.list(),
          .allowed = text_ == nullptr ? std::span<const uint32_t>() : text_->allowed()};
}

absl::StatusOr<std::vector<std::unique_ptr<Sequence>>> Sequence::Fork() {
  for (const std::unique_ptr<Sequence>& other : waiting_) {
    HEADROOM_RETURN_IF_ERROR(other->blocks_.Share(blocks_, prompt_tokens()));
    other->computed_ = prompt_tokens();
    other->last_step_ = last_step_;
  }
  return std::exchange(waiting_, {});
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
  changes_.Add(token);
  if (std::ranges::find(request().stop_ids, token) != request().stop_ids.end()) return Finish::kStop;
  return answer_tokens() >= request().max_tokens ? Finish::kLength : Finish::kNone;
}

}  // namespace headroom::llm_worker
