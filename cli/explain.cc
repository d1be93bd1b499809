// headroom explain: who held how much at a moment of the recent past, why a request was refused and what would have
// made it fit, and how a line of a plan comes about.
#include <google/protobuf/util/json_util.h>
#include <grpcpp/client_context.h>

#include <cstdio>

#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/past_table.h"
#include "common/flags.h"

namespace headroom::cli {
namespace {

constexpr char kName[] = "headroom explain";
constexpr std::chrono::seconds kTimeout(10);
// Holders that are shown beside a refusal.
constexpr int64_t kHoldersOfRefusal = 10;

constexpr char kHelp[] =
    "headroom explain --at MOMENT [flags]      who held how much at a moment of the recent past\n"
    "headroom explain refusal [REQUEST_ID]     why a request was refused, and what would have made it fit\n"
    "headroom explain plan LINE MODEL [flags]  how a line of a plan comes about, with its numbers\n\n"
    "headroom explain refusal --help and headroom explain plan --help say more.\n\n";

struct ExplainOptions {
  std::string gateway = kDefaultGateway;
  std::string at;
  std::string span;
  std::string worker;
  std::optional<int64_t> count;
  bool json = false;
};

int PrintJson(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  if (!google::protobuf::util::MessageToJsonString(message, &text, options).ok()) {
    return Fail(kName, "the answer cannot be written as JSON", 1);
  }
  fputs(text.c_str(), stdout);
  return 0;
}

absl::StatusOr<v1::GetHistoryResponse> AskHistory(v1::Gateway::Stub& stub, const std::string& gateway,
                                                  const v1::GetHistoryRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  v1::GetHistoryResponse response;
  const grpc::Status status = stub.GetHistory(&context, request, &response);
  if (!status.ok()) return absl::UnavailableError(Explain(status, gateway));
  return response;
}

int ExplainMoment(const ExplainOptions& options) {
  const WallTime now = std::chrono::system_clock::now();
  const auto age_ms = ParseAgeMs(options.at, now);
  if (!age_ms.ok()) return Fail(kName, std::string(age_ms.status().message()), 2);
  v1::GetHistoryRequest request;
  request.set_age_ms(*age_ms);
  request.set_worker(options.worker);
  request.set_legs_max(options.count.value_or(0));
  if (!options.span.empty()) {
    const auto span_ms = ParseSpanMs(options.span);
    if (!span_ms.ok()) return Fail(kName, "--for: " + std::string(span_ms.status().message()), 2);
    request.set_span_ms(*span_ms);
  }
  const auto stub = Connect(options.gateway);
  const auto response = AskHistory(*stub, options.gateway, request);
  if (!response.ok()) return Fail(kName, std::string(response.status().message()), 1);
  if (options.json) return PrintJson(*response);
  fputs(PastTable(*response, now).c_str(), stdout);
  // Before the scheduler's start nothing is known: what was printed is the oldest that it has.
  if (response->age_ms() + 1'000 < *age_ms) {
    fprintf(stderr, "%s: the scheduler does not remember so far back; shown is the oldest that it knows\n", kName);
    return 1;
  }
  return 0;
}

// Who held the budget that was short when the refusal was made.
std::string HoldersThen(v1::Gateway::Stub& stub, const ExplainOptions& options, const v1::RefusalView& refusal) {
  if (refusal.shortfall().worker().empty() || refusal.since_begin_ms() == 0) return "";
  v1::GetHistoryRequest request;
  request.set_since_begin_ms(refusal.since_begin_ms());
  request.set_worker(refusal.shortfall().worker());
  request.set_legs_max(kHoldersOfRefusal);
  const auto history = AskHistory(stub, options.gateway, request);
  if (!history.ok()) return "";
  return "\nwho held what then: " + PastTable(*history, std::chrono::system_clock::now());
}

int ExplainRefusal(const std::vector<std::string>& arguments) {
  ExplainOptions options;
  Flags flags(
      "headroom explain refusal [flags] [REQUEST_ID]",
      "Explains the latest refusal, or the latest of that request: which budget was short, on which device, by\n"
      "how much, what would have made it fit, and who held it then.");
  flags.Address("gateway", &options.gateway, "address of the gateway");
  flags.OptionalInteger("count", &options.count, "how many of the latest refusals (default 1)");
  flags.Switch("json", &options.json, "prints JSON");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) return fputs(flags.Help().c_str(), stdout), 0;
  if (!rest.ok()) return Fail(kName, std::string(rest.status().message()), 2);
  if (rest->size() > 1) return Fail(kName, "unexpected argument '" + rest->at(1) + "'", 2);
  v1::GetRefusalsRequest request;
  request.set_count(options.count.value_or(1));
  if (!rest->empty()) request.set_request_id(rest->front());
  const auto stub = Connect(options.gateway);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kTimeout);
  v1::GetRefusalsResponse response;
  const grpc::Status status = stub->GetRefusals(&context, request, &response);
  if (!status.ok()) return Fail(kName, Explain(status, options.gateway), 1);
  if (options.json) return PrintJson(response);
  if (response.refusals().empty()) {
    return Fail(kName, rest->empty() ? "no request was refused lately" : "no refusal of that request is remembered", 1);
  }
  const WallTime now = std::chrono::system_clock::now();
  std::string text;
  for (const v1::RefusalView& refusal : response.refusals()) {
    if (!text.empty()) text += "\n";
    text += RefusalText(refusal, now);
  }
  if (response.refusals_size() == 1) text += HoldersThen(*stub, options, response.refusals(0));
  fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace

int ExplainCommand(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && arguments.front() == "refusal") {
    return ExplainRefusal({arguments.begin() + 1, arguments.end()});
  }
  if (!arguments.empty() && arguments.front() == "plan") {
    return ExplainPlan({arguments.begin() + 1, arguments.end()});
  }
  ExplainOptions options;
  Flags flags("headroom explain --at MOMENT [flags]",
              "Who held how much at a moment of the recent past. MOMENT: now, -5m, 12:04, 12:04:30 (local time) or\n"
              "2026-11-22T12:04:30Z. Exit status 1: the scheduler does not remember so far back.");
  flags.Text("at", &options.at, "the moment");
  flags.Text("for", &options.span, "also how reserved and used bytes went during so long before it, as in 10m");
  flags.Text("worker", &options.worker, "of this worker only");
  flags.OptionalInteger("count", &options.count, "most holders that are shown (default 200)");
  flags.Address("gateway", &options.gateway, "address of the gateway");
  flags.Switch("json", &options.json, "prints JSON");
  const auto rest = flags.Parse(arguments);
  if (absl::IsCancelled(rest.status())) return fputs((kHelp + flags.Help()).c_str(), stdout), 0;
  if (!rest.ok()) return Fail(kName, std::string(rest.status().message()), 2);
  if (!rest->empty()) return Fail(kName, "unexpected argument '" + rest->front() + "'; see --help", 2);
  if (options.at.empty()) return fputs(kHelp, stderr), 2;
  return ExplainMoment(options);
}

}  // namespace headroom::cli
