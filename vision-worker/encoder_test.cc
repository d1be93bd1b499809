#include "vision-worker/encoder.h"

#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "common/testing/allocation_guard.h"
#include "common/testing/paths.h"
#include "gtest/gtest.h"
#include "memory/ledger.h"
#include "runtime/testing/test_device.h"

namespace headroom::vision_worker {
namespace {

constexpr int64_t kStepPatches = 2600;

struct TestModel {
  model::ModelSpec config;
  std::unique_ptr<runtime::Device> device;
  memory::Plan plan;
  std::unique_ptr<memory::Ledger> ledger;
  std::unique_ptr<memory::Arena> arena;
  std::unique_ptr<Encoder> encoder;
};

absl::StatusOr<TestModel> Load(DType compute) {
  const std::string directory = SourceDir() + "/tests/golden/minicpmv";
  TestModel m;
  HEADROOM_ASSIGN_OR_RETURN(m.config, model::LoadServedModel(directory));
  HEADROOM_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::Checkpoint::Open(directory));
  HEADROOM_ASSIGN_OR_RETURN(m.device, runtime::CreateTestDevice({}));
  memory::PlanRequest request;
  request.device.memory_bytes = 128 << 20;
  request.compute = compute;
  request.roles = {.vision = true, .llm = false};
  request.knobs.max_patches_per_step = kStepPatches;
  AddEncoderNeeds(m.device->sizes(), m.config, compute, request.kernels);
  HEADROOM_ASSIGN_OR_RETURN(m.plan, memory::MakePlan(m.config, request));
  m.ledger = std::make_unique<memory::Ledger>(m.plan.device_bytes);
  m.plan.Register(*m.ledger);
  HEADROOM_ASSIGN_OR_RETURN(m.arena, memory::Arena::Create(m.plan.arena_bytes, m.device->memory(), *m.ledger));
  HEADROOM_ASSIGN_OR_RETURN(m.encoder, Encoder::Create(*m.device, m.config, m.plan, *m.arena));
  HEADROOM_RETURN_IF_ERROR(m.encoder->Load(checkpoint));
  return m;
}

struct Piece {
  model::PatchGrid grid;
  std::vector<float> values;

  PieceInput Input() const {
    return {grid, runtime::HostMatrix::F32(values.data(), grid.patches(),
                                           static_cast<int64_t>(values.size()) / grid.patches())};
  }
};

// Noise in the range of normalised pixels.
Piece RandomPiece(std::mt19937& random, const model::ModelSpec& config, int rows, int cols) {
  Piece piece{.grid = {rows, cols}, .values = {}};
  std::uniform_real_distribution<float> pixel(-1, 1);
  piece.values.resize(static_cast<size_t>(piece.grid.patches() * config.vision->patch_values()));
  for (float& x : piece.values) x = pixel(random);
  return piece;
}

double RelativeError(const float* got, const float* wanted, int64_t count) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < count; ++i) {
    difference += (double{got[i]} - wanted[i]) * (double{got[i]} - wanted[i]);
    norm += double{wanted[i]} * wanted[i];
  }
  return std::sqrt(difference / norm);
}

// Embeddings of the pieces, f32 [rows of all pieces, E], and the tower's output where wanted.
absl::StatusOr<std::vector<float>> Embeddings(Encoder& encoder, const std::vector<PieceInput>& pieces,
                                              std::span<float> tower = {}) {
  int64_t rows = 0;
  for (const PieceInput& piece : pieces) rows += encoder.RowsOf(piece.grid);
  std::vector<float> out(static_cast<size_t>(rows * encoder.embedding_width()));
  HEADROOM_RETURN_IF_ERROR(encoder.Encode(pieces, {.embeddings = out, .tower = tower}).status());
  return out;
}

TEST(EncoderTest, APieceGetsTheSameNumbersAloneAndInCompany) {
  absl::StatusOr<TestModel> m = Load(DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  Encoder& encoder = *m->encoder;
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  std::vector<Piece> pieces;
  // One patch, one row and one column (both beyond the 70 × 70 table), the grid whose positions round, an ordinary one.
  for (const auto& [rows, cols] : std::vector<std::pair<int, int>>{{1, 1}, {1, 314}, {25, 25}, {183, 1}, {6, 101}}) {
    pieces.push_back(RandomPiece(random, m->config, rows, cols));
  }
  std::vector<PieceInput> inputs;
  int64_t patches = 0;
  for (const Piece& piece : pieces) {
    inputs.push_back(piece.Input());
    patches += piece.grid.patches();
  }
  ASSERT_LE(patches, encoder.max_patches());
  ASSERT_LE(static_cast<int64_t>(pieces.size()), encoder.max_pieces());
  const int64_t width = encoder.tower_width();
  std::vector<float> tower(static_cast<size_t>(patches * width));
  ASSERT_TRUE(AllocationGuardWorks());
  const int64_t guarded = GuardedAllocations();
  const auto packed = Embeddings(encoder, inputs, tower);
  EXPECT_GT(GuardedAllocations(), guarded) << "no thread is marked";
  ASSERT_TRUE(packed.ok()) << packed.status();
  const int64_t count = encoder.RowsOf({1, 1}) * encoder.embedding_width();

  int64_t first_patch = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const int64_t own = pieces[i].grid.patches();
    std::vector<float> own_tower(static_cast<size_t>(own * width));
    const auto alone = Embeddings(encoder, {inputs[i]}, own_tower);
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_LT(RelativeError(packed->data() + static_cast<int64_t>(i) * count, alone->data(), count), 1e-4) << i;
    EXPECT_LT(RelativeError(tower.data() + first_patch * width, own_tower.data(), own * width), 1e-4) << i;
    first_patch += own;
  }
}

TEST(EncoderTest, PiecesOfDifferentShapeOrContentDiffer) {
  absl::StatusOr<TestModel> m = Load(DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  std::mt19937 random(9);
  Piece wide = RandomPiece(random, m->config, 2, 6), tall = wide;
  tall.grid = {6, 2};
  const std::vector<PieceInput> inputs = {wide.Input(), tall.Input()};
  const auto out = Embeddings(*m->encoder, inputs);
  ASSERT_TRUE(out.ok()) << out.status();
  const int64_t count = m->encoder->RowsOf(wide.grid) * m->encoder->embedding_width();
  EXPECT_GT(RelativeError(out->data(), out->data() + count, count), 1e-3);
}

TEST(EncoderTest, Bf16StaysCloseToFp32) {
  absl::StatusOr<TestModel> fp32 = Load(DType::kF32), bf16 = Load(DType::kBF16);
  ASSERT_TRUE(fp32.ok() && bf16.ok()) << fp32.status() << bf16.status();
  EXPECT_LT(bf16->plan.Bytes(memory::Component::kVisionWeights), fp32->plan.Bytes(memory::Component::kVisionWeights));
  std::mt19937 random(10);
  const Piece piece = RandomPiece(random, fp32->config, 20, 30);
  const PieceInput input = piece.Input();
  const auto a = Embeddings(*fp32->encoder, {input}), b = Embeddings(*bf16->encoder, {input});
  ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
  EXPECT_LT(RelativeError(b->data(), a->data(), static_cast<int64_t>(a->size())), 0.02);
}

TEST(EncoderTest, RefusesStepsPastTheLimits) {
  absl::StatusOr<TestModel> m = Load(DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  Encoder& encoder = *m->encoder;
  std::mt19937 random(11);
  const Piece piece = RandomPiece(random, m->config, 2, 3);
  const PieceInput good = piece.Input();
  const auto code = [&](const std::vector<PieceInput>& pieces, const EncodeOutputs& outputs = {}) {
    return encoder.Encode(pieces, outputs).status().code();
  };
  constexpr auto kRefused = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code({}), kRefused);
  EXPECT_EQ(code(std::vector<PieceInput>(static_cast<size_t>(encoder.max_pieces() + 1), good)), kRefused);

  // The limit itself is fine, one patch more is not.
  const Piece largest = RandomPiece(random, m->config, 1, static_cast<int>(encoder.max_patches()));
  const Piece one = RandomPiece(random, m->config, 1, 1);
  EXPECT_EQ(code({largest.Input()}), absl::StatusCode::kOk);
  EXPECT_EQ(code({largest.Input(), one.Input()}), kRefused);

  PieceInput bad = good;
  bad.grid = {0, 3};
  EXPECT_EQ(code({bad}), kRefused);
  bad.grid = {3, 3};
  EXPECT_EQ(code({bad}), kRefused);
  bad = good;
  bad.patches.cols -= 1;
  EXPECT_EQ(code({bad}), kRefused);
  const auto width = static_cast<size_t>(encoder.tower_width());
  const auto values = static_cast<size_t>(encoder.RowsOf(piece.grid) * encoder.embedding_width());
  std::vector<float> tower(6 * width), embeddings(values);
  EXPECT_EQ(code({good}, {.tower = std::span(tower).first(5 * width)}), kRefused);
  EXPECT_EQ(code({good}, {.tower = tower}), absl::StatusCode::kOk);
  EXPECT_EQ(code({good}, {.embeddings = std::span(embeddings).first(values - 1)}), kRefused);
  EXPECT_EQ(code({good}, {.embeddings = embeddings}), absl::StatusCode::kOk);
  const auto bytes = static_cast<int64_t>(values * sizeof(float));
  const auto memory = m->device->memory().Reserve(2 * bytes, {});
  ASSERT_TRUE(memory.ok()) << memory.status();
  const int64_t row = encoder.embedding_width() * static_cast<int64_t>(sizeof(float));
  using Runs = std::vector<memory::DeviceSpan>;
  const std::vector<PieceInput> inputs = {good};
  const auto store = [&](const std::vector<Runs>& runs) { return encoder.Encode(inputs, {.store = runs}).status(); };
  const std::vector<std::vector<Runs>> refused = {
      {Runs{memory->Sub(0, bytes - 4)}},                               // part of a row
      {Runs{memory->Sub(0, bytes - row)}},                             // a row too few
      {Runs{memory->Sub(0, bytes + row)}},                             // a row too many
      {Runs{memory->Sub(0, bytes), memory->Sub(bytes, bytes)}},        // twice the rows
      {Runs{memory->Sub(0, bytes)}, Runs{memory->Sub(bytes, bytes)}},  // a piece too many
      std::vector<Runs>(1)};
  for (const std::vector<Runs>& runs : refused) EXPECT_EQ(store(runs).code(), kRefused);
  EXPECT_THAT(std::string(store({Runs{memory->Sub(0, bytes - row)}}).message()),
              testing::HasSubstr("memory for 63 rows of piece 1, which has 64"));
  EXPECT_TRUE(store({Runs{memory->Sub(0, bytes)}}).ok());
  EXPECT_TRUE(store({Runs{memory->Sub(bytes, 7 * row), memory->Sub(0, bytes - 7 * row)}}).ok());
  m->device->memory().Release(*memory);
}

// Each piece's rows go to its own memory, in the compute type; a piece that holds no numbers is named, the others not.
TEST(EncoderTest, StoresEachPieceAndNamesTheBroken) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    absl::StatusOr<TestModel> m = Load(compute);
    ASSERT_TRUE(m.ok()) << m.status();
    std::mt19937 random(12);
    std::vector<Piece> pieces = {RandomPiece(random, m->config, 2, 3), RandomPiece(random, m->config, 4, 1),
                                 RandomPiece(random, m->config, 1, 2)};
    pieces[1].values[5] = INFINITY;
    const std::vector<PieceInput> inputs = {pieces[0].Input(), pieces[1].Input(), pieces[2].Input()};
    const auto values = static_cast<size_t>(m->encoder->RowsOf(pieces[0].grid) * m->encoder->embedding_width());
    const int64_t bytes = static_cast<int64_t>(values) * SizeOf(compute);
    const auto memory = m->device->memory().Reserve(3 * bytes, {});
    ASSERT_TRUE(memory.ok()) << memory.status();
    // Not in the order of the pieces; the last one in two parts, the second part first in memory.
    const int64_t part = bytes / 64 * 17;
    const std::vector<std::vector<memory::DeviceSpan>> store = {
        {memory->Sub(2 * bytes, bytes)},
        {memory->Sub(0, bytes)},
        {memory->Sub(2 * bytes - part, part), memory->Sub(bytes, bytes - part)}};
    std::vector<float> embeddings(3 * values);
    const auto finite = m->encoder->Encode(inputs, {.store = store, .embeddings = embeddings});
    ASSERT_TRUE(finite.ok()) << finite.status();
    EXPECT_EQ(*finite, (std::vector<bool>{true, false, true}));
    for (const size_t piece : {size_t{0}, size_t{2}}) {
      std::vector<std::byte> stored(static_cast<size_t>(bytes));
      std::span<std::byte> rest = stored;
      for (const memory::DeviceSpan& run : store[piece]) {
        ASSERT_TRUE(m->device->memory().Read(run.data, rest.first(static_cast<size_t>(run.bytes))).ok());
        rest = rest.subspan(static_cast<size_t>(run.bytes));
      }
      std::vector<float> numbers(values);
      for (size_t i = 0; i < values; ++i) {
        uint32_t bits = 0;
        std::memcpy(
            compute == DType::kF32 ? reinterpret_cast<std::byte*>(&bits) : reinterpret_cast<std::byte*>(&bits) + 2,
            stored.data() + i * static_cast<size_t>(SizeOf(compute)), static_cast<size_t>(SizeOf(compute)));
        std::memcpy(&numbers[i], &bits, sizeof bits);
      }
      const double error =
          RelativeError(numbers.data(), embeddings.data() + piece * values, static_cast<int64_t>(values));
      EXPECT_LE(error, compute == DType::kF32 ? 0 : 3e-3) << piece;
    }
    m->device->memory().Release(*memory);
  }
}

TEST(EncoderTest, RefusesAModelWithoutATower) {
  absl::StatusOr<TestModel> m = Load(DType::kF32);
  ASSERT_TRUE(m.ok()) << m.status();
  model::ModelSpec blind = m->config;
  blind.vision.reset();
  EXPECT_EQ(Encoder::Create(*m->device, blind, m->plan, *m->arena).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace headroom::vision_worker
