#include "common/rpc/call_metrics.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "common/clock.h"

namespace headroom::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

constexpr char kCalls[] = "headroom_grpc_server_calls_total";
constexpr char kCallSeconds[] = "headroom_grpc_server_call_seconds";
constexpr char kPackage[] = "/headroom.v1.";

// In the order of their numbers, 0 to 16.
constexpr std::array<const char*, 17> kCodes = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

using Method = std::pair<std::string, std::string>;  // service, method

bool Declared(const std::string& label, const std::string& value) {
  for (const MetricLabel& declared : FindMetric(MetricCatalogue(), kCalls)->labels) {
    if (label != declared.name) continue;
    const std::vector<std::string> values = ClosedValues(declared);
    return std::find(values.begin(), values.end(), value) != values.end();
  }
  return false;
}

// "/headroom.v1.Gateway/Generate".
Method MethodOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (path.rfind(kPackage, 0) == 0 && slash >= sizeof(kPackage) - 1) {
    Method method(path.substr(sizeof(kPackage) - 1, slash - sizeof(kPackage) + 1), path.substr(slash + 1));
    if (Declared("service", method.first) && Declared("method", method.second)) return method;
  }
  return {"other", "other"};
}

// One series is made when its first call ends, so that a process shows no methods that it does not serve.
class CallMetrics {
 public:
  explicit CallMetrics(Metrics& metrics) : metrics_(metrics) {}

  void Record(const Method& method, grpc::StatusCode code, double seconds) {
    const size_t number = std::min<size_t>(static_cast<size_t>(std::max<int>(code, 0)), kCodes.size());
    const std::string name = number < kCodes.size() ? kCodes[number] : "UNKNOWN";
    const MetricLabels labels = {{"service", method.first}, {"method", method.second}};
    MetricLabels with_code = labels;
    with_code["code"] = name;
    std::lock_guard lock(mutex_);
    auto& counters = calls_[method];
    auto counter = counters.find(name);
    if (counter == counters.end()) counter = counters.emplace(name, metrics_.AddCounter(kCalls, with_code)).first;
    auto timer = seconds_.find(method);
    if (timer == seconds_.end()) timer = seconds_.emplace(method, metrics_.AddHistogram(kCallSeconds, labels)).first;
    counter->second.Increment();
    timer->second.Observe(seconds);
  }

 private:
  Metrics& metrics_;
  std::mutex mutex_;
  std::map<Method, std::map<std::string, Counter>> calls_;
  std::map<Method, Histogram> seconds_;
};

class CallTimer : public Interceptor {
 public:
  CallTimer(std::shared_ptr<CallMetrics> metrics, const char* path)
      : metrics_(std::move(metrics)), method_(MethodOf(path)), begin_(SystemClock().Now()) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      metrics_->Record(method_, methods->GetSendStatus().error_code(), Seconds(SystemClock().Now() - begin_));
    }
    methods->Proceed();
  }

 private:
  const std::shared_ptr<CallMetrics> metrics_;
  const Method method_;
  const TimePoint begin_;
};

class CallTimers : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallTimers(Metrics& metrics) : metrics_(std::make_shared<CallMetrics>(metrics)) {}

  // gRPC owns and deletes it.
  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override { return new CallTimer(metrics_, info->method()); }

 private:
  const std::shared_ptr<CallMetrics> metrics_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallMetrics(Metrics& metrics) {
  return std::make_unique<CallTimers>(metrics);
}

}  // namespace headroom::rpc
