#include "llm-worker/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "admission/price.h"
#include "llm-worker/testing/gated_pool.h"
#include "model/request_limits.h"
#include "runtime/ops/sample_math.h"

namespace headroom::llm_worker {
namespace {

constexpr int64_t kVocab = 50;
constexpr int64_t kHidden = 2;
constexpr int64_t kBlockSize = 4;
constexpr int64_t kBlocks = 64;
constexpr int64_t kBlockBytes = 128;
constexpr int32_t kPoison = 49;  // a prompt that holds it gets logits that are not finite

uint64_t Mix(uint64_t hash, uint64_t value) { return (hash ^ (value + 0x9e3779b97f4a7c15)) * 0xff51afd7ed558ccd; }

int32_t Drawn(uint64_t hash, uint32_t choice) { return static_cast<int32_t>(Mix(hash, choice) % (kVocab - 1)); }

// A "model" whose next token is a hash of everything before it, read back through the block tables: a wrong slot,
// position, chunk border or embedding row changes the answer.
class HashModel {
 public:
  absl::StatusOr<StepTokens> Forward(const StepBatch& batch) {
    while (steps >= steps_allowed) std::this_thread::yield();
    ++steps;
    tokens_max = std::max(tokens_max.load(), static_cast<int64_t>(batch.token_ids.size()));
    if (fail) return absl::InternalError("broken device");
    for (const BlockCopy& copy : batch.copies) {
      std::copy_n(cache_.begin() + copy.from * kBlockSize, kBlockSize, cache_.begin() + copy.to * kBlockSize);
    }
    std::vector<uint64_t> rows(batch.token_ids.size());
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<uint64_t>(batch.token_ids[i]);
    for (const EmbeddingRows& run : batch.embeddings) {
      for (int64_t r = 0; r < run.rows.rows; ++r) {
        rows[static_cast<size_t>(run.first_row + r)] = 1000 + static_cast<uint64_t>(run.rows.RowRange(r, 1).F32()[0]);
      }
    }
    StepTokens given;
    for (const StepSequence& sequence : batch.sequences) {
      auto slot = [&](int64_t position) -> uint64_t& {
        return cache_[static_cast<size_t>(sequence.blocks[position / kBlockSize] * kBlockSize + position % kBlockSize)];
      };
      for (int64_t r = 0; r < sequence.rows; ++r)
        slot(sequence.cached + r) = rows[static_cast<size_t>(sequence.first_row + r)];
      while (given.tokens.size() < batch.samples.size()) {
        const RowSample& sample = batch.samples[given.tokens.size()];
        if (sample.row >= sequence.first_row + sequence.rows) break;
        const int64_t position = sequence.cached + sample.row - sequence.first_row;
        uint64_t hash = 1;
        bool poison = false;
        for (int64_t p = 0; p <= position; ++p) {
          hash = Mix(hash, slot(p));
          poison |= slot(p) == kPoison;
        }
        given.tokens.push_back(poison                  ? runtime::kNotFinite
                               : sample.how.token >= 0 ? sample.how.token
                                                       : Drawn(hash, sample.how.choice));
        // ln of the probability of a token is that of its row, which tells where it came from.
        given.measured.push_back(
            {.total = uint64_t{1} << runtime::UnitBits(kVocab), .largest = 0, .logit = -static_cast<float>(position)});
        for (int32_t id = 0; id < runtime::kAlternativesMax; ++id) {
          given.alternatives.push_back({.id = id, .logit = -static_cast<float>(id)});
        }
      }
    }
    return given;
  }

  std::atomic<int64_t> steps = 0;
  std::atomic<int64_t> steps_allowed = 1'000'000;
  std::atomic<int64_t> tokens_max = 0;
  std::atomic<bool> fail = false;

 private:
  std::vector<uint64_t> cache_ = std::vector<uint64_t>(kBlocks * kBlockSize);
};

SequenceRequest Request(std::vector<int32_t> prompt, int64_t max_tokens) {
  SequenceRequest request;
  request.prompt_ids = std::move(prompt);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0;
  return request;
}

// What the model says to a request on its own, from the ids that are there already.
std::vector<int32_t> Expected(const SequenceRequest& request, uint32_t choice, const std::vector<int32_t>& continued) {
  std::vector<uint64_t> rows(request.prompt_ids.begin(), request.prompt_ids.end());
  rows.insert(rows.end(), continued.begin(), continued.end());
  for (const EmbeddingRun& run : request.runs) {
    const auto* data = reinterpret_cast<const float*>(run.data.data());
    for (int64_t r = 0; r < run.rows; ++r)
      rows[static_cast<size_t>(run.begin + r)] = 1000 + static_cast<uint64_t>(data[r * kHidden]);
  }
  std::vector<int32_t> answer;
  for (auto n = static_cast<int64_t>(continued.size()); n < request.max_tokens; ++n) {
    uint64_t hash = 1;
    for (uint64_t row : rows) hash = Mix(hash, row);
    answer.push_back(Drawn(hash, choice));
    rows.push_back(static_cast<uint64_t>(answer.back()));
    if (std::count(request.stop_ids.begin(), request.stop_ids.end(), answer.back())) break;
  }
  return answer;
}

std::vector<int32_t> Expected(const SequenceRequest& request) { return Expected(request, 0, request.continued_ids); }

// Reads a stream from the test's thread.
class Reader {
 public:
  Reader() : stream_(std::make_shared<TokenStream>(SystemClock(), [signal = signal_] { signal->Notify(); })) {}
  std::shared_ptr<TokenStream> stream() { return stream_; }

  AnswerEvent Next() {
    std::unique_lock lock(signal_->mutex);
    std::optional<AnswerEvent> event;
    signal_->ready.wait(lock, [&] { return (event = stream_->Take()).has_value(); });
    return *std::move(event);
  }
  std::vector<AnswerEvent> All() {
    std::vector<AnswerEvent> events;
    do events.push_back(Next());
    while (!events.back().last());
    return events;
  }
  std::vector<int32_t> Tokens() {
    std::vector<int32_t> tokens;
    last_ = All();
    for (const AnswerEvent& event : last_) {
      if (event.has_token) tokens.push_back(event.token);
    }
    return tokens;
  }
  const AnswerEvent& last() const { return last_.back(); }

 private:
  // Shared with the engine's thread, which may still be on its way out of a notification when the reader is done with
  // the last event.
  struct Signal {
    void Notify() {
      std::lock_guard lock(mutex);
      ready.notify_all();
    }
    std::mutex mutex;
    std::condition_variable ready;
  };

  std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  std::shared_ptr<TokenStream> stream_;
  std::vector<AnswerEvent> last_;
};

class EngineTest : public testing::Test {
 protected:
  static EngineOptions Options() {
    return {.limits = {.max_num_seqs = 8, .max_num_batched_tokens = 10, .block_size = kBlockSize},
            .waiting_max = 100,
            .vocab_size = kVocab,
            .hidden_size = kHidden};
  }

  KvBlocks Reserve(const SequenceRequest& request) {
    const auto prompt = static_cast<int64_t>(request.prompt_ids.size());
    return gated_.Reserve(admission::ChoiceBlocks(prompt, request.max_tokens, request.n, kBlockSize), request.n);
  }

  void Submit(const SequenceRequest& request, Reader& reader) {
    ASSERT_TRUE(CheckSequenceRequest(request, {.vocab_size = kVocab, .max_model_len = 1000}).ok());
    const absl::Status status = engine_->Submit(request, reader.stream(), Reserve(request));
    ASSERT_TRUE(status.ok()) << status;
  }

  void ExpectAllFree() {
    EXPECT_EQ(gate_.Snapshot().active.size(), 0u);
    EXPECT_EQ(gate_.Snapshot().used, admission::Resources{});
    EXPECT_EQ(ledger_.Snapshot()[memory::Component::kKvPool].used, 0);
    EXPECT_EQ(ledger_.Snapshot()[memory::Component::kKvPool].reserved, 0);
  }

  void Make(EngineOptions options = Options()) {
    engine_ = std::make_unique<Engine>(
        options, pool_, [this](const StepBatch& batch) { return model_.Forward(batch); }, SystemClock(), nullptr);
    engine_->Start();
  }

  HashModel model_;
  GatedPool gated_{{.blocks = kBlocks, .block_size = kBlockSize, .block_bytes = kBlockBytes}};
  admission::WorkerGate& gate_ = gated_.gate();
  memory::Ledger& ledger_ = gated_.ledger();
  KvPool& pool_ = gated_.pool();
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, OneRequest) {
  Make();
  Reader reader;
  const SequenceRequest request = Request({1, 2, 3}, 6);
  Submit(request, reader);
  EXPECT_EQ(reader.Tokens(), Expected(request));
  EXPECT_EQ(reader.last().finish, Finish::kLength);
  EXPECT_EQ(reader.last().index, 5);
  EXPECT_EQ(reader.last().usage.prompt_tokens, 3);
  EXPECT_EQ(reader.last().usage.completion_tokens, 6);
  ExpectAllFree();
}

TEST_F(EngineTest, StopIdEndsTheAnswerAndIsItsLastToken) {
  Make();
  SequenceRequest request = Request({1, 2, 3}, 6);
  request.stop_ids = {Expected(request)[2]};
  Reader reader;
  Submit(request, reader);
  EXPECT_EQ(reader.Tokens(), Expected(request));
  EXPECT_EQ(reader.last().finish, Finish::kStop);
  EXPECT_EQ(reader.last().usage.completion_tokens, 3);
}

TEST_F(EngineTest, LongPromptRunsInChunks) {
  Make();
  std::vector<int32_t> prompt;
  for (int32_t i = 0; i < 95; ++i) prompt.push_back(i % 40);
  const SequenceRequest request = Request(prompt, 5);
  Reader reader;
  Submit(request, reader);
  EXPECT_EQ(reader.Tokens(), Expected(request));
  EXPECT_EQ(model_.steps, 10 + 4);
  EXPECT_EQ(model_.tokens_max, 10);
}

TEST_F(EngineTest, EmbeddingsReplaceTokensAcrossChunks) {
  Make();
  SequenceRequest request = Request(std::vector<int32_t>(40, 7), 4);
  for (int64_t begin : {int64_t{3}, int64_t{20}}) {
    std::vector<float> rows;
    for (int i = 0; i < 13; ++i) rows.insert(rows.end(), {static_cast<float>(begin * 100 + i), 0.0f});
    request.runs.push_back({begin, 13, std::string(reinterpret_cast<char*>(rows.data()), rows.size() * sizeof(float))});
  }
  Reader reader;
  Submit(request, reader);
  EXPECT_EQ(reader.Tokens(), Expected(request));
  EXPECT_EQ(reader.last().usage.image_tokens, 26);
}

TEST_F(EngineTest, ContinuedIdsGoOnWhereTheyEnded) {
  Make();
  const SequenceRequest whole = Request({5, 6, 7, 8, 9}, 10);
  const std::vector<int32_t> answer = Expected(whole);
  SequenceRequest moved = whole;
  moved.continued_ids.assign(answer.begin(), answer.begin() + 4);
  Reader reader;
  Submit(moved, reader);
  const std::vector<AnswerEvent> events = reader.All();
  ASSERT_EQ(events.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(events[i].index, static_cast<int64_t>(i) + 4);
    EXPECT_EQ(events[i].token, answer[i + 4]);
  }
  EXPECT_EQ(events.back().usage.completion_tokens, 10);
}

// By choice.
std::map<int32_t, std::vector<int32_t>> TokensOf(const std::vector<AnswerEvent>& events) {
  std::map<int32_t, std::vector<int32_t>> tokens;
  for (const AnswerEvent& event : events) {
    if (event.has_token) tokens[event.choice].push_back(event.token);
  }
  return tokens;
}

// Prompts that end inside a block, at its end, and below one; each choice answers as if it were alone.
TEST_F(EngineTest, ChoicesShareTheirPromptAndAnswerAsAlone) {
  Make();
  for (const size_t length : {1, 3, 4, 5, 8, 23}) {
    SequenceRequest request = Request(std::vector<int32_t>(length, 7), 9);
    for (size_t i = 0; i < length; ++i) request.prompt_ids[i] = static_cast<int32_t>(i % 40);
    request.n = 5;
    Reader reader;
    Submit(request, reader);
    const std::vector<AnswerEvent> events = reader.All();
    const auto tokens = TokensOf(events);
    ASSERT_EQ(tokens.size(), 5u);
    for (uint32_t choice = 0; choice < 5; ++choice) {
      EXPECT_EQ(tokens.at(static_cast<int32_t>(choice)), Expected(request, choice, {})) << length << ", " << choice;
    }
    int ended = 0;
    for (const AnswerEvent& event : events) ended += event.finish == Finish::kLength ? 1 : 0;
    EXPECT_EQ(ended, 5);
    EXPECT_EQ(events.back().usage.prompt_tokens, static_cast<int64_t>(length));
    EXPECT_EQ(events.back().usage.completion_tokens, 5 * 9);
    ExpectAllFree();
  }
}

TEST_F(EngineTest, AChoiceThatEndsGivesItsPartBack) {
  SequenceRequest request = Request({1, 2, 3, 4, 5, 6}, 40);
  request.n = 3;
  // The first id that one choice has and the others have not, or later.
  request.stop_ids = {Expected(request, 1, {})[2]};
  const auto ends = [&](uint32_t choice) { return Expected(request, choice, {}).size(); };
  const size_t longest = std::max({ends(0), ends(1), ends(2)}), shortest = std::min({ends(0), ends(1), ends(2)});
  ASSERT_LT(shortest, longest);
  const int64_t whole = admission::ChoiceBlocks(6, 40, 3, kBlockSize);
  const int64_t part = admission::ChoiceBlocks(6, 40, 1, kBlockSize) - 6 / kBlockSize;
  EXPECT_EQ(whole, 6 / kBlockSize + 3 * part);
  model_.steps_allowed = 0;
  Make();
  Reader reader;
  Submit(request, reader);
  EXPECT_EQ(gate_.Snapshot().reserved.kv_blocks, whole);
  model_.steps_allowed = static_cast<int64_t>(shortest);
  std::vector<AnswerEvent> events;
  do events.push_back(reader.Next());
  while (events.back().finish == Finish::kNone);
  EXPECT_FALSE(events.back().last());
  // Given back before it is told.
  const admission::Resources reserved = gate_.Snapshot().reserved;
  EXPECT_LE(reserved.kv_blocks, whole - part);
  EXPECT_LE(reserved.slots, 2);
  model_.steps_allowed = 1'000'000;
  while (!events.back().last()) events.push_back(reader.Next());
  const auto tokens = TokensOf(events);
  for (uint32_t choice = 0; choice < 3; ++choice) {
    EXPECT_EQ(tokens.at(static_cast<int32_t>(choice)), Expected(request, choice, {}));
  }
  ExpectAllFree();
}

// What is over stays over, and its part is given back at once.
TEST_F(EngineTest, ChoicesThatMovedGoOnWhereTheyEnded) {
  Make();
  SequenceRequest request = Request({5, 6, 7, 8, 9}, 10);
  request.n = 4;
  const std::vector<int32_t> third = Expected(request, 2, {});
  request.continued = {{.choice = 0}, {.choice = 2, .ids = {third.begin(), third.begin() + 6}}};
  Reader reader;
  Submit(request, reader);
  const auto tokens = TokensOf(reader.All());
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(tokens.at(0), Expected(request, 0, {}));
  EXPECT_EQ(tokens.at(2), (std::vector<int32_t>{third.begin() + 6, third.end()}));
  ExpectAllFree();
}

TEST_F(EngineTest, LogprobsComeWithTheirTokensAcrossChunks) {
  Make();
  SequenceRequest request = Request(std::vector<int32_t>(33, 3), 4);
  const std::vector<float> rows(5 * kHidden, 1.0f);
  request.runs.push_back({12, 5, std::string(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(float))});
  request.logprobs = 0;
  request.prompt_logprobs = 2;
  request.n = 2;
  Reader reader;
  Submit(request, reader);
  std::vector<PromptLogprob> prompt;
  std::map<int32_t, int> answered;
  for (const AnswerEvent& event : reader.All()) {
    ASSERT_NE(event.logprobs, nullptr);
    if (!event.has_token) {
      EXPECT_TRUE(answered.empty()) << "a token came before the prompt";
      prompt.insert(prompt.end(), event.logprobs->prompt.begin(), event.logprobs->prompt.end());
      continue;
    }
    EXPECT_TRUE(event.logprobs->top.empty());
    EXPECT_NEAR(*event.logprobs->of_token, -(32.0f + static_cast<float>(answered[event.choice]++)), 1e-6);
  }
  EXPECT_EQ(answered, (std::map<int32_t, int>{{0, 4}, {1, 4}}));
  ASSERT_EQ(prompt.size(), 33u);
  for (size_t i = 0; i < prompt.size(); ++i) {
    const bool told = i > 0 && (i < 12 || i >= 17);
    ASSERT_EQ(prompt[i].logprob.has_value(), told) << i;
    ASSERT_EQ(prompt[i].top.size(), told ? 2u : 0u);
    if (!told) continue;
    EXPECT_NEAR(*prompt[i].logprob, -(static_cast<float>(i) - 1), 1e-6);
  }
}

TEST_F(EngineTest, CancelEndsEveryChoice) {
  model_.steps_allowed = 3;
  Make();
  SequenceRequest request = Request({1, 2}, 60);
  request.n = 3;
  Reader reader;
  Submit(request, reader);
  static_cast<void>(reader.Next());
  reader.stream()->Cancel();
  model_.steps_allowed = 1'000'000;
  const std::vector<AnswerEvent> rest = reader.All();
  int cancelled = 0;
  for (const AnswerEvent& event : rest) cancelled += event.finish == Finish::kCancelled ? 1 : 0;
  EXPECT_EQ(cancelled, 3);
  ExpectAllFree();
}

TEST_F(EngineTest, ManyTogetherAnswerAsAlone) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make();
    std::mt19937_64 random(seed);
    std::deque<Reader> readers;
    std::vector<SequenceRequest> requests;
    int64_t blocks = 0;
    while (true) {
      std::vector<int32_t> prompt(1 + random() % 30);
      for (auto& id : prompt) id = static_cast<int32_t>(random() % 40);
      requests.push_back(Request(prompt, 1 + static_cast<int64_t>(random() % 12)));
      blocks += BlocksFor(static_cast<int64_t>(prompt.size()) + requests.back().max_tokens, kBlockSize);
      if (blocks > kBlocks) break;
      Submit(requests.back(), readers.emplace_back());
    }
    for (size_t i = 0; i < readers.size(); ++i)
      EXPECT_EQ(readers[i].Tokens(), Expected(requests[i])) << "seed " << seed;
    ExpectAllFree();
  }
}

TEST_F(EngineTest, CancelFreesBlocksAndLegWithinOneStep) {
  Make();
  model_.steps_allowed = 3;
  Reader cancelled, other;
  const SequenceRequest request = Request({1, 2, 3}, 120);
  Submit(request, cancelled);
  EXPECT_EQ(cancelled.Next().token, Expected(request)[0]);
  cancelled.stream()->Cancel();
  model_.steps_allowed = 1'000'000;
  const std::vector<AnswerEvent> rest = cancelled.All();
  EXPECT_EQ(rest.back().finish, Finish::kCancelled);
  EXPECT_FALSE(rest.back().has_token);
  EXPECT_LE(model_.steps, 4);
  ExpectAllFree();
  const SequenceRequest next = Request({4, 5}, 8);
  Submit(next, other);
  EXPECT_EQ(other.Tokens(), Expected(next));
}

TEST_F(EngineTest, NotANumberEndsOnlyItsOwnSequence) {
  Make();
  Reader good, bad;
  const SequenceRequest request = Request({1, 2, 3}, 30);
  Submit(request, good);
  Submit(Request({1, kPoison, 3}, 30), bad);
  EXPECT_EQ(bad.All().back().error.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(good.Tokens(), Expected(request));
  ExpectAllFree();
}

TEST_F(EngineTest, FailedPassEndsItsSequencesAndTheEngineGoesOn) {
  Make();
  model_.fail = true;
  Reader failed;
  Submit(Request({1}, 3), failed);
  EXPECT_EQ(failed.All().back().error.code(), absl::StatusCode::kInternal);
  ExpectAllFree();
  model_.fail = false;
  Reader next;
  Submit(Request({1}, 3), next);
  EXPECT_EQ(next.Tokens(), Expected(Request({1}, 3)));
}

TEST_F(EngineTest, SlowReaderNeverStallsAStep) {
  Make();
  auto unread = std::make_shared<TokenStream>(SystemClock(), [] {});
  const SequenceRequest slow = Request({9, 9}, 60), fast = Request({1, 2}, 50);
  ASSERT_TRUE(engine_->Submit(slow, unread, Reserve(slow)).ok());
  Reader reader;
  Submit(fast, reader);
  EXPECT_EQ(reader.Tokens(), Expected(fast));
  EXPECT_TRUE(unread->UnreadSince().has_value());
}

TEST_F(EngineTest, QueueIsBoundedAndStopEndsEverything) {
  EngineOptions options = Options();
  options.waiting_max = 2;
  engine_ = std::make_unique<Engine>(
      options, pool_, [this](const StepBatch& batch) { return model_.Forward(batch); }, SystemClock(), nullptr);
  Reader a, b, c;
  Submit(Request({1}, 3), a);
  Submit(Request({2}, 3), b);
  const SequenceRequest third = Request({3}, 3);
  EXPECT_EQ(engine_->Submit(third, c.stream(), Reserve(third)).code(), absl::StatusCode::kResourceExhausted);
  engine_->Stop();
  EXPECT_EQ(a.All().back().error.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(b.All().back().error.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(engine_->Submit(third, c.stream(), Reserve(third)).code(), absl::StatusCode::kUnavailable);
  ExpectAllFree();
}

TEST_F(EngineTest, ClientsComeAndGoAtRandom) {
  EngineOptions options = Options();
  options.limits.max_num_seqs = 3;
  Make(options);
  const uint64_t seed = 11;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    std::deque<Reader> readers;
    std::vector<SequenceRequest> requests;
    for (int i = 0; i < 5; ++i) {
      requests.push_back(Request({static_cast<int32_t>(random() % 40), 3}, 1 + static_cast<int64_t>(random() % 30)));
      Submit(requests.back(), readers.emplace_back());
      if (random() % 3 == 0) readers[random() % readers.size()].stream()->Cancel();
    }
    for (size_t i = 0; i < readers.size(); ++i) {
      const std::vector<int32_t> got = readers[i].Tokens();
      const std::vector<int32_t> expected = Expected(requests[i]);
      if (readers[i].last().finish == Finish::kCancelled) {
        EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin())) << "seed " << seed;
      } else {
        EXPECT_EQ(got, expected) << "seed " << seed;
      }
    }
    ExpectAllFree();
  }
}

struct BadRequest {
  const char* name;
  std::function<void(SequenceRequest&)> spoil;
};

TEST(CheckSequenceRequest, RefusesEverythingOutOfBounds) {
  const ModelLimits limits{.vocab_size = kVocab, .max_model_len = 30};
  SequenceRequest good = Request(std::vector<int32_t>(20, 1), 10);
  good.runs = {{2, 3, {}}, {5, 4, {}}};
  good.stop_ids = {49};
  ASSERT_TRUE(CheckSequenceRequest(good, limits).ok()) << CheckSequenceRequest(good, limits);
  const BadRequest bad[] = {
      {"no prompt", [](auto& r) { r.prompt_ids.clear(), r.runs.clear(); }},
      {"id above", [](auto& r) { r.prompt_ids[4] = kVocab; }},
      {"id below", [](auto& r) { r.prompt_ids[4] = -1; }},
      {"no choice", [](auto& r) { r.n = 0; }},
      {"too many choices", [](auto& r) { r.n = 17; }},
      {"continued ids of one choice where there are two", [](auto& r) { r.n = 2, r.continued_ids = {1}; }},
      {"continued choices where there is one", [](auto& r) { r.continued = {{.choice = 0}}; }},
      {"a choice that there is not", [](auto& r) { r.n = 2, r.continued = {{.choice = 2}}; }},
      {"a choice twice",
       [](auto& r) {
         r.n = 2, r.continued = {{.choice = 1}, {.choice = 1}};
       }},
      {"min_tokens", [](auto& r) { r.rules.min_tokens = r.max_tokens + 1; }},
      {"min_tokens below 0", [](auto& r) { r.rules.min_tokens = -1; }},
      {"bias outside",
       [](auto& r) {
         r.rules.bias = {{static_cast<int32_t>(kVocab), 1.0f}};
       }},
      {"logprobs", [](auto& r) { r.logprobs = 21; }},
      {"prompt logprobs", [](auto& r) { r.prompt_logprobs = -2; }},
      {"min_p", [](auto& r) { r.sampling.min_p = 1.5f; }},
      {"continued id", [](auto& r) { r.continued_ids = {kVocab}; }},
      {"stop id", [](auto& r) { r.stop_ids = {-5}; }},
      {"many stop ids", [](auto& r) { r.stop_ids.assign(model::kStopIdsMax + 1, 1); }},
      {"no max_tokens", [](auto& r) { r.max_tokens = 0; }},
      {"model len + 1", [](auto& r) { r.max_tokens = 11; }},
      {"max_tokens overflow", [](auto& r) { r.max_tokens = std::numeric_limits<int64_t>::max(); }},
      {"nothing left", [](auto& r) { r.continued_ids.assign(10, 1); }},
      {"span before", [](auto& r) { r.runs[0].begin = -1; }},
      {"span after", [](auto& r) { r.runs[1].rows = 16; }},
      {"span far", [](auto& r) { r.runs[1].begin = std::numeric_limits<int64_t>::max(); }},
      {"span long", [](auto& r) { r.runs[1].rows = std::numeric_limits<int64_t>::max(); }},
      {"span empty", [](auto& r) { r.runs[0].rows = 0; }},
      {"overlap", [](auto& r) { r.runs[0].rows = 4; }},
      {"no grid", [](auto& r) { r.runs[1].columns = 3; }},
      {"columns below 0", [](auto& r) { r.runs[1].columns = -2; }},
      {"no grid in a margin", [](auto& r) { r.runs[1].columns = r.runs[1].rows, r.runs[1].margin = 1; }},
      {"all margin", [](auto& r) { r.runs[1].columns = 1, r.runs[1].margin = r.runs[1].rows; }},
      {"temperature", [](auto& r) { r.sampling.temperature = std::nanf(""); }},
      {"top_p", [](auto& r) { r.sampling.top_p = 0; }},
      {"top_k", [](auto& r) { r.sampling.top_k = -1; }},
      {"penalty", [](auto& r) { r.sampling.repetition_penalty = 0; }},
  };
  for (const BadRequest& entry : bad) {
    SequenceRequest request = good;
    entry.spoil(request);
    EXPECT_EQ(CheckSequenceRequest(request, limits).code(), absl::StatusCode::kInvalidArgument) << entry.name;
  }
}

}  // namespace
}  // namespace headroom::llm_worker
