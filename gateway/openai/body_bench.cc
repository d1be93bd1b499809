// Pictures a second from the body of a request to the bytes that a worker gets: JSON, field table, base64. CPU time,
// so that others on the machine count little. Not a test.
#include <cstdio>
#include <functional>

#include "common/check.h"
#include "gateway/openai/data_uri.h"
#include "gateway/openai/endpoints.h"
#include "tools/bench/compare.h"

namespace headroom::gateway::openai {
namespace {

// From the body of a request to what the gateway prices.
void ReadBody(const std::string& body) {
  const Endpoint& chat = *FindEndpoint("POST", "/v1/chat/completions");
  auto json = ParseJson(body);
  HEADROOM_CHECK(json.ok()) << json.status();
  std::vector<std::string> ignored;
  HEADROOM_CHECK(CheckFields(chat.shape(), *json, UnknownFields::kRefuse, &ignored).ok());
  v1::GenerateRequest request;
  HEADROOM_CHECK(chat.read(*json, "id", &request).ok());
}

// Of one round.
double SecondsOf(int rounds, const std::function<void()>& work) {
  const auto all = [&] {
    for (int i = 0; i < rounds; ++i) work();
  };
  return runtime::CpuSeconds(all) / rounds;
}

void Measure(size_t bytes) {
  std::string picture(bytes, '\0');
  uint32_t state = 1;
  for (char& byte : picture) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  const std::string base64 = EncodeBase64(picture);
  const std::string body =
      R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,)" +
      base64 + R"("}}, {"type": "text", "text": "What does it say?"}]}]})";
  const int rounds = bytes < 1'000'000 ? 200 : 20;
  const double whole = SecondsOf(rounds, [&] { ReadBody(body); });
  const double decode = SecondsOf(rounds, [&] {
    std::string decoded;
    HEADROOM_CHECK(DecodeBase64(base64, &decoded).ok());
  });
  std::printf("picture of %7zu bytes: %8.0f a second and core; base64 takes %2.0f %% of it\n", bytes, 1 / whole,
              100 * decode / whole);
}

}  // namespace
}  // namespace headroom::gateway::openai

int main() {
  for (const size_t bytes : {size_t{300'000}, size_t{4'000'000}}) headroom::gateway::openai::Measure(bytes);
  return 0;
}
