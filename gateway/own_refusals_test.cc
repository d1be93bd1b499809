#include "gateway/own_refusals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/clock.h"
#include "common/error_details.h"
#include "common/testing/fake_clock.h"

namespace headroom::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(OwnRefusals, RemembersItsOwnOnly) {
  FakeClock clock;
  OwnRefusals refusals;
  refusals.Note(absl::OkStatus(), "fine", clock.Now());
  refusals.Note(absl::InvalidArgumentError("a bad role"), "bad", clock.Now());
  refusals.Note(RefusalError(RefusalReason::kQueueFull, "full", {{"budget", "queue"}}), "of the scheduler",
                clock.Now());
  EXPECT_TRUE(refusals.Last("", 10, clock.Now()).empty());

  const absl::Status status = OwnRefusal(RefusalReason::kModelLimit, "the prompt of 60 tokens and max_tokens 50",
                                         admission::Shortfall{"model_len", "", 110, 100, 100}, {}, 60);
  refusals.Note(status, "long", clock.Now());
  clock.Advance(seconds(3));
  const auto views = refusals.Last("long", 10, clock.Now());
  ASSERT_EQ(views.size(), 1u);
  EXPECT_EQ(views[0].age_ms(), 3000);
  EXPECT_EQ(views[0].refused_by(), "gateway");
  EXPECT_EQ(views[0].code(), 3);
  EXPECT_EQ(views[0].reason(), NameOf(RefusalReason::kModelLimit));
  EXPECT_EQ(views[0].shortfall().needed(), 110);
  // 40 tokens of answer beside a prompt of 60 make 100.
  ASSERT_EQ(views[0].remedies_size(), 2);
  EXPECT_EQ(views[0].remedies(0).what(), "max_tokens");
  EXPECT_EQ(views[0].remedies(0).now(), 50);
  EXPECT_EQ(views[0].remedies(0).fits(), 40);
  EXPECT_EQ(views[0].remedies(1).what(), "knobs.max_model_len");
  EXPECT_EQ(views[0].remedies(1).fits(), 110);
  EXPECT_TRUE(refusals.Last("other", 10, clock.Now()).empty());
}

TEST(OwnRefusals, BudgetsOfTheGatewayItself) {
  FakeClock clock;
  OwnRefusals refusals;
  refusals.Note(OwnRefusal(RefusalReason::kGatewayFull, "full", admission::Shortfall{"requests_running", "", 1, 0, 8},
                           milliseconds(1'000)),
                "", clock.Now());
  refusals.Note(OwnRefusal(RefusalReason::kGatewayFull, "full",
                           admission::Shortfall{"gateway_host_bytes", "", 700, 300, 1'000}, milliseconds(1'000)),
                "picture", clock.Now());
  const auto views = refusals.Last("", 10, clock.Now());
  ASSERT_EQ(views.size(), 2u);
  EXPECT_EQ(views[0].request_id(), "picture");
  EXPECT_EQ(views[0].unit_bytes(), 1);
  ASSERT_EQ(views[0].remedies_size(), 1);
  EXPECT_EQ(views[0].remedies(0).what(), "gateway.host_bytes_max");
  EXPECT_EQ(views[0].remedies(0).fits(), 1'400);
  EXPECT_EQ(views[0].retry_ms(), 1'000);
  ASSERT_EQ(views[1].remedies_size(), 1);
  EXPECT_EQ(views[1].remedies(0).what(), "gateway.requests_running_max");
  EXPECT_EQ(views[1].remedies(0).fits(), 9);
}

TEST(OwnRefusals, WithoutAShortBudget) {
  FakeClock clock;
  OwnRefusals refusals;
  refusals.Note(OwnRefusal(RefusalReason::kNoWorker, "no llm-worker is ready", {}, milliseconds(500)), "early",
                clock.Now());
  const auto views = refusals.Last("early", 10, clock.Now());
  ASSERT_EQ(views.size(), 1u);
  EXPECT_EQ(views[0].reason(), NameOf(RefusalReason::kNoWorker));
  EXPECT_FALSE(views[0].has_shortfall());
  EXPECT_EQ(views[0].remedies_size(), 0);
  EXPECT_EQ(views[0].retry_ms(), 500);
}

}  // namespace
}  // namespace headroom::gateway
