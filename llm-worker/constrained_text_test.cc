#include "llm-worker/constrained_text.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "common/testing/paths.h"
#include "llm-worker/engine.h"
#include "llm-worker/testing/gated_pool.h"
#include "model/text/tokenizer.h"

namespace headroom::llm_worker {
namespace {

constexpr int64_t kWords = 2;

// Ids count down to 0, then the end, 60, may come. A gate holds masks up.
class Countdown final : public model::TokenMatcher {
 public:
  explicit Countdown(int32_t from, std::shared_ptr<std::atomic<bool>> held = nullptr)
      : next_(from), held_(std::move(held)) {}
  absl::Status Fill(std::span<uint32_t> mask) override {
    while (held_ != nullptr && *held_) std::this_thread::yield();
    std::ranges::fill(mask, 0);
    const int32_t id = next_ < 0 ? 60 : next_;
    mask[static_cast<size_t>(id / 32)] = uint32_t{1} << (id % 32);
    return absl::OkStatus();
  }
  absl::Status Accept(int32_t token) override {
    if (token != next_) return absl::InvalidArgumentError("breaks the grammar");
    --next_;
    return absl::OkStatus();
  }
  bool only_end_is_left() const override { return next_ < 0; }

 private:
  int32_t next_;
  const std::shared_ptr<std::atomic<bool>> held_;
};

std::shared_ptr<ConstrainedText> Text(std::vector<int32_t> after_ids, std::unique_ptr<Countdown> matcher) {
  const int32_t end = 60;
  return std::make_shared<ConstrainedText>(nullptr, std::move(matcher), std::move(after_ids), std::span(&end, 1),
                                           std::vector<uint32_t>(kWords, ~uint32_t{0}));
}

std::vector<int32_t> Allowed(const ConstrainedText& text) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < 64; ++id) {
    if ((text.allowed()[static_cast<size_t>(id / 32)] >> (id % 32) & 1) != 0) ids.push_back(id);
  }
  return ids;
}

void Step(ConstrainedText& text, int32_t id) {
  text.Add(id);
  EXPECT_FALSE(text.ready());
  text.Work();
  EXPECT_TRUE(text.ready());
}

TEST(ConstrainedText, AllowsWhatTheGrammarAllowsAndKnowsItsEnd) {
  const auto text = Text({}, std::make_unique<Countdown>(2));
  ASSERT_TRUE(text->Begin({}).ok());
  for (const int32_t id : {2, 1, 0}) {
    EXPECT_EQ(Allowed(*text), std::vector<int32_t>{id});
    EXPECT_FALSE(text->whole());
    Step(*text, id);
  }
  EXPECT_TRUE(text->whole());
  EXPECT_EQ(Allowed(*text), std::vector<int32_t>{60});
}

TEST(ConstrainedText, BeginsBehindIdsThatAreThere) {
  const auto text = Text({}, std::make_unique<Countdown>(3));
  ASSERT_TRUE(text->Begin(std::vector<int32_t>{3, 2}).ok());
  EXPECT_EQ(Allowed(*text), std::vector<int32_t>{1});
  EXPECT_EQ(Text({}, std::make_unique<Countdown>(3))->Begin(std::vector<int32_t>{2}).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ConstrainedText, HoldsBehindTheEndOfTheThoughts) {
  const auto text = Text({7, 7, 8}, std::make_unique<Countdown>(1));
  ASSERT_TRUE(text->Begin({}).ok());
  for (const int32_t id : {1, 7, 8, 7, 7, 7}) {
    Step(*text, id);
    ASSERT_TRUE(text->status().ok()) << text->status();
    EXPECT_EQ(Allowed(*text).size(), 63u) << "all but the end";
  }
  Step(*text, 8);  // 7 7 7 8 ends with 7 7 8
  EXPECT_EQ(Allowed(*text), std::vector<int32_t>{1});
  Step(*text, 7);
  EXPECT_FALSE(text->status().ok());
  // The same, of a request that moved.
  const auto moved = Text({7, 7, 8}, std::make_unique<Countdown>(1));
  ASSERT_TRUE(moved->Begin(std::vector<int32_t>{1, 7, 8, 7, 7, 7, 8}).ok());
  EXPECT_EQ(Allowed(*moved), std::vector<int32_t>{1});
}

TEST(MaskThreads, WaitsForAllAndNoLongerThanAsked) {
  const auto held = std::make_shared<std::atomic<bool>>(false);
  MaskThreads threads(2, 4);
  threads.WaitIdle(std::chrono::hours(1));
  const auto slow = Text({}, std::make_unique<Countdown>(3, held)), quick = Text({}, std::make_unique<Countdown>(3));
  ASSERT_TRUE(slow->Begin({}).ok());
  ASSERT_TRUE(quick->Begin({}).ok());
  *held = true;
  threads.Add(slow, 3);
  threads.Add(quick, 3);
  while (!quick->ready()) std::this_thread::yield();
  threads.WaitIdle(std::chrono::milliseconds(1));
  EXPECT_FALSE(slow->ready());
  EXPECT_EQ(Allowed(*quick), std::vector<int32_t>{2});
  *held = false;
  threads.WaitIdle(std::chrono::hours(1));
  EXPECT_TRUE(slow->ready());
  EXPECT_EQ(Allowed(*slow), std::vector<int32_t>{2});
}

// The engine with a model that says the lowest id that is allowed, 3 where all are.
class ConstrainedEngineTest : public testing::Test {
 protected:
  static constexpr int64_t kVocab = 64, kBlockSize = 4;

  struct Told {
    std::shared_ptr<TokenStream> stream = std::make_shared<TokenStream>(SystemClock(), [] {});
    std::vector<int32_t> tokens;
    AnswerEvent last;
    void Read() {
      while (!last.last()) {
        std::optional<AnswerEvent> event = stream->Take();
        if (!event.has_value()) {
          std::this_thread::yield();
          continue;
        }
        if (event->has_token) tokens.push_back(event->token);
        last = *std::move(event);
      }
    }
  };

  void SetUp() override {
    engine_ = std::make_unique<Engine>(
        EngineOptions{.limits = {.max_num_seqs = 4, .max_num_batched_tokens = 16, .block_size = kBlockSize},
                      .waiting_max = 100,
                      .vocab_size = kVocab},
        gated_.pool(), [](const StepBatch& batch) { return Forward(batch); }, SystemClock(), nullptr);
    engine_->Start();
  }

  static absl::StatusOr<StepTokens> Forward(const StepBatch& batch) {
    StepTokens given;
    for (const RowSample& sample : batch.samples) {
      int32_t id = sample.allowed.empty() ? 3 : 0;
      while (!sample.allowed.empty() && id < kVocab &&
             (sample.allowed[static_cast<size_t>(id / 32)] >> (id % 32) & 1) == 0) {
        ++id;
      }
      given.tokens.push_back(id < kVocab ? id : runtime::kNoneAllowed);
    }
    return given;
  }

  static SequenceRequest Request() {
    SequenceRequest request;
    request.prompt_ids = {1, 2};
    request.stop_ids = {60};
    request.max_tokens = 20;
    return request;
  }

  void Submit(Told& told, const std::shared_ptr<ConstrainedText>& text, std::vector<int32_t> continued = {},
              int64_t min_tokens = 0) {
    SequenceRequest request = Request();
    request.continued_ids = std::move(continued);
    request.rules.min_tokens = min_tokens;
    if (text != nullptr) {
      ASSERT_TRUE(text->Begin(request.continued_ids).ok());
      request.texts = {text};
    }
    ASSERT_TRUE(engine_->Submit(std::move(request), told.stream, gated_.Reserve(6)).ok());
  }

  GatedPool gated_{{.blocks = 64, .block_size = kBlockSize, .block_bytes = 128}};
  std::unique_ptr<Engine> engine_;
};

TEST_F(ConstrainedEngineTest, AnswerEndsWithItsText) {
  for (const int64_t min_tokens : {0, 10}) {
    Told whole, moved, over;
    Submit(whole, Text({}, std::make_unique<Countdown>(5)), {}, min_tokens);
    Submit(moved, Text({}, std::make_unique<Countdown>(5)), {5, 4, 3}, min_tokens);
    Submit(over, Text({}, std::make_unique<Countdown>(1)), {1, 0}, min_tokens);
    for (Told* told : {&whole, &moved, &over}) {
      told->Read();
      EXPECT_TRUE(told->last.error.ok()) << told->last.error;
      EXPECT_EQ(told->last.finish, Finish::kStop);
    }
    EXPECT_EQ(whole.tokens, (std::vector<int32_t>{5, 4, 3, 2, 1, 0}));
    EXPECT_EQ(whole.last.usage.completion_tokens, 6);
    EXPECT_EQ(moved.tokens, (std::vector<int32_t>{2, 1, 0}));
    EXPECT_EQ(moved.last.usage.completion_tokens, 6);
    EXPECT_TRUE(over.tokens.empty());
  }
}

TEST_F(ConstrainedEngineTest, AGrammarThatIsSlowHoldsUpNobodyElse) {
  const auto held = std::make_shared<std::atomic<bool>>(false);
  Told slow, other, gone;
  const auto late = Text({}, std::make_unique<Countdown>(5, held));
  const auto cancelled = Text({}, std::make_unique<Countdown>(5, held));
  ASSERT_TRUE(late->Begin({}).ok());
  SequenceRequest request = Request();
  request.texts = {late};
  *held = true;
  ASSERT_TRUE(engine_->Submit(request, slow.stream, gated_.Reserve(6)).ok());
  Submit(other, nullptr);
  other.Read();
  EXPECT_EQ(other.tokens.size(), 20u);
  *held = false;
  slow.Read();
  EXPECT_EQ(slow.tokens, (std::vector<int32_t>{5, 4, 3, 2, 1, 0}));
  // Cancelled while its mask is worked out: its blocks come back before that ends.
  ASSERT_TRUE(cancelled->Begin({}).ok());
  request.texts = {cancelled};
  *held = true;
  ASSERT_TRUE(engine_->Submit(request, gone.stream, gated_.Reserve(6)).ok());
  while (cancelled->ready()) std::this_thread::yield();
  gone.stream->Cancel();
  gone.Read();
  EXPECT_EQ(gone.last.finish, Finish::kCancelled);
  EXPECT_EQ(gated_.gate().Snapshot().active.size(), 0u);
  *held = false;
}

class GrammarStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!model::TokenGrammarCompiler::IsAvailable()) GTEST_SKIP() << "built without xgrammar";
    auto tokenizer = model::Tokenizer::FromDirectory(SourceDir() + "/models/demo");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *std::move(tokenizer);
  }
  std::unique_ptr<GrammarStore> Store(int64_t bytes_max) {
    auto store = std::make_unique<GrammarStore>(bytes_max);
    EXPECT_TRUE(store->Open(*tokenizer_, tokenizer_->vocab_size(), {}).ok());
    return store;
  }
  std::unique_ptr<model::Tokenizer> tokenizer_;
};

TEST_F(GrammarStoreTest, OneTextIsCompiledOnceByHoweverMany) {
  const auto store = Store(int64_t{1} << 30);
  std::vector<std::shared_ptr<HeldGrammar>> got(8);
  std::vector<std::thread> threads;
  for (auto& one : got) threads.emplace_back([&] { one = *store->Get(R"({"type": "integer"})"); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& one : got) EXPECT_EQ(one, got[0]);
  EXPECT_EQ(store->Stat().compiled, 1);
  EXPECT_TRUE(store->Get("").ok());
  EXPECT_EQ(store->Stat().grammars, 2);
  EXPECT_EQ(store->Get(R"({"type": "no type"})").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store->Stat().grammars, 2);
}

TEST_F(GrammarStoreTest, UnusedOnesGoAndThoseInUseLeaveNoRoom) {
  const auto schema = [](int i) { return R"({"const": )" + std::to_string(i) + "}"; };
  auto measure = Store(int64_t{1} << 30);
  ASSERT_TRUE(measure->Get(schema(0)).ok());
  const int64_t bytes_max = 5 * measure->Stat().bytes / 2;
  const auto store = Store(bytes_max);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(store->Get(schema(i)).ok()) << i;
    EXPECT_LE(store->Stat().bytes, bytes_max);
  }
  EXPECT_EQ(store->Stat().compiled, 20);
  ASSERT_TRUE(store->Get(schema(19)).ok());
  EXPECT_EQ(store->Stat().compiled, 20) << "the last one is still there";
  auto one = store->Get(schema(30)), two = store->Get(schema(31));
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(store->Get(schema(32)).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_LE(store->Stat().bytes, bytes_max);
  one->reset();
  EXPECT_TRUE(store->Get(schema(33)).ok());
}

TEST_F(GrammarStoreTest, WhatGrowsBeyondTheLimitEnds) {
  const std::string schema =
      R"({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}})";
  auto measure = Store(int64_t{1} << 30);
  ASSERT_TRUE(measure->Get(schema).ok());
  const auto store = Store(measure->Stat().bytes + 64);
  const auto grammar = store->Get(schema);
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  ASSERT_TRUE((*grammar)->Recount().ok());
  const auto ids = tokenizer_->Encode(R"({"a":["x","y", "z"], "b": {"c": 1.5e3}})", model::AddedTokens::kNone);
  ASSERT_TRUE(ids.ok());
  const int32_t end = 489;
  auto matcher = store->Match(**grammar, std::span(&end, 1));
  ASSERT_TRUE(matcher.ok());
  std::vector<uint32_t> mask(static_cast<size_t>((tokenizer_->vocab_size() + 31) / 32));
  for (const int32_t id : *ids) {
    ASSERT_TRUE((*matcher)->Fill(mask).ok());
    ASSERT_TRUE((*matcher)->Accept(id).ok());
  }
  EXPECT_EQ((*grammar)->Recount().code(), absl::StatusCode::kResourceExhausted);
}

TEST(GrammarStore, WithoutATokenizerThereIsNone) {
  GrammarStore store(int64_t{1} << 30);
  EXPECT_EQ(store.Get("{}").status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace headroom::llm_worker
