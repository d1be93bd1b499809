#include "cli/past_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/refusal_reason.h"

namespace headroom::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const WallTime kNow = std::chrono::system_clock::from_time_t(1'795'349'070);

v1::WorkerPast* AddWorker(v1::GetHistoryResponse& history, const std::string& name, const std::string& endpoint) {
  v1::WorkerPast* worker = history.add_workers();
  worker->set_worker(name);
  worker->set_endpoint(endpoint);
  worker->set_device("cpu");
  worker->mutable_capacity()->set_kv_blocks(64);
  worker->set_kv_block_bytes(1024);
  worker->mutable_ledger()->set_total_bytes(1 << 20);
  v1::LedgerLine* line = worker->mutable_ledger()->add_lines();
  line->set_component("kv_pool");
  line->set_planned_bytes((64 << 10) + 512);
  line->set_reserved_bytes(10 << 10);
  line->set_used_bytes(5 << 10);
  return worker;
}

void AddLeg(v1::WorkerPast* worker, const std::string& request, v1::Role role, int64_t blocks, int64_t embeddings) {
  v1::LegPast* leg = worker->add_legs();
  leg->set_request_id(request);
  leg->set_role(role);
  leg->mutable_resources()->set_slots(1);
  leg->mutable_resources()->set_kv_blocks(blocks);
  leg->mutable_resources()->set_embedding_bytes(embeddings);
  leg->set_held_ms(1'500);
  leg->set_active_ms(1'200);
  leg->set_left_ms(-1);
}

// The rows of a text that contain `word`, in order.
std::vector<std::string> Rows(const std::string& text, const std::string& word) {
  std::vector<std::string> rows;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (const std::string row = text.substr(begin, end - begin); row.find(word) != std::string::npos)
      rows.push_back(row);
    begin = end + 1;
  }
  return rows;
}

TEST(PastTable, HoldersOfADeviceByBytes) {
  v1::GetHistoryResponse history;
  history.set_age_ms(60'000);
  history.set_covered_ms(600'000);
  // Two roles of one process: one device, one ledger, holders of both.
  v1::WorkerPast* llm = AddWorker(history, "llm-0", "inproc:llm-0");
  v1::WorkerPast* vision = AddWorker(history, "vision-0", "inproc:vision-0");
  vision->set_ledger_before_ms(400);
  AddLeg(llm, "small", v1::ROLE_LLM, 1, 0);
  AddLeg(llm, "large", v1::ROLE_LLM, 8, 0);
  AddLeg(vision, "picture", v1::ROLE_VISION, 0, 3'000);
  llm->set_legs_left_out(2);
  AddWorker(history, "llm-1", "10.0.0.1:7703")->mutable_ledger()->set_total_bytes(2 << 20);
  const std::string text = PastTable(history, kNow);
  SCOPED_TRACE(text);
  EXPECT_EQ(Rows(text, "promised").size(), 2u);
  EXPECT_THAT(text,
              AllOf(HasSubstr("cpu of llm-0, vision-0: 1.00 MiB promised"), HasSubstr("cpu of llm-1: 2.00 MiB"),
                    HasSubstr("1 m 0 s ago"), HasSubstr("and 2 smaller ones"), HasSubstr("nobody held anything")));
  const auto rows = Rows(text, "active since");
  ASSERT_EQ(rows.size(), 3u);
  // A block is 1 KiB, as the worker says, whatever the pool has: 8 KiB, then 3,000 bytes, then 1 KiB.
  EXPECT_THAT(rows[0], AllOf(HasSubstr("large"), HasSubstr("8.00 KiB"), HasSubstr("1.2 s")));
  EXPECT_THAT(rows[1], AllOf(HasSubstr("picture"), HasSubstr("vision"), HasSubstr("2.93 KiB")));
  EXPECT_THAT(rows[2], AllOf(HasSubstr("small"), HasSubstr("1.00 KiB")));
  EXPECT_THAT(Rows(text, "kv_pool")[0], AllOf(HasSubstr("64.50 KiB"), HasSubstr("10.00 KiB"), HasSubstr("5.00 KiB")));
}

TEST(PastTable, NothingKnownAndNames) {
  v1::GetHistoryResponse history;
  EXPECT_THAT(PastTable(history, kNow), HasSubstr("nothing is known of any worker"));
  v1::WorkerPast* worker = AddWorker(history, "llm-0", "host:1");
  worker->clear_ledger();
  AddLeg(worker, "evil\x1b[2J", v1::ROLE_LLM, 1, 0);
  AddLeg(worker, "", v1::ROLE_LLM, 1, 0);
  worker->mutable_legs(1)->set_active_ms(-1);
  worker->mutable_legs(1)->set_left_ms(700);
  const std::string text = PastTable(history, kNow);
  EXPECT_THAT(text, AllOf(HasSubstr("no ledger is near"), HasSubstr("evil?[2J"), Not(HasSubstr("\x1b")),
                          HasSubstr("(of another scheduler)"), HasSubstr("not active yet, went on for 0.7 s")));
}

TEST(RefusalText, NumbersAndRemedies) {
  v1::RefusalView refusal;
  refusal.set_request_id("r-1");
  refusal.set_tenant("t");
  refusal.set_model("eyes");
  refusal.set_refused_by("scheduler");
  refusal.set_code(9);
  refusal.set_reason(NameOf(RefusalReason::kNeverFits));
  refusal.set_message("the request is larger than any worker");
  refusal.set_age_ms(12'000);
  refusal.set_device("cpu");
  refusal.set_unit_bytes(2048);
  refusal.mutable_shortfall()->set_budget("kv_blocks");
  refusal.mutable_shortfall()->set_worker("llm-0");
  refusal.mutable_shortfall()->set_needed(12);
  refusal.mutable_shortfall()->set_free(10);
  refusal.mutable_shortfall()->set_capacity(10);
  refusal.mutable_price()->set_prompt_tokens(61);
  refusal.mutable_price()->set_sequence_tokens(192);
  v1::Remedy* answer = refusal.add_remedies();
  answer->set_what("max_tokens");
  answer->set_now(131);
  answer->set_fits(99);
  answer->set_request(true);
  v1::Remedy* memory = refusal.add_remedies();
  memory->set_what("device.memory");
  memory->set_now(1 << 20);
  memory->set_fits((1 << 20) + 4096);
  memory->set_bytes(true);
  const std::string text = RefusalText(refusal, kNow);
  SCOPED_TRACE(text);
  EXPECT_THAT(text, AllOf(HasSubstr("r-1 of tenant t for eyes: refused by the scheduler"), HasSubstr("12 s ago"),
                          HasSubstr("FAILED_PRECONDITION NEVER_FITS"), HasSubstr("budget    kv_blocks of llm-0 on cpu"),
                          HasSubstr("needed    12 (24.00 KiB)"), HasSubstr("short by  2 (4.00 KiB)"),
                          HasSubstr("prompt of 61 tokens, max_tokens 131"), HasSubstr("max_tokens at most 99, was 131"),
                          HasSubstr("device.memory at least 1052672 (1.00 MiB), was 1048576 (1.00 MiB)")));
  EXPECT_THAT(text, Not(HasSubstr("waiting")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("meaning   ", InfoOf(RefusalReason::kNeverFits).meaning,
                                           " Retrying does not help.\n")));
}

TEST(RefusalText, ReasonsThatPassAndReasonsOfANewerCluster) {
  v1::RefusalView refusal;
  refusal.set_code(14);
  refusal.set_reason(NameOf(RefusalReason::kDraining));
  refusal.set_retry_ms(1'000);
  EXPECT_THAT(RefusalText(refusal, kNow),
              AllOf(HasSubstr("UNAVAILABLE DRAINING"), HasSubstr("meaning   "), Not(HasSubstr("does not help"))));
  refusal.set_reason("OF_A_LATER\x1b[2J_VERSION");
  EXPECT_THAT(RefusalText(refusal, kNow), AllOf(HasSubstr("UNAVAILABLE OF_A_LATER?[2J_VERSION"),
                                                Not(HasSubstr("meaning")), HasSubstr("try again in")));
}

}  // namespace
}  // namespace headroom::cli
