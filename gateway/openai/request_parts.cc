#include "gateway/openai/request_parts.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "common/utf8.h"
#include "gateway/openai/data_uri.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/fields.h"

namespace headroom::gateway::openai {
namespace {

constexpr double kBiasMax = 100;
constexpr size_t kFormatNameBytesMax = 64;

absl::Status ReadBias(const Json& bias, v1::Sampling* sampling) {
  for (const auto& [name, value] : bias.items()) {
    const std::string param = "logit_bias." + CutText(name, 64);
    int32_t token = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), token);
    if (error != std::errc() || end != name.data() + name.size() || token < 0) {
      return RequestError("invalid_value", param, param + ": the name must be a token id");
    }
    if (!value.is_number() || std::abs(value.get<double>()) > kBiasMax) {
      return RequestError("invalid_value", param, param + " must be a number in [-100, 100]");
    }
    (*sampling->mutable_logit_bias())[token] = value.get<float>();
  }
  return absl::OkStatus();
}

template <typename Set>
void IfNumber(const Json& body, const char* name, Set set) {
  if (const Json* value = Find(body, name); value != nullptr) set(value->get<float>());
}

}  // namespace

std::string TakeString(Json& object, const char* name) {
  Json* const member = Find(object, name);
  return member == nullptr ? std::string() : std::move(member->get_ref<std::string&>());
}

int64_t IntegerOr(const Json& object, const char* name, int64_t otherwise) {
  const Json* const member = Find(object, name);
  return member == nullptr ? otherwise : member->get<int64_t>();
}

bool BooleanOr(const Json& object, const char* name, bool otherwise) {
  const Json* const member = Find(object, name);
  return member == nullptr ? otherwise : member->get<bool>();
}

void ReadStreamOptions(const Json& body, AnswerOptions* options) {
  options->stream = BooleanOr(body, "stream", false);
  const Json* const given = Find(body, "stream_options");
  options->include_usage = given != nullptr && BooleanOr(*given, "include_usage", false);
}

absl::Status ReadImage(Json& image_url, const std::string& detail, const std::string& param, v1::Image* image) {
  const bool bare = image_url.is_string();
  const std::string uri = bare ? std::move(image_url.get_ref<std::string&>()) : TakeString(image_url, "url");
  const std::string own = bare ? detail : TakeString(image_url, "detail");
  if (own == "low") image->set_max_slice_nums(1);
  return AtField(bare ? param : param + ".url", DecodeDataUri(uri, image->mutable_data()));
}

absl::Status ReadSampling(const Json& body, v1::GenerateRequest* request) {
  v1::Sampling* const sampling = request->mutable_sampling();
  IfNumber(body, "temperature", [&](float value) { sampling->set_temperature(value); });
  IfNumber(body, "top_p", [&](float value) { sampling->set_top_p(value); });
  IfNumber(body, "min_p", [&](float value) { sampling->set_min_p(value); });
  IfNumber(body, "repetition_penalty", [&](float value) { sampling->set_repetition_penalty(value); });
  IfNumber(body, "presence_penalty", [&](float value) { sampling->set_presence_penalty(value); });
  IfNumber(body, "frequency_penalty", [&](float value) { sampling->set_frequency_penalty(value); });
  if (Find(body, "top_k") != nullptr) sampling->set_top_k(static_cast<int32_t>(IntegerOr(body, "top_k", 0)));
  if (const Json* seed = Find(body, "seed"); seed != nullptr) {
    // Negative ones, which OpenAI takes, are the numbers that have the same bits.
    sampling->set_seed(seed->is_number_unsigned() ? seed->get<uint64_t>()
                                                  : static_cast<uint64_t>(seed->get<int64_t>()));
  }
  if (const Json* bias = Find(body, "logit_bias"); bias != nullptr) {
    HEADROOM_RETURN_IF_ERROR(ReadBias(*bias, sampling));
  }
  if (Find(body, "min_tokens") != nullptr) {
    request->set_min_tokens(static_cast<int32_t>(IntegerOr(body, "min_tokens", 0)));
  }
  request->set_ignore_eos(BooleanOr(body, "ignore_eos", false));
  if (const Json* ids = Find(body, "stop_token_ids"); ids != nullptr) {
    for (const Json& id : *ids) {
      const auto token = id.get<int64_t>();
      if (token < 0 || token > INT32_MAX) {
        return RequestError("invalid_value", "stop_token_ids",
                            absl::StrCat("stop_token_ids: ", token, " is no token id"));
      }
      request->add_stop_token_ids(static_cast<int32_t>(token));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadStop(Json& body, v1::GenerateRequest* request) {
  Json* const stop = Find(body, "stop");
  if (stop == nullptr) return absl::OkStatus();
  if (stop->is_string()) {
    request->add_stop(std::move(stop->get_ref<std::string&>()));
    return absl::OkStatus();
  }
  for (Json& text : *stop) request->add_stop(std::move(text.get_ref<std::string&>()));
  return absl::OkStatus();
}

void ReadExtensions(Json& body, const std::string& request_id, v1::GenerateRequest* request) {
  request->set_priority(static_cast<int32_t>(IntegerOr(body, "priority", 0)));
  request->set_request_id(TakeString(body, "request_id"));
  if (request->request_id().empty()) request->set_request_id(request_id);
}

absl::Status ReadResponseFormat(const std::string& type, const Json* schema, const std::string& param,
                                v1::GenerateRequest* request) {
  if (type == "json_object") request->mutable_response_format()->set_json_object(true);
  if (type != "json_schema") return absl::OkStatus();
  const Json* const text = schema == nullptr ? nullptr : Find(*schema, "schema");
  if (text == nullptr) {
    return RequestError("missing_required_parameter", param, param + ": json_schema wants a schema");
  }
  const Json* const name = Find(*schema, "name");
  const size_t length = name == nullptr ? 0 : name->get_ref<const std::string&>().size();
  if (length < 1 || length > kFormatNameBytesMax) {
    const std::string beside = param.substr(0, param.rfind('.')) + ".name";
    return RequestError("invalid_value", beside,
                        absl::StrCat(beside, " has ", length, " bytes; it must be 1 to ", kFormatNameBytesMax));
  }
  request->mutable_response_format()->set_json_schema(WriteJson(*text));
  return absl::OkStatus();
}

absl::Status ReadToolChoice(const std::string& mode, v1::GenerateRequest* request) {
  if (mode == "required" && request->tools_size() == 0) {
    return RequestError("invalid_value", "tool_choice", "tool_choice is required, and there are no tools");
  }
  if (request->tools_size() == 0) return absl::OkStatus();
  v1::ToolChoice* const choice = request->mutable_tool_choice();
  choice->set_mode(mode == "none"       ? v1::ToolChoice::NONE
                   : mode == "required" ? v1::ToolChoice::REQUIRED
                                        : v1::ToolChoice::AUTO);
  return absl::OkStatus();
}

absl::Status ReadChosenFunction(const std::string& name, const std::string& param, v1::GenerateRequest* request) {
  const bool known = std::any_of(request->tools().begin(), request->tools().end(),
                                 [&](const v1::Tool& tool) { return tool.name() == name; });
  if (!known) {
    return RequestError("invalid_value", param,
                        absl::StrCat(param, ": no tool has the name '", CutText(name, 64), "'"));
  }
  request->mutable_tool_choice()->set_mode(v1::ToolChoice::REQUIRED);
  request->mutable_tool_choice()->set_function(name);
  return absl::OkStatus();
}

}  // namespace headroom::gateway::openai
