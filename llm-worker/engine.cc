#include "llm-worker/engine.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "common/check.h"
#include "common/compute_thread.h"
#include "common/log.h"

namespace headroom::llm_worker {

Engine::Engine(const EngineOptions& options, KvPool& pool, ForwardPass forward, Clock& clock,
               std::function<void(const EngineStep&)> on_step)
    : options_(options),
      forward_(std::move(forward)),
      clock_(clock),
      on_step_(std::move(on_step)),
      pool_(pool),
      masks_(options.mask_threads, options.limits.max_num_seqs) {
  stats_.blocks = pool.blocks();
}

Engine::~Engine() { Stop(); }

void Engine::Start() {
  HEADROOM_CHECK(!thread_.joinable()) << "started twice";
  thread_ = std::thread([this] { Run(); });
}

absl::Status Engine::Submit(SequenceRequest request, std::shared_ptr<TokenStream> stream, KvBlocks blocks) {
  auto sequence = Sequence::Create(std::move(request), std::move(stream), std::move(blocks), options_.vocab_size);
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return absl::UnavailableError("the worker is shutting down");
    if (stats_.waiting >= options_.waiting_max) {
      return absl::ResourceExhaustedError(absl::StrCat("at most ", options_.waiting_max, " requests wait for a slot"));
    }
    ++stats_.waiting;
    submitted_.push_back(std::move(sequence));
  }
  work_.notify_one();
  return absl::OkStatus();
}

void Engine::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  } else {
    EndAll();
  }
}

EngineStats Engine::Stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

void Engine::Run() {
  while (WaitForWork()) {
    const ComputeScope scope;
    DropCancelled();
    masks_.WaitIdle(options_.mask_wait_max);
    DropWhole();
    const StepPlan plan = Plan();
    const AdmittedStep step = Admit(plan);
    if (!step.rows.empty()) RunStep(step);
  }
  EndAll();
}

// False when the engine shall stop. Publishes the counts of the moment.
bool Engine::WaitForWork() {
  std::unique_lock lock(mutex_);
  auto update = [this] {
    while (!submitted_.empty()) {
      waiting_.push_back(std::move(submitted_.front()));
      submitted_.pop_front();
    }
    stats_.running = static_cast<int64_t>(running_.size());
    stats_.waiting = static_cast<int64_t>(waiting_.size());
    stats_.blocks_used = pool_.used_blocks();
  };
  update();
  if (!running_.empty() || !waiting_.empty()) return !stopping_;
  work_.wait(lock, [this] { return stopping_ || !submitted_.empty(); });
  update();
  return !stopping_;
}

void Engine::DropCancelled() {
  DropCancelled(running_);
  DropCancelled(waiting_);
}

void Engine::DropCancelled(std::deque<SequencePtr>& sequences) {
  for (size_t i = 0; i < sequences.size();) {
    if (sequences[i]->stream().cancelled()) {
      End(sequences[i].get(), {.finish = Finish::kCancelled});
    } else {
      ++i;
    }
  }
}

void Engine::DropWhole() {
  DropWhole(running_);
  DropWhole(waiting_);
}

void Engine::DropWhole(std::deque<SequencePtr>& sequences) {
  for (size_t i = 0; i < sequences.size();) {
    Sequence* const sequence = sequences[i].get();
    const ConstrainedText* const text = sequence->text();
    if (text == nullptr || !text->ready() || !sequence->waiting().empty()) {
      ++i;
    } else if (!text->status().ok()) {
      End(sequence, {.error = text->status()});
    } else if (text->whole()) {
      End(sequence, {.finish = Finish::kStop});
    } else {
      ++i;
    }
  }
}

StepPlan Engine::Plan() const {
  std::vector<SequenceView> running, waiting;
  for (const SequencePtr& sequence : running_) running.push_back(sequence->View());
  for (const SequencePtr& sequence : waiting_) waiting.push_back(sequence->View());
  return PlanStep(running, waiting, pool_.free_blocks(), options_.limits);
}

Engine::AdmittedStep Engine::Admit(const StepPlan& plan) {
  for (size_t i = 0; i < plan.admitted; ++i) {
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  AdmittedStep step;
  std::vector<std::pair<Sequence*, absl::Status>> failed;
  for (const StepItem& item : plan.items) {
    Sequence* sequence = running_[item.index].get();
    if (absl::Status status = sequence->MakeRoom(item.tokens, step.copies); !status.ok()) {
      failed.emplace_back(sequence, std::move(status));
    } else {
      step.rows.push_back({sequence, item.tokens, item.samples});
    }
  }
  // Under the guaranteed policy something can always run. If not, the books are wrong: end the oldest rather than spin.
  // Who was away when the step was planned may be back by now.
  if (step.rows.empty() && failed.empty() && !running_.empty() && plan.away == 0) {
    failed.emplace_back(running_.front().get(), absl::InternalError("no KV block for a sequence that was granted"));
  }
  for (auto& [sequence, status] : failed) End(sequence, {.error = std::move(status)});
  return step;
}

StepBatch Engine::BuildBatch(const AdmittedStep& step) const {
  StepBatch batch;
  batch.copies = step.copies;
  int64_t first_row = 0;
  for (const Row& row : step.rows) {
    const Sequence& sequence = *row.sequence;
    const auto tokens =
        sequence.tokens().subspan(static_cast<size_t>(sequence.computed()), static_cast<size_t>(row.tokens));
    batch.token_ids.insert(batch.token_ids.end(), tokens.begin(), tokens.end());
    batch.sequences.push_back({.first_row = first_row,
                               .rows = row.tokens,
                               .cached = sequence.computed(),
                               .blocks = sequence.blocks(),
                               .grids = sequence.grids()});
    AddEmbeddings(sequence, first_row, row.tokens, batch);
    AddSamples(row, first_row, batch);
    first_row += row.tokens;
  }
  return batch;
}

void Engine::AddSamples(const Row& row, int64_t first_row, StepBatch& batch) const {
  const Sequence& sequence = *row.sequence;
  const int64_t begin = sequence.computed(), end = begin + row.tokens, prompt = sequence.prompt_tokens();
  const int32_t alternatives = sequence.request().prompt_logprobs;
  if (alternatives >= 0) {
    for (int64_t position = begin + 1; position < std::min(end + 1, prompt); ++position) {
      if (!sequence.IsText(position)) continue;
      batch.samples.push_back(
          {.row = static_cast<int32_t>(first_row + position - 1 - begin),
           .how = {.token = sequence.tokens()[static_cast<size_t>(position)], .alternatives = alternatives}});
    }
  }
  if (begin < prompt && end >= prompt) {
    for (const auto& other : sequence.waiting()) {
      if (other->answer_tokens() == 0) {
        batch.samples.push_back(other->Draw(static_cast<int32_t>(first_row + prompt - 1 - begin)));
      }
    }
  }
  if (row.samples) batch.samples.push_back(sequence.Draw(static_cast<int32_t>(first_row + row.tokens - 1)));
}

// The parts of the sequence's runs that fall into its next `tokens` tokens.
void Engine::AddEmbeddings(const Sequence& sequence, int64_t first_row, int64_t tokens, StepBatch& batch) const {
  const int64_t begin = sequence.computed(), end = begin + tokens;
  for (const EmbeddingRun& run : sequence.request().runs) {
    const int64_t from = std::max(begin, run.begin), to = std::min(end, run.begin + run.rows);
    if (from >= to) continue;
    const runtime::HostMatrix all = {run.data.data(), options_.embedding_dtype, run.rows, options_.hidden_size};
    batch.embeddings.push_back(
        {.first_row = first_row + from - begin, .rows = all.RowRange(from - run.begin, to - from)});
  }
}

void Engine::RunStep(const AdmittedStep& step) {
  const TimePoint begin = clock_.Now();
  const std::vector<Row>& rows = step.rows;
  const StepBatch batch = BuildBatch(step);
  const absl::StatusOr<StepTokens> tokens = forward_(batch);
  ++step_;
  if (!tokens.ok()) {
    Log(LogLevel::kError, "llm-worker", "step failed").With("error", tokens.status().ToString());
    for (const Row& row : rows) End(row.sequence, {.error = absl::InternalError("the step failed")});
    return;
  }
  const auto drawn = std::ranges::count_if(batch.samples, [](const RowSample& sample) { return sample.how.token < 0; });
  EngineStep report{.sequences = static_cast<int64_t>(rows.size()),
                    .tokens = static_cast<int64_t>(batch.token_ids.size()),
                    .sampled = drawn};
  SampleReader samples(batch.samples, *tokens, options_.vocab_size);
  for (const Row& row : rows) {
    report.prompt_tokens +=
        std::clamp<int64_t>(row.sequence->prompt_tokens() - row.sequence->computed(), 0, row.tokens);
    Take(row, samples);
  }
  report.seconds = Seconds(clock_.Now() - begin);
  if (on_step_) on_step_(report);
}

void Engine::Take(const Row& row, SampleReader& samples) {
  Sequence& sequence = *row.sequence;
  const int64_t prompt = sequence.prompt_tokens();
  if (sequence.request().prompt_logprobs >= 0 && sequence.computed() < prompt) TakePromptLogprobs(row, samples);
  const bool forks = sequence.computed() < prompt && sequence.computed() + row.tokens >= prompt;
  sequence.MarkComputed(row.tokens, step_);
  absl::Status broken;
  if (forks) {
    auto others = sequence.Fork();
    if (others.ok()) {
      for (SequencePtr& other : *others) {
        Sequence& joined = *running_.emplace_back(std::move(other));
        if (joined.answer_tokens() == 0) Publish(joined, samples.Next());
      }
    } else {
      broken = others.status();
    }
  }
  if (!broken.ok()) {
    End(&sequence, {.error = std::move(broken)});
  } else if (row.samples) {
    Publish(sequence, samples.Next());
  }
}

void Engine::TakePromptLogprobs(const Row& row, SampleReader& samples) {
  const Sequence& sequence = *row.sequence;
  const int64_t begin = sequence.computed();
  const int64_t end = std::min(begin + row.tokens + 1, sequence.prompt_tokens());
  auto logprobs = std::make_unique<EventLogprobs>();
  logprobs->prompt.reserve(static_cast<size_t>(std::max<int64_t>(0, end - begin)));
  if (begin == 0) logprobs->prompt.emplace_back();
  for (int64_t position = begin + 1; position < end; ++position) {
    PromptLogprob& told = logprobs->prompt.emplace_back();
    if (!sequence.IsText(position)) continue;
    const Sampled measured = samples.Next();
    if (measured.logprobs == nullptr) continue;  // not finite: the answer will say so
    told = {.logprob = measured.logprobs->of_token, .top = std::move(measured.logprobs->top)};
  }
  if (logprobs->prompt.empty()) return;
  sequence.group().stream->Push({.choice = sequence.choice(), .logprobs = std::move(logprobs)});
}

void Engine::Publish(Sequence& sequence, Sampled sampled) {
  if (sampled.token == runtime::kNoneAllowed && sequence.text() != nullptr) {
    // Bias, stop ids and min_tokens can take the last way out; so can a vocabulary that lacks a character.
    return End(&sequence, {.error = absl::FailedPreconditionError("no token may be drawn that the constraint allows")});
  }
  if (sampled.token < 0) {
    const char* const why =
        sampled.token == runtime::kNoneAllowed ? "no token may be drawn" : "a logit is not a finite number";
    return End(&sequence, {.error = absl::InternalError(why)});
  }
  AnswerEvent event{.index = sequence.answer_tokens(),
                    .token = sampled.token,
                    .choice = sequence.choice(),
                    .logprobs = std::move(sampled.logprobs),
                    .has_token = true};
  event.finish = sequence.Append(sampled.token);
  if (event.finish != Finish::kNone) {
    End(&sequence, std::move(event));
  } else {
    if (sequence.text() != nullptr) masks_.Add(sequence.shared_text(), sampled.token);
    sequence.stream().Push(std::move(event));
  }
}

void Engine::End(Sequence* sequence, AnswerEvent last) {
  const std::shared_ptr<TokenStream> stream = sequence->group().stream;
  AnswerGroup& group = sequence->group();
  last.choice = sequence->choice();
  if (!last.has_token) last.index = sequence->answer_tokens();
  group.completion_tokens += sequence->answer_tokens();
  group.open -= 1 + static_cast<int64_t>(sequence->waiting().size());
  last.ends = group.open == 0;
  last.usage = {.prompt_tokens = sequence->prompt_tokens(),
                .image_tokens = group.image_tokens,
                .completion_tokens = group.completion_tokens};
  auto is_it = [sequence](const SequencePtr& other) { return other.get() == sequence; };
  if (std::erase_if(running_, is_it) + std::erase_if(waiting_, is_it) != 1) {
    HEADROOM_CHECK(false) << "a sequence ends twice";
  }
  // What ends with an error ends as a whole: the other choices follow within a step.
  if (!last.error.ok()) stream->Cancel();
  stream->Push(std::move(last));
}

void Engine::EndAll() {
  {
    std::lock_guard lock(mutex_);
    std::move(submitted_.begin(), submitted_.end(), std::back_inserter(waiting_));
    submitted_.clear();
  }
  const absl::Status stopped = absl::UnavailableError("the worker is shutting down");
  while (!running_.empty()) End(running_.front().get(), {.error = stopped});
  while (!waiting_.empty()) End(waiting_.front().get(), {.error = stopped});
  std::lock_guard lock(mutex_);
  stats_ = {.blocks_used = pool_.used_blocks(), .blocks = pool_.blocks()};
}

}  // namespace headroom::llm_worker
