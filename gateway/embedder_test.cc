// Embeddings against scripted services: what is asked of them, what comes out, and that nothing is left when they fail.
#include "gateway/embedder.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "common/embedding_pages.h"
#include "gateway/testing/scripted_cluster.h"

namespace headroom::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class EmbedderTest : public ScriptedCluster {
 protected:
  static v1::EmbedRequest Pictures(const std::vector<std::string>& names) {
    v1::EmbedRequest request;
    for (const std::string& name : names) {
      std::ifstream file(kGolden + "/images/" + name, std::ios::binary);
      request.add_images()->set_data(std::string(std::istreambuf_iterator<char>(file), {}));
    }
    return request;
  }

  absl::Status Embed(const v1::EmbedRequest& request) {
    HEADROOM_ASSIGN_OR_RETURN(auto place, runner_->Enter(0));
    RequestRunner::EmbedArrival arrival;
    arrival.read = [request](v1::EmbedRequest* read) {
      *read = request;
      return absl::OkStatus();
    };
    RequestRunner::Handle handle = runner_->Submit(std::move(place), std::move(arrival), rows_);
    const std::stop_callback leave(stop_.get_token(), [&handle] { handle.Cancel(); });
    return rows_->AwaitEnd();
  }

  // Whatever happened: no grant, no pinned embeddings, no host memory.
  void ExpectNothingLeft(int encodings) {
    EXPECT_EQ(budget_.used_bytes(), 0);
    std::lock_guard lock(vision_.mutex);
    EXPECT_EQ(vision_.closed, encodings);
    EXPECT_THAT(llm_a_.requests, IsEmpty());
  }

  std::shared_ptr<KeptRows> rows_ = std::make_shared<KeptRows>();
};

float First(const v1::EmbedResponse& piece) {
  float value = 0;
  std::memcpy(&value, piece.values().data(), sizeof value);
  return value;
}

TEST_F(EmbedderTest, PiecesComeInOrderAsFloat32) {
  ASSERT_EQ(Embed(Pictures({"small.png", "wide.png"})), absl::OkStatus());
  EXPECT_EQ(rows_->granted, 1);
  const auto& pieces = rows_->pieces;
  ASSERT_GT(pieces.size(), 2u);
  int64_t next = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0 && pieces[i].image() != pieces[i - 1].image()) next = 0;
    EXPECT_EQ(pieces[i].piece(), next++);
    EXPECT_EQ(pieces[i].piece_rows(static_cast<int>(pieces[i].piece())), 64);
    EXPECT_EQ(pieces[i].first_row(), 0);
    EXPECT_EQ(pieces[i].columns(), 256);
    EXPECT_EQ(pieces[i].values().size(), 64u * 256 * 4);
    EXPECT_EQ(First(pieces[i]),
              static_cast<float>(pieces[i].image() + 1) + 0.25f * static_cast<float>(pieces[i].piece()));
    EXPECT_EQ(pieces[i].has_finish(), i + 1 == pieces.size());
  }
  EXPECT_EQ(pieces.back().image(), 1);
  const v1::Usage usage = pieces.back().finish().usage();
  EXPECT_EQ(usage.images(), 2);
  EXPECT_EQ(usage.pieces(), static_cast<int64_t>(pieces.size()));
  EXPECT_EQ(usage.image_tokens(), 64 * usage.pieces());
  ASSERT_EQ(scheduler_.reserves.size(), 1u);
  const v1::Price& price = scheduler_.reserves[0].price();
  EXPECT_FALSE(price.has_llm()) << "no llm-worker has a part in it";
  EXPECT_EQ(price.vision().slots(), 2);
  EXPECT_EQ(price.vision().embedding_bytes(), usage.pieces() * 64 * 256 * 2);
  EXPECT_THAT(scheduler_.voided, IsEmpty());
  ExpectNothingLeft(1);
}

// A made-up model with a row for each 3 × 3 patches, of which 16 fit into a message.
class RowsOfTheirOwnTest : public EmbedderTest {
 protected:
  RowsOfTheirOwnTest() {
    rows_of_pieces_ = {.queries = 0, .merge_side = 3};
    scheduler_.row_bytes = kEmbeddingMessageBytes / 16;
  }
};

TEST_F(RowsOfTheirOwnTest, EveryPieceHasItsOwnInMessagesOfBoundedSize) {
  ASSERT_EQ(Embed(Pictures({"wide.png", "small.png"})), absl::OkStatus());
  int64_t rows = 0, pages = 0, piece = 0, next_row = 0;
  std::set<int64_t> numbers;
  int image = 0;
  for (const v1::EmbedResponse& message : rows_->pieces) {
    ASSERT_EQ(message.image(), image);
    ASSERT_EQ(message.piece(), piece);
    ASSERT_EQ(message.first_row(), next_row);
    const int64_t of_piece = message.piece_rows(static_cast<int>(piece));
    const auto here = static_cast<int64_t>(message.values().size() / sizeof(float) / 256);
    ASSERT_EQ(here, std::min<int64_t>(16, of_piece - next_row));
    EXPECT_EQ(First(message), static_cast<float>(image + 1) + 0.25f * static_cast<float>(piece));
    next_row += here;
    if (next_row < of_piece) continue;
    numbers.insert(of_piece);
    rows += of_piece;
    pages += (of_piece + 31) / 32;
    next_row = 0;
    if (++piece == message.piece_rows_size()) piece = 0, ++image;
  }
  EXPECT_EQ(image, 2);
  EXPECT_GE(numbers.size(), 2u) << "pieces of different rows";
  const v1::Usage usage = rows_->pieces.back().finish().usage();
  EXPECT_EQ(usage.image_tokens(), rows);
  EXPECT_EQ(scheduler_.reserves[0].price().vision().embedding_bytes(), pages * 32 * scheduler_.row_bytes);
  ExpectNothingLeft(1);
}

TEST_F(EmbedderTest, AnotherNumberOfRowsThanPricedIsRefusedByName) {
  vision_.one_row_less = true;
  const absl::Status status = Embed(Pictures({"small.png"}));
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("63 rows of piece 1, priced with 64"));
  ExpectNothingLeft(1);
}

TEST_F(EmbedderTest, BadRequestsAreRefusedBeforeAnyWork) {
  std::vector<std::pair<v1::EmbedRequest, std::string>> bad(5, {Pictures({"small.png"}), ""});
  bad[0] = {v1::EmbedRequest(), "at least 1"};
  bad[1].first.set_max_slice_nums(257), bad[1].second = "max_slice_nums is 257";
  bad[2].first.set_priority(9), bad[2].second = "priority is 9";
  bad[3].first.add_images()->set_data("no picture"), bad[3].second = "image 2: ";
  for (int64_t i = 0; i < config_.images_max; ++i) *bad[4].first.add_images() = bad[4].first.images(0);
  bad[4].second = "images_max";
  for (const auto& [request, words] : bad) {
    rows_ = std::make_shared<KeptRows>();
    const absl::Status status = Embed(request);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }
  EXPECT_THAT(scheduler_.reserves, IsEmpty());
  ExpectNothingLeft(0);
}

TEST_F(EmbedderTest, RefusalBeforeWorkMovesAndALossAfterItDoesNot) {
  vision_.fail = absl::UnavailableError("draining");
  EXPECT_TRUE(absl::IsUnavailable(Embed(Pictures({"small.png"}))));
  EXPECT_EQ(scheduler_.reserves.size(), 4u) << "the first and three more";
  EXPECT_THAT(scheduler_.reserves[1].exclude_workers(), ElementsAre("vision"));
  scheduler_.reserves.clear();
  vision_.fail = absl::OkStatus();
  vision_.lost = absl::UnavailableError("connection lost");
  rows_ = std::make_shared<KeptRows>();
  EXPECT_TRUE(absl::IsUnavailable(Embed(Pictures({"small.png"}))));
  EXPECT_EQ(scheduler_.reserves.size(), 1u) << "the picture may be what ended it";
  EXPECT_THAT(rows_->pieces, IsEmpty());
  ExpectNothingLeft(0);
}

TEST_F(EmbedderTest, RowsThatCannotBeFetchedEndTheRequest) {
  vision_.fetch_fail = absl::NotFoundError("evicted");
  EXPECT_TRUE(absl::IsNotFound(Embed(Pictures({"small.png"}))));
  EXPECT_THAT(rows_->pieces, IsEmpty());
  EXPECT_EQ(budget_.used_bytes(), 0);
}

TEST_F(EmbedderTest, ClientThatGoesAwayEndsIt) {
  rows_->gone = true;
  EXPECT_TRUE(absl::IsCancelled(Embed(Pictures({"wide.png", "wide.png"}))));
  EXPECT_EQ(rows_->pieces.size(), 1u) << "nothing is handed on to who is gone";
  EXPECT_EQ(budget_.used_bytes(), 0);
}

TEST_F(EmbedderTest, ClientThatLeavesDuringEncodeLeavesNoLegBehind) {
  vision_.stop = &stop_;
  EXPECT_TRUE(absl::IsCancelled(Embed(Pictures({"small.png"}))));
  // The request ends before the worker has seen that its client left.
  runner_.reset();
  for (const auto& host : hosts_) host->Shutdown(kPatience);
  ExpectNothingLeft(1);
}

TEST_F(EmbedderTest, APieceOnItsWayIsChargedToTheHostBudget) {
  const auto held = budget_.Take(budget_.capacity_bytes() - kRequestBytes - 64 * 256 * 8);
  ASSERT_TRUE(held.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Embed(Pictures({"small.png"}))));
  EXPECT_THAT(scheduler_.reserves, IsEmpty());
}

}  // namespace
}  // namespace headroom::gateway
