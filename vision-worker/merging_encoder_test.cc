#include "vision-worker/merging_encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "common/testing/paths.h"
#include "memory/ledger.h"
#include "runtime/testing/test_device.h"
#include "vision-worker/encoder.h"

namespace headroom::vision_worker {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

struct Piece {
  model::PatchGrid grid;
  std::vector<float> values;

  PieceInput Input() const {
    return {grid, runtime::HostMatrix::F32(values.data(), grid.patches(),
                                           static_cast<int64_t>(values.size()) / grid.patches())};
  }
};

// Golden directory and compute type.
class MergingEncoderTest : public testing::TestWithParam<std::tuple<const char*, DType>> {
 protected:
  void SetUp() override {
    random_.seed(seed_);
    RecordProperty("seed", static_cast<int>(seed_));
    const absl::Status loaded = Load();
    ASSERT_TRUE(loaded.ok()) << loaded;
  }

  absl::Status Load() {
    const std::string directory = SourceDir() + "/tests/golden/" + std::get<0>(GetParam());
    HEADROOM_ASSIGN_OR_RETURN(config_, model::LoadModelSpec(directory));
    HEADROOM_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::Checkpoint::Open(directory));
    HEADROOM_ASSIGN_OR_RETURN(device_, runtime::CreateTestDevice({}));
    memory::PlanRequest request;
    request.device.memory_bytes = 128 << 20;
    request.compute = compute();
    request.roles = {.vision = true, .llm = false};
    request.knobs.max_patches_per_step = 512;  // for four pieces
    AddEncoderNeeds(device_->sizes(), config_, request.compute, request.kernels);
    HEADROOM_ASSIGN_OR_RETURN(plan_, memory::MakePlan(config_, request));
    ledger_ = std::make_unique<memory::Ledger>(plan_.device_bytes);
    plan_.Register(*ledger_);
    HEADROOM_ASSIGN_OR_RETURN(arena_, memory::Arena::Create(plan_.arena_bytes, device_->memory(), *ledger_));
    HEADROOM_ASSIGN_OR_RETURN(encoder_, CreateEncoder(*device_, config_, plan_, *arena_));
    HEADROOM_RETURN_IF_ERROR(encoder_->Load(checkpoint));
    return encoder_->WarmUp();
  }

  static DType compute() { return std::get<1>(GetParam()); }

  // Noise in the range of normalised pixels.
  Piece RandomPiece(int rows, int cols) {
    Piece piece{.grid = {rows, cols}, .values = {}};
    std::uniform_real_distribution<float> pixel(-1, 1);
    piece.values.resize(static_cast<size_t>(piece.grid.patches() * config_.resize.patch_values()));
    for (float& x : piece.values) x = pixel(random_);
    return piece;
  }

  const uint32_t seed_ = std::random_device{}();
  std::mt19937 random_;
  model::ModelSpec config_;
  std::unique_ptr<runtime::Device> device_;
  memory::Plan plan_;
  std::unique_ptr<memory::Ledger> ledger_;
  std::unique_ptr<memory::Arena> arena_;
  std::unique_ptr<PieceEncoder> encoder_;
};

// And as many rows as its grid says.
TEST_P(MergingEncoderTest, APieceGetsTheSameNumbersAloneAndInCompany) {
  std::vector<Piece> pieces;
  for (const auto& [rows, cols] : {std::pair{2, 2}, {2, 30}, {10, 6}, {24, 2}})
    pieces.push_back(RandomPiece(rows, cols));
  std::vector<PieceInput> inputs;
  int64_t patches = 0, rows = 0;
  for (const Piece& piece : pieces) {
    inputs.push_back(piece.Input());
    patches += piece.grid.patches();
    rows += encoder_->RowsOf(piece.grid);
  }
  ASSERT_LE(patches, encoder_->max_patches());
  const int64_t width = encoder_->embedding_width();
  std::vector<float> together(static_cast<size_t>(rows * width));
  const auto finite = encoder_->Encode(inputs, {.embeddings = together});
  ASSERT_TRUE(finite.ok()) << finite.status();
  EXPECT_EQ(*finite, std::vector<bool>(pieces.size(), true));
  size_t begin = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    SCOPED_TRACE(i);
    const model::PatchGrid& grid = pieces[i].grid;
    const bool lines = config_.resize.line_rows > 0;
    ASSERT_EQ(encoder_->RowsOf(grid), lines ? grid.rows / 2 * (grid.cols / 2 + 1) + 2 : grid.patches() / 4);
    std::vector<float> alone(static_cast<size_t>(encoder_->RowsOf(pieces[i].grid) * width));
    ASSERT_TRUE(encoder_->Encode({&inputs[i], 1}, {.embeddings = alone}).ok());
    double difference = 0, norm = 0;
    for (size_t j = 0; j < alone.size(); ++j) {
      difference += std::pow(double{alone[j]} - together[begin + j], 2);
      norm += std::pow(double{alone[j]}, 2);
    }
    EXPECT_LT(std::sqrt(difference / norm), compute() == DType::kF32 ? 1e-5 : 2e-2);
    begin += alone.size();
  }
}

// Begin, a newline behind each line, end: at their places, whatever the pictures show.
TEST_P(MergingEncoderTest, AddedRowsAreTheSameEverywhere) {
  if (config_.resize.line_rows == 0) GTEST_SKIP() << "this merger adds none";
  const std::vector<Piece> pieces = {RandomPiece(4, 6), RandomPiece(2, 2)};
  const std::vector<PieceInput> inputs = {pieces[0].Input(), pieces[1].Input()};
  const auto width = static_cast<size_t>(encoder_->embedding_width());
  ASSERT_EQ(encoder_->RowsOf(pieces[0].grid), 2 * (3 + 1) + 2);
  ASSERT_EQ(encoder_->RowsOf(pieces[1].grid), 1 * (1 + 1) + 2);
  std::vector<float> rows(14 * width);
  ASSERT_TRUE(encoder_->Encode(inputs, {.embeddings = rows}).ok());
  const auto row = [&](size_t i) { return std::vector<float>(&rows[i * width], &rows[i * width] + width); };
  EXPECT_EQ(row(0), row(10)) << "begin";
  EXPECT_EQ(row(9), row(13)) << "end";
  EXPECT_EQ(row(4), row(8)) << "newlines";
  EXPECT_EQ(row(4), row(12)) << "newlines";
  const std::set<std::vector<float>> different = {row(0), row(1), row(2), row(3), row(4),
                                                  row(5), row(6), row(7), row(9), row(11)};
  EXPECT_EQ(different.size(), 10u);
}

TEST_P(MergingEncoderTest, APieceThatIsNotFiniteIsTold) {
  std::vector<Piece> pieces = {RandomPiece(2, 4), RandomPiece(4, 4), RandomPiece(2, 2)};
  pieces[1].values[100] = INFINITY;
  const std::vector<PieceInput> inputs = {pieces[0].Input(), pieces[1].Input(), pieces[2].Input()};
  const auto finite = encoder_->Encode(inputs, {});
  ASSERT_TRUE(finite.ok()) << finite.status();
  EXPECT_EQ(*finite, (std::vector<bool>{true, false, true}));
}

TEST_P(MergingEncoderTest, WhatDoesNotFitIsRefused) {
  const Piece good = RandomPiece(4, 4);
  const PieceInput input = good.Input();
  const auto code = [&](PieceInput piece, const EncodeOutputs& outputs = {}) {
    return encoder_->Encode({&piece, 1}, outputs).status().code();
  };
  EXPECT_EQ(code(input), absl::StatusCode::kOk);
  EXPECT_EQ(encoder_->Encode({}, {}).status().code(), kInvalid);
  PieceInput odd = input;
  odd.grid = {3, 4};
  EXPECT_EQ(code(odd), kInvalid);
  PieceInput other = input;
  other.grid = {2, 4};
  EXPECT_EQ(code(other), kInvalid);
  const Piece large = RandomPiece(2, 258);
  EXPECT_EQ(code(large.Input()), kInvalid) << "516 patches of 512";
  std::vector<float> small(5);
  EXPECT_EQ(code(input, {.embeddings = small}), kInvalid);
  EXPECT_EQ(code(input, {.tower = small}), kInvalid);
  const std::vector<std::vector<memory::DeviceSpan>> store(2);
  EXPECT_EQ(code(input, {.store = store}), kInvalid) << "one piece";
  EXPECT_EQ(code(input, {.store = std::span(store).first(1)}), kInvalid) << "no bytes";
}

INSTANTIATE_TEST_SUITE_P(Families, MergingEncoderTest,
                         testing::Combine(testing::Values("glm4v", "hunyuan_vl"),
                                          testing::Values(DType::kF32, DType::kBF16)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param)) + "_" + DTypeName(std::get<1>(test.param));
                         });

}  // namespace
}  // namespace headroom::vision_worker
