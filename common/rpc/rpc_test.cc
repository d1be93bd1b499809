#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <stop_token>
#include <thread>

#include "common/error_details.h"
#include "common/field_error.h"
#include "common/rpc/channel_directory.h"
#include "common/rpc/server_host.h"
#include "common/rpc/status.h"
#include "headroom/v1/scheduler.grpc.pb.h"

namespace headroom::rpc {
namespace {

TEST(StatusTest, DetailsSurviveTheWire) {
  ErrorDetails details;
  details.reason = "OF_A_LATER_VERSION";
  details.metadata = {{"budget", "kv_blocks"}, {"needed", "12"}};
  details.retry_delay = std::chrono::milliseconds(1500);
  const absl::Status sent = WithDetails(absl::ResourceExhaustedError("12 blocks wanted, 3 free"), details);
  const absl::Status received = FromGrpc(ToGrpc(sent));
  EXPECT_EQ(received.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(received.message()), "12 blocks wanted, 3 free");
  const ErrorDetails got = GetDetails(received);
  EXPECT_EQ(got.reason, details.reason);
  EXPECT_EQ(got.metadata, details.metadata);
  EXPECT_EQ(got.retry_delay, details.retry_delay);
  EXPECT_EQ(ReasonOf(received), std::nullopt);
}

TEST(StatusTest, TheFieldThatIsWrongIsNamed) {
  const absl::Status received = FromGrpc(ToGrpc(FieldError("sampling.seed", absl::InvalidArgumentError("is odd"))));
  EXPECT_EQ(received.message(), "sampling.seed: is odd");
  EXPECT_EQ(FieldOf(received), "sampling.seed");
  EXPECT_EQ(FieldOf(absl::InvalidArgumentError("x")), "");
  EXPECT_TRUE(FieldError("any", absl::OkStatus()).ok());
}

TEST(StatusTest, RefusalsHaveTheCodeAndNameOfTheTable) {
  for (const RefusalReasonInfo& info : RefusalReasons()) {
    const absl::Status status =
        FromGrpc(ToGrpc(WithPrefix("image 2: ", RefusalError(info.reason, "why", {{"k", "v"}}))));
    EXPECT_EQ(status.code(), info.code);
    EXPECT_EQ(status.message(), "image 2: why");
    EXPECT_EQ(GetDetails(status).reason, info.name);
    EXPECT_EQ(ReasonOf(status), info.reason);
  }
  EXPECT_EQ(ReasonOf(absl::UnavailableError("broken")), std::nullopt);
  EXPECT_DEATH(RefusalError(RefusalReason::kNeverFits, "no", {}, std::chrono::seconds(1)), "NEVER_FITS");
}

TEST(StatusTest, EveryCodeKeepsItsNumber) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "x");
    EXPECT_EQ(ToGrpc(status).error_code(), code);
    EXPECT_EQ(FromGrpc(ToGrpc(status)), status);
  }
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok());
}

TEST(StatusTest, GarbageDetailsAreDropped) {
  const absl::Status status = FromGrpc(grpc::Status(grpc::StatusCode::INTERNAL, "x", "\xff\xff garbage"));
  EXPECT_EQ(GetDetails(status).reason, "");
}

// gRPC starts no server that has no method at all.
using AnyService = v1::Scheduler::CallbackService;

TEST(ServerHostTest, TakesAFreePortAndRefusesATakenOne) {
  AnyService service;
  ServerHost host({.listen = "127.0.0.1:0"});
  ASSERT_TRUE(host.Start({&service}).ok());
  EXPECT_NE(host.address(), "127.0.0.1:0");
  ServerHost second({.listen = host.address()});
  EXPECT_EQ(second.Start({&service}).code(), absl::StatusCode::kUnavailable);
}

TEST(CallMetricsTest, CallsCountByMethodAndCode) {
  auto metrics = Metrics::Create("");
  ASSERT_TRUE(metrics.ok());
  AnyService service;  // answers UNIMPLEMENTED
  ServerHost host({.listen = "", .metrics = metrics->get()});
  ASSERT_TRUE(host.Start({&service}).ok());
  const auto channel = host.server()->InProcessChannel({});
  const auto stub = v1::Scheduler::NewStub(channel);
  for (int i = 0; i < 3; ++i) {
    grpc::ClientContext context;
    v1::RenewResponse response;
    EXPECT_EQ(stub->Renew(&context, {}, &response).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  }
  host.Shutdown(Duration::zero());
  const std::string text = (*metrics)->Render();
  EXPECT_THAT(text, testing::HasSubstr("headroom_grpc_server_calls_total{code=\"UNIMPLEMENTED\",method=\"Renew\","
                                       "service=\"Scheduler\"} 3"));
  EXPECT_THAT(text, testing::HasSubstr("headroom_grpc_server_call_seconds_count{method=\"Renew\","
                                       "service=\"Scheduler\"} 3"));
}

TEST(ChannelDirectoryTest, InProcessNamesMustBeRegistered) {
  ChannelDirectory directory;
  EXPECT_EQ(directory.Get("inproc:nobody").status().code(), absl::StatusCode::kNotFound);
  AnyService service;
  ServerHost host({.listen = ""});
  ASSERT_TRUE(host.Start({&service}).ok());
  directory.Register("inproc:somebody", host.server());
  EXPECT_TRUE(directory.Get("inproc:somebody").ok());
  directory.Unregister("inproc:somebody");
  EXPECT_FALSE(directory.Get("inproc:somebody").ok());
}

TEST(ChannelDirectoryTest, WaitsForAPeerThatIsRestarted) {
  AnyService service;
  ServerHost first({.listen = "127.0.0.1:0"});
  ASSERT_TRUE(first.Start({&service}).ok());
  const std::string address = first.address();
  ChannelDirectory directory;
  EXPECT_TRUE(directory.GetConnected(address, {}).ok());
  first.Shutdown(Duration::zero());
  AnyService successor;
  ServerHost second({.listen = address});
  std::jthread restart([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_TRUE(second.Start({&successor}).ok());
  });
  EXPECT_TRUE(directory.GetConnected(address, {}).ok());
}

TEST(ChannelDirectoryTest, GivesUpOnAPeerThatStaysAway) {
  AnyService service;
  ServerHost host({.listen = "127.0.0.1:0"});
  ASSERT_TRUE(host.Start({&service}).ok());
  const std::string address = host.address();
  host.Shutdown(Duration::zero());
  ChannelDirectory directory;
  std::stop_source stop;
  EXPECT_EQ(directory.GetConnected(address, stop.get_token()).status().code(), absl::StatusCode::kUnavailable);
  stop.request_stop();
  EXPECT_EQ(directory.GetConnected(address, stop.get_token()).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(directory.GetConnected("inproc:nobody", {}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace headroom::rpc
