#include "cli/ask_http.h"

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "cli/http_client.h"
#include "common/utf8.h"

namespace headroom::cli {
namespace {

using Json = nlohmann::ordered_json;

Json ContentJson(const v1::Message& message) {
  Json content = Json::array();
  for (const v1::ContentPart& part : message.content()) {
    if (part.has_image()) {
      const std::string uri = "data:;base64," + absl::Base64Escape(part.image().data());
      content.push_back({{"type", "image_url"}, {"image_url", {{"url", uri}}}});
    } else {
      content.push_back({{"type", "text"}, {"text", part.text()}});
    }
  }
  return content;
}

Json ToJson(const v1::GenerateRequest& request, const std::string& model) {
  Json body = {{"stream", true}, {"stream_options", {{"include_usage", true}}}, {"messages", Json::array()}};
  if (!model.empty()) body["model"] = model;
  for (const v1::Message& message : request.messages()) {
    body["messages"].push_back({{"role", message.role()}, {"content", ContentJson(message)}});
  }
  const v1::Sampling& sampling = request.sampling();
  if (sampling.has_temperature()) body["temperature"] = sampling.temperature();
  if (sampling.has_top_p()) body["top_p"] = sampling.top_p();
  if (sampling.has_top_k()) body["top_k"] = sampling.top_k();
  if (sampling.has_seed()) body["seed"] = sampling.seed();
  if (request.has_max_tokens()) body["max_tokens"] = request.max_tokens();
  if (request.has_max_slice_nums()) body["max_slice_nums"] = request.max_slice_nums();
  for (const std::string& stop : request.stop()) body["stop"].push_back(stop);
  return body;
}

// The words of an error, whoever wrote it.
std::string ErrorWords(const std::string& body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_object() && json.contains("error") && json["error"].is_object() && json["error"].contains("message") &&
      json["error"]["message"].is_string()) {
    return json["error"]["message"].get<std::string>();
  }
  return CutText(body, 200);
}

// What one event of the stream says.
struct Event {
  std::string text;
  std::string error;
};

Event ReadEvent(const std::string& data, v1::Finish* finish) {
  Event event;
  const Json json = Json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return event;
  if (json.contains("error")) event.error = ErrorWords(data);
  if (const auto usage = json.find("usage"); usage != json.end() && usage->is_object()) {
    v1::Usage& counts = *finish->mutable_usage();
    counts.set_prompt_tokens(usage->value("prompt_tokens", int64_t{0}));
    counts.set_completion_tokens(usage->value("completion_tokens", int64_t{0}));
  }
  const auto choices = json.find("choices");
  if (choices == json.end() || !choices->is_array() || choices->empty() || !(*choices)[0].is_object()) return event;
  const Json& choice = (*choices)[0];
  if (const auto delta = choice.find("delta"); delta != choice.end() && delta->is_object()) {
    const auto content = delta->find("content");
    if (content != delta->end() && content->is_string()) event.text = content->get<std::string>();
  }
  const auto reason = choice.find("finish_reason");
  if (reason != choice.end() && *reason == "length") finish->set_reason(v1::FINISH_REASON_LENGTH);
  return event;
}

}  // namespace

absl::StatusOr<v1::Finish> AskOverHttp(const std::string& url, const std::string& model,
                                       const v1::GenerateRequest& request,
                                       std::optional<std::chrono::milliseconds> silence_max,
                                       const std::function<void(const std::string&)>& on_text) {
  HEADROOM_ASSIGN_OR_RETURN(HttpUrl parsed, ParseHttpUrl(url));
  if (!parsed.base.ends_with("/v1")) parsed.base += "/v1";
  v1::Finish finish;
  std::string pending, error;
  bool done = false;
  const auto status = PostJson(parsed, "/chat/completions", ToJson(request, model).dump(), silence_max,
                               [&](int code, std::string_view bytes) {
                                 pending += bytes;
                                 if (code != 200) return;
                                 for (size_t end = 0; (end = pending.find('\n')) != std::string::npos;) {
                                   const std::string line = pending.substr(0, end);
                                   pending.erase(0, end + 1);
                                   if (!line.starts_with("data: ")) continue;
                                   const std::string data = line.substr(6);
                                   done = done || data.starts_with("[DONE]");
                                   const Event event = ReadEvent(data, &finish);
                                   if (!event.text.empty()) on_text(event.text);
                                   if (!event.error.empty()) error = event.error;
                                 }
                               });
  // A stream that failed says why before it breaks off.
  if (!error.empty()) return absl::UnavailableError(error);
  HEADROOM_RETURN_IF_ERROR(status.status());
  if (*status != 200) return absl::UnavailableError(absl::StrCat("status ", *status, ": ", ErrorWords(pending)));
  if (!done) return absl::UnavailableError("the answer has no end");
  return finish;
}

}  // namespace headroom::cli
