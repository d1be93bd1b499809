#include "llm-worker/decoder.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "common/testing/allocation_guard.h"
#include "common/testing/paths.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "llm-worker/kv/kv_pool.h"
#include "llm-worker/testing/gated_pool.h"
#include "memory/ledger.h"
#include "runtime/testing/test_device.h"

namespace headroom::llm_worker {
namespace {

constexpr int64_t kStepTokens = 96;
constexpr int64_t kModelLen = 256;

struct TestModel {
  model::ModelSpec config;
  std::unique_ptr<runtime::Device> device;
  memory::Plan plan;
  std::unique_ptr<memory::Ledger> ledger;
  std::unique_ptr<memory::Arena> arena;
  std::unique_ptr<Decoder> decoder;
};

absl::StatusOr<TestModel> Load(const std::string& name, DType compute, int64_t sequences = 8, bool graphs = true) {
  const std::string directory = SourceDir() + "/tests/golden/" + name;
  TestModel m;
  HEADROOM_ASSIGN_OR_RETURN(m.config, model::LoadServedModel(directory));
  HEADROOM_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::Checkpoint::Open(directory));
  HEADROOM_ASSIGN_OR_RETURN(m.device, runtime::CreateTestDevice({}));
  memory::PlanRequest request;
  request.device.memory_bytes = 96 << 20;
  request.compute = compute;
  request.roles = {.vision = false, .llm = true};
  request.knobs.max_num_seqs = sequences;
  request.knobs.decode_graphs = graphs;
  request.knobs.max_model_len = kModelLen;
  request.knobs.max_num_batched_tokens = kStepTokens;
  request.knobs.block_size = 8;
  AddDecoderNeeds(m.device->sizes(), m.config, compute, request.kernels);
  HEADROOM_ASSIGN_OR_RETURN(m.plan, memory::MakePlan(m.config, request));
  m.ledger = std::make_unique<memory::Ledger>(m.plan.device_bytes);
  m.plan.Register(*m.ledger);
  HEADROOM_ASSIGN_OR_RETURN(m.arena, memory::Arena::Create(m.plan.arena_bytes, m.device->memory(), *m.ledger));
  HEADROOM_ASSIGN_OR_RETURN(m.decoder, Decoder::Create(*m.device, m.config, m.plan, *m.arena));
  HEADROOM_RETURN_IF_ERROR(m.decoder->Load(checkpoint));
  return m;
}

// A sequence with everything that the model may look at decided beforehand: ids, and embeddings for a part of them.
struct Script {
  std::vector<int32_t> ids;
  int64_t embedding_begin = 0, embedding_rows = 0;
  std::vector<float> embeddings;  // [embedding_rows, hidden]
  int64_t hidden = 0;

  // Part of the embeddings in [begin, end) as rows of a step where position `begin` is row first_row.
  void AddEmbeddings(int64_t begin, int64_t end, int64_t first_row, StepBatch& batch) const {
    const int64_t from = std::max(begin, embedding_begin), to = std::min(end, embedding_begin + embedding_rows);
    if (from >= to) return;
    const float* const rows = embeddings.data() + (from - embedding_begin) * hidden;
    batch.embeddings.push_back({first_row + from - begin, runtime::HostMatrix::F32(rows, to - from, hidden)});
  }
};

Script RandomScript(std::mt19937& random, const model::DecoderSpec& config, int64_t tokens, bool with_embeddings) {
  Script script{.ids = {}, .embeddings = {}, .hidden = config.hidden_size};
  for (int64_t i = 0; i < tokens; ++i) script.ids.push_back(static_cast<int32_t>(random() % config.vocab_size));
  if (with_embeddings && tokens > 8) {
    script.embedding_begin = 2;
    script.embedding_rows = tokens / 2;
    std::normal_distribution<float> normal;
    script.embeddings.resize(static_cast<size_t>(script.embedding_rows * script.hidden));
    for (float& x : script.embeddings) x = normal(random);
  }
  return script;
}

// The blocks of one sequence, taken from a pool as they are needed.
std::vector<int32_t>& TakeBlocks(BlockPool& pool, const Decoder& decoder, int64_t tokens,
                                 std::vector<int32_t>& blocks) {
  while (static_cast<int64_t>(blocks.size()) < BlocksFor(tokens, decoder.block_size())) {
    blocks.push_back(pool.Take().value());
  }
  return blocks;
}

using Logits = std::vector<std::vector<float>>;  // by position

// Computes the batch; one vector for each of the rows.
absl::StatusOr<Logits> Compute(Decoder& decoder, const StepBatch& batch, const std::vector<int32_t>& rows) {
  HEADROOM_RETURN_IF_ERROR(decoder.Forward(batch).status());
  HEADROOM_ASSIGN_OR_RETURN(const std::vector<float> all, decoder.Logits(rows));
  Logits logits;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto begin = all.begin() + static_cast<int64_t>(i) * decoder.vocab_size();
    logits.emplace_back(begin, begin + decoder.vocab_size());
  }
  return logits;
}

// The whole script token by token.
Logits Alone(Decoder& decoder, const Script& script) {
  BlockPool pool(static_cast<int32_t>(decoder.kv_blocks()));
  std::vector<int32_t> blocks;
  TakeBlocks(pool, decoder, static_cast<int64_t>(script.ids.size()), blocks);
  Logits result(script.ids.size());
  for (int64_t p = 0; p < static_cast<int64_t>(script.ids.size()); ++p) {
    StepBatch batch{.token_ids = {script.ids[p]},
                    .sequences = {{.first_row = 0, .rows = 1, .cached = p, .blocks = blocks}}};
    script.AddEmbeddings(p, p + 1, 0, batch);
    const auto logits = Compute(decoder, batch, {0});
    EXPECT_TRUE(logits.ok()) << logits.status();
    if (logits.ok()) result[p] = logits->front();
  }
  return result;
}

// All scripts at once: every step takes a random part of each, so that long chunks and single tokens meet.
std::vector<Logits> Together(Decoder& decoder, const std::vector<Script>& scripts, std::mt19937& random) {
  BlockPool pool(static_cast<int32_t>(decoder.kv_blocks()));
  std::vector<std::vector<int32_t>> tables(scripts.size());
  std::vector<int64_t> done(scripts.size(), 0);
  std::vector<Logits> results;
  for (const Script& script : scripts) results.emplace_back(script.ids.size());
  for (bool more = true; more;) {
    more = false;
    StepBatch batch;
    std::vector<int32_t> wanted;
    std::vector<std::pair<size_t, int64_t>> kept;  // script and position of each wanted row
    for (size_t s = 0; s < scripts.size(); ++s) {
      const int64_t left = static_cast<int64_t>(scripts[s].ids.size()) - done[s];
      const int64_t room = decoder.max_tokens() - static_cast<int64_t>(batch.token_ids.size());
      const int64_t wish = random() % 3 == 0 ? 1 : static_cast<int64_t>(random() % 40);
      const int64_t rows = std::min({left, room, wish});
      more = more || left > rows;
      if (rows < 1) continue;
      // Blocks are taken as they are needed, so those of different sequences lie in each other's gaps.
      TakeBlocks(pool, decoder, done[s] + rows, tables[s]);
      const int64_t first_row = static_cast<int64_t>(batch.token_ids.size());
      const auto ids = scripts[s].ids.begin() + done[s];
      batch.token_ids.insert(batch.token_ids.end(), ids, ids + rows);
      batch.sequences.push_back({.first_row = first_row, .rows = rows, .cached = done[s], .blocks = tables[s]});
      scripts[s].AddEmbeddings(done[s], done[s] + rows, first_row, batch);
      wanted.push_back(static_cast<int32_t>(first_row + rows - 1));
      kept.emplace_back(s, done[s] + rows - 1);
      done[s] += rows;
    }
    if (batch.token_ids.empty()) continue;
    const auto logits = Compute(decoder, batch, wanted);
    EXPECT_TRUE(logits.ok()) << logits.status();
    if (!logits.ok()) return results;
    for (size_t i = 0; i < kept.size(); ++i) results[kept[i].first][kept[i].second] = (*logits)[i];
  }
  return results;
}

double RelativeError(const std::vector<float>& got, const std::vector<float>& wanted) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference += (double{got[i]} - wanted[i]) * (double{got[i]} - wanted[i]);
    norm += double{wanted[i]} * wanted[i];
  }
  return std::sqrt(difference / norm);
}

class MixedBatchTest : public testing::TestWithParam<const char*> {};

TEST_P(MixedBatchTest, ASequenceGetsTheSameNumbersAloneAndInCompany) {
  absl::StatusOr<TestModel> m = Load(GetParam(), DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::vector<Script> scripts;
  for (const int64_t tokens : {1, 7, 8, 9, 40, 130}) {
    scripts.push_back(RandomScript(random, m->config.llm, tokens, m->config.vision.has_value()));
  }
  ASSERT_TRUE(AllocationGuardWorks());
  const int64_t guarded = GuardedAllocations();
  const std::vector<Logits> together = Together(*m->decoder, scripts, random);
  EXPECT_GT(GuardedAllocations(), guarded) << "no thread is marked";
  for (size_t s = 0; s < scripts.size(); ++s) {
    const Logits alone = Alone(*m->decoder, scripts[s]);
    int compared = 0;
    for (size_t p = 0; p < alone.size(); ++p) {
      if (together[s][p].empty()) continue;  // not the last of its chunk
      ++compared;
      EXPECT_LT(RelativeError(together[s][p], alone[p]), 1e-4) << "sequence " << s << ", position " << p;
    }
    EXPECT_GT(compared, 0);
    EXPECT_FALSE(together[s].back().empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MixedBatchTest, testing::Values("minicpmv", "qwen2", "llama"),
                         [](const auto& model) { return std::string(model.param); });

TEST(DecoderTest, Bf16StaysCloseToFp32) {
  absl::StatusOr<TestModel> fp32 = Load("qwen2", DType::kF32), bf16 = Load("qwen2", DType::kBF16);
  ASSERT_TRUE(fp32.ok() && bf16.ok()) << fp32.status() << bf16.status();
  EXPECT_LT(bf16->plan.Bytes(memory::Component::kLlmWeights), fp32->plan.Bytes(memory::Component::kLlmWeights));
  std::mt19937 random(5);
  const Script script = RandomScript(random, fp32->config.llm, 30, false);
  const Logits a = Alone(*fp32->decoder, script), b = Alone(*bf16->decoder, script);
  for (size_t p = 0; p < a.size(); ++p) EXPECT_LT(RelativeError(b[p], a[p]), 0.05) << p;
}

TEST(DecoderTest, LogitsOfOtherRowsOfTheStep) {
  absl::StatusOr<TestModel> m = Load("llama", DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  Decoder& decoder = *m->decoder;
  std::mt19937 random(6);
  const Script script = RandomScript(random, m->config.llm, 20, false);
  const Logits alone = Alone(decoder, script);
  BlockPool pool(4);
  std::vector<int32_t> blocks;
  TakeBlocks(pool, decoder, 20, blocks);
  const StepBatch batch{.token_ids = script.ids,
                        .sequences = {{.first_row = 0, .rows = 20, .cached = 0, .blocks = blocks}}};
  const std::vector<int32_t> rows = {3, 4, 5, 19, 0};
  const auto logits = Compute(decoder, batch, rows);
  ASSERT_TRUE(logits.ok()) << logits.status();
  ASSERT_EQ(logits->size(), 5u);
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_LT(RelativeError((*logits)[i], alone[rows[i]]), 1e-4) << rows[i];
  EXPECT_FALSE(decoder.Logits(std::vector<int32_t>{20}).ok());
  EXPECT_FALSE(decoder.Logits(std::vector<int32_t>(9, 0)).ok());
}

// The token that Forward gives is the one that the logits of its row say, and a penalty on it makes way for another.
TEST(DecoderTest, SamplesFromTheLogitsOfItsRows) {
  absl::StatusOr<TestModel> m = Load("qwen2", DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  Decoder& decoder = *m->decoder;
  std::mt19937 random(12);
  const Script script = RandomScript(random, m->config.llm, 20, false);
  const std::vector<int32_t> blocks = {0, 1, 2};
  StepBatch batch{.token_ids = script.ids,
                  .sequences = {{.first_row = 0, .rows = 20, .cached = 0, .blocks = blocks}},
                  .samples = {{.row = 7, .how = {.sampling = {.temperature = 0}}},
                              {.row = 19, .how = {.sampling = {.temperature = 0}}}}};
  auto tokens = decoder.Forward(batch);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  const auto logits = Compute(decoder, batch, {7, 19});
  ASSERT_TRUE(logits.ok()) << logits.status();
  ASSERT_EQ(tokens->tokens.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    const auto& row = (*logits)[i];
    EXPECT_EQ(tokens->tokens[i], std::max_element(row.begin(), row.end()) - row.begin());
  }
  const int32_t first = tokens->tokens.front();
  std::vector<uint32_t> seen(static_cast<size_t>(runtime::SeenWords(decoder.vocab_size())), 0);
  seen[static_cast<size_t>(first / 32)] |= uint32_t{1} << (first % 32);
  batch.samples[0].how.sampling.repetition_penalty = 100;
  batch.samples[0].seen = seen;
  const int32_t second = tokens->tokens.back();
  tokens = decoder.Forward(batch);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_NE(tokens->tokens.front(), first);
  EXPECT_EQ(tokens->tokens.back(), second);
}

std::vector<uint32_t> Bits(const Decoder& decoder, std::initializer_list<int32_t> ids) {
  std::vector<uint32_t> bits(static_cast<size_t>(runtime::SeenWords(decoder.vocab_size())), 0);
  for (const int32_t id : ids) bits[static_cast<size_t>(id / 32)] |= uint32_t{1} << (id % 32);
  return bits;
}

// Changes, allowed ids and the vocabulary reach the rows that they are of.
TEST(DecoderTest, RulesOfOneRowDoNotReachAnother) {
  absl::StatusOr<TestModel> m = Load("qwen2", DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  Decoder& decoder = *m->decoder;
  std::mt19937 random(12);
  const Script script = RandomScript(random, m->config.llm, 20, false);
  const std::vector<int32_t> blocks = {0, 1, 2};
  const RowSample plain = {.row = 19, .how = {.sampling = {.temperature = 0}}};
  StepBatch batch{.token_ids = script.ids,
                  .sequences = {{.first_row = 0, .rows = 20, .cached = 0, .blocks = blocks}},
                  .samples = {plain, plain, plain, plain}};
  const std::vector<runtime::LogitChange> to_five = {{.id = 5, .delta = 1000}};
  const std::vector<uint32_t> only_seven = Bits(decoder, {7}), only_nine = Bits(decoder, {9});
  batch.samples[1].changes = to_five;
  batch.samples[2].allowed = only_seven;
  auto tokens = decoder.Forward(batch);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(tokens->tokens[0], tokens->tokens[3]);
  EXPECT_EQ(tokens->tokens[1], 5);
  EXPECT_EQ(tokens->tokens[2], 7);
  EXPECT_TRUE(tokens->measured.empty());
  ASSERT_TRUE(decoder.SetVocabulary(only_nine).ok());
  tokens = decoder.Forward(batch);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_EQ(tokens->tokens, (std::vector<int32_t>{9, 9, 7, 9}));
}

// A prompt has more rows than there is room for logits.
TEST(DecoderTest, MeasuresEveryTokenOfAPrompt) {
  absl::StatusOr<TestModel> m = Load("qwen2", DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  Decoder& decoder = *m->decoder;
  std::mt19937 random(13);
  const Script script = RandomScript(random, m->config.llm, 20, false);
  const std::vector<int32_t> blocks = {0, 1, 2};
  StepBatch batch{.token_ids = script.ids, .sequences = {{.first_row = 0, .rows = 20, .cached = 0, .blocks = blocks}}};
  ASSERT_LT(decoder.max_logit_rows(), 19);
  std::vector<int32_t> rows;
  for (int32_t row = 0; row < 19; ++row) {
    rows.push_back(row);
    batch.samples.push_back(
        {.row = row, .how = {.token = script.ids[static_cast<size_t>(row) + 1], .alternatives = 3}});
  }
  const auto measured = decoder.Forward(batch);
  ASSERT_TRUE(measured.ok()) << measured.status();
  for (int32_t row = 0; row < 19; ++row) {
    const auto logits = decoder.Logits(std::vector<int32_t>{row});
    ASSERT_TRUE(logits.ok()) << logits.status();
    double sum = 0;
    for (const float logit : *logits) sum += std::exp(double{logit});
    const auto at = static_cast<size_t>(row);
    const int32_t token = script.ids[at + 1];
    const auto logprob = [&](float logit) { return Logprob(logit, measured->measured[at], decoder.vocab_size()); };
    EXPECT_EQ(measured->tokens[at], token);
    EXPECT_NEAR(logprob(measured->measured[at].logit), (*logits)[static_cast<size_t>(token)] - std::log(sum), 1e-4);
    const runtime::Alternative& best = measured->alternatives[at * runtime::kAlternativesMax];
    EXPECT_EQ(best.id, std::max_element(logits->begin(), logits->end()) - logits->begin());
    EXPECT_NEAR(logprob(best.logit), *std::max_element(logits->begin(), logits->end()) - std::log(sum), 1e-4);
  }
}

// A step of each kind; step_launches.txt holds what they launch on a card to limits.
TEST(DecoderTest, PrefillThenDecode) {
  absl::StatusOr<TestModel> m = Load("minicpmv", DType::kBF16);
  ASSERT_TRUE(m.ok()) << m.status();
  std::mt19937 random(13);
  const Script script = RandomScript(random, m->config.llm, 80, false);
  const std::vector<int32_t> blocks = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const StepBatch prefill{.token_ids = script.ids,
                          .sequences = {{.first_row = 0, .rows = 80, .cached = 0, .blocks = blocks}},
                          .samples = {{.row = 79, .how = {.sampling = {.temperature = 0}}}}};
  const auto first = m->decoder->Forward(prefill);
  ASSERT_TRUE(first.ok()) << first.status();
  const StepBatch decode{.token_ids = first->tokens,
                         .sequences = {{.first_row = 0, .rows = 1, .cached = 80, .blocks = blocks}},
                         .samples = {{.row = 0, .how = {.sampling = {.temperature = 0}}}}};
  const auto second = m->decoder->Forward(decode);
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_EQ(second->tokens.size(), 1u);
  EXPECT_LT(second->tokens.front(), m->decoder->vocab_size());
}

// A fork holds the blocks of its parent too; when both go on, whoever writes first to the block that is not full does
// so in a copy, and the other in the block itself.
TEST(DecoderTest, AForkGoesOnInCopiesOfWhatItWritesTo) {
  absl::StatusOr<TestModel> m = Load("qwen2", DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  Decoder& decoder = *m->decoder;
  std::mt19937 random(8);
  const int64_t shared = 21, total = 30;
  const Script script = RandomScript(random, m->config.llm, total, false);
  Script fork = RandomScript(random, m->config.llm, total, false);
  std::copy_n(script.ids.begin(), shared, fork.ids.begin());
  const Logits alone = Alone(decoder, script), fork_alone = Alone(decoder, fork);

  GatedPool gated(
      {.blocks = decoder.kv_blocks(), .block_size = decoder.block_size(), .block_bytes = m->plan.kv.BlockBytes()});
  const int64_t blocks_max = BlocksFor(total, decoder.block_size());
  KvBlocks blocks = gated.Reserve(blocks_max), fork_blocks = gated.Reserve(blocks_max);
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(blocks.MakeWritable(0, shared, copies).ok());
  ASSERT_TRUE(copies.empty());
  const StepBatch prefill{.token_ids = {script.ids.begin(), script.ids.begin() + shared},
                          .sequences = {{.first_row = 0, .rows = shared, .cached = 0, .blocks = blocks.blocks()}}};
  ASSERT_TRUE(decoder.Forward(prefill).ok());
  ASSERT_TRUE(fork_blocks.Share(blocks, shared).ok());
  ASSERT_NE(shared % decoder.block_size(), 0);
  for (int64_t p = shared; p < total; ++p) {
    copies.clear();
    ASSERT_TRUE(fork_blocks.MakeWritable(p, p + 1, copies).ok());
    ASSERT_TRUE(blocks.MakeWritable(p, p + 1, copies).ok());
    ASSERT_EQ(copies.size(), p == shared ? 1u : 0u);
    const StepBatch both{.token_ids = {script.ids[p], fork.ids[p]},
                         .sequences = {{.first_row = 0, .rows = 1, .cached = p, .blocks = blocks.blocks()},
                                       {.first_row = 1, .rows = 1, .cached = p, .blocks = fork_blocks.blocks()}},
                         .copies = copies};
    const auto logits = Compute(decoder, both, {0, 1});
    ASSERT_TRUE(logits.ok()) << logits.status();
    EXPECT_LT(RelativeError((*logits)[0], alone[p]), 1e-4) << p;
    EXPECT_LT(RelativeError((*logits)[1], fork_alone[p]), 1e-4) << p;
  }
  EXPECT_EQ(blocks.blocks().front(), fork_blocks.blocks().front()) << "what nobody writes stays shared";
}

// Answers of sequences that begin one after the other and end at different lengths, so that steps of every number of
// rows come by. Different sampling for each.
std::vector<std::vector<int32_t>> Answers(TestModel& m, int64_t sequences) {
  constexpr int64_t kAnswer = 8;
  Decoder& decoder = *m.decoder;
  std::mt19937 random(5);
  BlockPool pool(static_cast<int32_t>(decoder.kv_blocks()));
  const auto words = static_cast<size_t>(runtime::SeenWords(decoder.vocab_size()));
  std::vector<std::vector<int32_t>> ids, blocks(static_cast<size_t>(sequences)), answers(blocks.size());
  std::vector<std::vector<uint32_t>> seen(blocks.size(), std::vector<uint32_t>(words, 0xF0F0F0F0u));
  const std::vector<uint32_t> evens(words, 0x55555555u);
  const std::vector<runtime::LogitChange> changes = {{.id = 4, .delta = 2.5f}};
  for (int64_t s = 0; s < sequences; ++s) ids.push_back(RandomScript(random, m.config.llm, 3 + 2 * s, false).ids);
  for (int64_t round = 0; round < sequences + kAnswer; ++round) {
    StepBatch batch;
    std::vector<size_t> taking;
    for (int64_t s = 0; s <= round && s < sequences; ++s) {
      const auto at = static_cast<size_t>(s);
      if (static_cast<int64_t>(answers[at].size()) == kAnswer) continue;
      const bool begins = s == round;
      if (!begins && round < sequences && round % 2 == 0) continue;  // some steps only begin a sequence
      const int64_t length = static_cast<int64_t>(ids[at].size()), rows = begins ? length : 1;
      const auto first_row = static_cast<int64_t>(batch.token_ids.size());
      TakeBlocks(pool, decoder, length, blocks[at]);
      batch.token_ids.insert(batch.token_ids.end(), ids[at].end() - rows, ids[at].end());
      batch.sequences.push_back({.first_row = first_row, .rows = rows, .cached = length - rows, .blocks = blocks[at]});
      batch.samples.push_back({.row = static_cast<int32_t>(first_row + rows - 1),
                               .how = {.sampling = {.temperature = s % 3 == 0 ? 0.0f : 1.3f,
                                                    .top_p = 0.9f,
                                                    .repetition_penalty = s % 2 == 0 ? 1.0f : 1.5f,
                                                    .seed = 7},
                                       .position = answers[at].size()},
                               .seen = seen[at],
                               .changes = std::span(changes).first(s % 5 == 1 ? 1 : 0),
                               .allowed = std::span(evens).first(s % 4 == 3 ? words : 0)});
      taking.push_back(at);
    }
    if (taking.empty()) continue;
    const auto tokens = decoder.Forward(batch);
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    if (!tokens.ok()) return {};
    for (size_t i = 0; i < taking.size(); ++i) {
      answers[taking[i]].push_back(tokens->tokens[i]);
      ids[taking[i]].push_back(tokens->tokens[i]);
    }
  }
  return answers;
}

TEST(DecoderTest, RecordedStepsGiveTheSameTokens) {
  constexpr int64_t kSequences = 11;  // steps of 9 and more rows are padded
  for (const char* name : {"minicpmv", "qwen2"}) {
    SCOPED_TRACE(name);
    absl::StatusOr<TestModel> eager = Load(name, DType::kBF16, kSequences, /*graphs=*/false);
    absl::StatusOr<TestModel> recorded = Load(name, DType::kBF16, kSequences);
    ASSERT_TRUE(eager.ok() && recorded.ok()) << eager.status() << recorded.status();
    for (TestModel* m : {&*eager, &*recorded}) {
      ASSERT_TRUE(m->decoder->WarmUp().ok());
      const absl::Status kept = m->decoder->RecordSteps();
      ASSERT_TRUE(kept.ok()) << kept;
    }
    EXPECT_EQ(eager->decoder->recorded_launches(), 0);
    EXPECT_EQ(eager->plan.Bytes(memory::Component::kGraphs), 0);
    const bool records = recorded->device->sizes().RecordingBytes(1) > 0;
    EXPECT_EQ(recorded->plan.Bytes(memory::Component::kGraphs) > 0, records);
    const int64_t launches = recorded->decoder->recorded_launches();
    EXPECT_EQ(launches > 0, records);
    // A layer: 2 norms, 4 products, the cache, attention and its merge, the activation. Before and after: the
    // embedding, a norm, the head.
    EXPECT_LE(launches, 10 * recorded->config.llm.layers + 3);
    const auto want = Answers(*eager, kSequences);
    EXPECT_EQ(Answers(*recorded, kSequences), want);
    EXPECT_EQ(want.size(), static_cast<size_t>(kSequences));
  }
}

// What a careless engine could hand over is refused with value and limit, not computed.
TEST(DecoderTest, RefusesBatchesThatContradictThemselvesOrTheLimits) {
  absl::StatusOr<TestModel> m = Load("minicpmv", DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  Decoder& decoder = *m->decoder;
  const int32_t vocab = static_cast<int32_t>(decoder.vocab_size());
  const std::vector<int32_t> blocks = {0, 1, 2};
  const std::vector<int32_t> outside = {static_cast<int32_t>(decoder.kv_blocks())};
  const std::vector<int32_t> many(64, 0);
  const std::vector<float> embedding(static_cast<size_t>(2 * m->config.llm.hidden_size), 0.5f);
  const StepBatch good{.token_ids = {1, 2},
                       .sequences = {{.first_row = 0, .rows = 2, .cached = 0, .blocks = blocks}},
                       .samples = {{.row = 1}}};
  ASSERT_TRUE(decoder.Forward(good).ok());

  std::map<std::string, StepBatch> bad;
  for (const char* name : {"empty",
                           "too many tokens",
                           "id below 0",
                           "id past the vocabulary",
                           "rows not covered",
                           "rows past the end",
                           "gap",
                           "no blocks",
                           "block outside",
                           "cached below 0",
                           "too long",
                           "sample outside",
                           "too many samples",
                           "sampling past its limits",
                           "seen ids missing",
                           "changes past their limit",
                           "change outside",
                           "allowed ids missing",
                           "measure outside",
                           "too many alternatives",
                           "copy outside",
                           "too many copies",
                           "embeddings past the end",
                           "embeddings too narrow"}) {
    bad[name] = good;
  }
  bad["empty"] = StepBatch{};
  bad["too many tokens"].token_ids.assign(kStepTokens + 1, 1);
  bad["id below 0"].token_ids[0] = -1;
  bad["id past the vocabulary"].token_ids[0] = vocab;
  bad["rows not covered"].sequences[0].rows = 1;
  bad["rows past the end"].sequences[0].rows = 3;
  bad["gap"].sequences[0].first_row = 1;
  bad["no blocks"].sequences[0].cached = 23;
  bad["block outside"].sequences[0].blocks = outside;
  bad["cached below 0"].sequences[0].cached = -1;
  bad["too long"].sequences[0].cached = kModelLen - 1;
  bad["too long"].sequences[0].blocks = many;
  bad["sample outside"].samples = {{.row = 2}};
  bad["too many samples"].samples.assign(9, {});
  bad["sampling past its limits"].samples[0].how.sampling.top_p = 0;
  bad["seen ids missing"].samples[0].how.sampling.repetition_penalty = 2;
  const std::vector<runtime::LogitChange> changes(1 << 20, {.id = 0}), wrong = {{.id = vocab}};
  const std::vector<uint32_t> words(1, 1);
  bad["changes past their limit"].samples[0].changes = changes;
  bad["change outside"].samples[0].changes = wrong;
  bad["allowed ids missing"].samples[0].allowed = words;
  bad["measure outside"].samples[0].how.token = vocab;
  bad["too many alternatives"].samples[0].how.alternatives = 21;
  bad["copy outside"].copies = {{0, outside[0]}};
  bad["too many copies"].copies.assign(9, {0, 1});
  bad["embeddings past the end"].embeddings = {
      {1, runtime::HostMatrix::F32(embedding.data(), 2, m->config.llm.hidden_size)}};
  bad["embeddings too narrow"].embeddings = {
      {0, runtime::HostMatrix::F32(embedding.data(), 1, m->config.llm.hidden_size - 1)}};
  for (const auto& [name, batch] : bad) {
    EXPECT_EQ(decoder.Forward(batch).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  StepBatch crowd;
  for (int i = 0; i < 9; ++i) {
    crowd.token_ids.push_back(1);
    crowd.sequences.push_back({.first_row = i, .rows = 1, .cached = 0, .blocks = std::span(blocks).subspan(i % 3)});
  }
  EXPECT_EQ(decoder.Forward(crowd).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(decoder.Forward(good).ok());
}

}  // namespace
}  // namespace headroom::llm_worker
