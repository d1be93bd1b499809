// What comes from a client: JSON within bounds, data URIs, the field table.
#include <gmock/gmock.h>

#include <cstring>

#include "gateway/openai/data_uri.h"
#include "gateway/openai/embeddings.h"
#include "gateway/openai/endpoints.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/fields.h"
#include "gateway/openai/json.h"

namespace headroom::gateway::openai {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
}

Json ErrorOf(const absl::Status& status) { return Json::parse(ErrorBody(status))["error"]; }

TEST(JsonTest, KeepsOrderAndValues) {
  const auto json = ParseJson(R"({"b": [1, -2, 3.5, true, null, "\u00e9\n"], "a": {}})");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(WriteJson(*json), "{\"b\":[1,-2,3.5,true,null,\"é\\n\"],\"a\":{}}");
}

TEST(JsonTest, RefusesWhatIsNone) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\":1,}", "nul", "'a'", "{a:1}", "01", "1 2", "\"\xff\"", "\"\n\"",
                           "// c\n1", "\"\\ud800\"", "NaN", "[1}"}) {
    const auto json = ParseJson(text);
    ASSERT_FALSE(json.ok()) << text;
    EXPECT_EQ(ErrorOf(json.status())["code"], "invalid_json") << text;
  }
}

TEST(JsonTest, BoundsDepthMembersAndValues) {
  EXPECT_TRUE(ParseJson(Nested(kJsonDepthMax)).ok());
  EXPECT_THAT(ParseJson(Nested(kJsonDepthMax + 1)).status().message(), HasSubstr("deeper than 64"));
  const auto object = [](int64_t members) {
    std::string text = "{";
    for (int64_t i = 0; i < members; ++i) absl::StrAppend(&text, i == 0 ? "" : ",", "\"", i, "\":0");
    return text + "}";
  };
  EXPECT_TRUE(ParseJson(object(kJsonMembersMax)).ok());
  EXPECT_THAT(ParseJson(object(kJsonMembersMax + 1)).status().message(), HasSubstr("more than 4096 members"));
  const auto list = [](int64_t values) {
    std::string text = "[0";
    for (int64_t i = 2; i < values; ++i) text += ",0";
    return text + "]";
  };
  EXPECT_TRUE(ParseJson(list(kJsonValuesMax)).ok());
  EXPECT_THAT(ParseJson(list(kJsonValuesMax + 1)).status().message(), HasSubstr("more than 262144 values"));
  EXPECT_THAT(ParseJson(R"({"a": 1, "a": 2})").status().message(), HasSubstr("'a' twice"));
}

TEST(DataUriTest, DecodesWhatClientsSend) {
  for (const char* uri :
       {"data:image/png;base64,aGVhZHJvb20=", "DATA:;BASE64,aGVhZHJvb20", "data:text/x;a=b;base64,aGVh\nZHJvb20="}) {
    std::string bytes;
    EXPECT_TRUE(DecodeDataUri(uri, &bytes).ok()) << uri;
    EXPECT_EQ(bytes, "headroom") << uri;
  }
  std::string bytes;
  for (int value = 0; value < 1000; ++value) bytes += static_cast<char>(value * 7);
  std::string back;
  ASSERT_TRUE(DecodeBase64(EncodeBase64(bytes), &back).ok());
  EXPECT_EQ(back, bytes);
}

TEST(DataUriTest, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {{"https://example.com/a.png", "no data URI"},
                                                       {"", "no data URI"},
                                                       {"data:image/png;base64", "without a comma"},
                                                       {"data:image/png,abc", "without ;base64"},
                                                       {"data:;base64,", "without data"},
                                                       {"data:;base64,a?b", "no base64"}};
  for (const auto& [uri, words] : cases) {
    std::string bytes;
    EXPECT_THAT(DecodeDataUri(uri, &bytes).message(), HasSubstr(words)) << uri;
  }
}

// The error of a chat body with this beside its messages.
Json ChatError(const std::string& members, UnknownFields unknown = UnknownFields::kRefuse) {
  std::vector<std::string> ignored;
  const auto body =
      ParseJson(R"({"messages": [{"role": "user", "content": "x"}])" + (members.empty() ? "" : ", " + members) + "}");
  EXPECT_TRUE(body.ok()) << body.status();
  const absl::Status checked = CheckFields(ChatShape(), *body, unknown, &ignored);
  return checked.ok() ? Json() : ErrorOf(checked);
}

TEST(FieldsTest, NullIsAbsentEverywhere) {
  for (const Endpoint& endpoint : Endpoints()) {
    if (endpoint.shape == nullptr) continue;
    for (const Field& field : endpoint.shape().fields) {
      if (field.required) continue;
      Json body = Json::object();
      for (const Field& other : endpoint.shape().fields) {
        if (other.required) body[other.name] = other.types & kString ? Json("x") : Json::array();
      }
      body[field.name] = nullptr;
      std::vector<std::string> ignored;
      const absl::Status checked = CheckFields(endpoint.shape(), body, UnknownFields::kRefuse, &ignored);
      // The stand-ins of the others may be out of range; this one is never the cause.
      const Json param = checked.ok() ? Json() : ErrorOf(checked)["param"];
      EXPECT_NE(param, field.name) << endpoint.path << " " << field.name;
    }
  }
}

// Every field of the table against its own row: a type that it does not have, and just outside of its range.
TEST(FieldsTest, EveryFieldKeepsToItsRow) {
  for (const Field& field : ChatShape().fields) {
    SCOPED_TRACE(field.name);
    const std::string name = absl::StrCat("\"", field.name, "\": ");
    if (std::string(field.name) == "messages") continue;
    if (field.handling == Handling::kRefused) {
      EXPECT_EQ(ChatError(name + "[1]")["code"], "unsupported_parameter");
      EXPECT_TRUE(ChatError(name + "[]").is_null());
      continue;
    }
    for (const auto& [type, text] :
         {std::pair(kBoolean, "true"), {kNumber, "0.5"}, {kString, "\"x\""}, {kArray, "[]"}, {kObject, "{}"}}) {
      if ((field.types & type) != 0 || ((field.types & kInteger) != 0 && type == kNumber)) continue;
      EXPECT_EQ(ChatError(name + text)["code"], "invalid_type") << text;
      EXPECT_EQ(ChatError(name + text)["param"], field.name);
    }
    if ((field.types & (kInteger | kNumber)) == 0) continue;
    if (field.handling == Handling::kDone) {
      EXPECT_EQ(ChatError(name + "-1e30")["param"], field.name);
      EXPECT_EQ(ChatError(name + "1e30")["param"], field.name);
    }
  }
}

TEST(FieldsTest, RangesListsAndUnknownNames) {
  EXPECT_TRUE(ChatError("").is_null());
  EXPECT_TRUE(ChatError("\"temperature\": 2, \"top_p\": 1, \"n\": 16.0, \"store\": false, \"modalities\": [\"text\"]")
                  .is_null());
  EXPECT_EQ(ChatError("\"top_p\": 0")["message"], "top_p is 0; it must be in (0, 1]");
  EXPECT_EQ(ChatError("\"n\": 17")["message"], "n is 17; it must be in [1, 16]");
  EXPECT_EQ(ChatError("\"store\": true")["code"], "unsupported_value");
  EXPECT_EQ(ChatError("\"tool_choice\": \"any\"")["code"], "unsupported_value");
  EXPECT_EQ(ChatError("\"response_format\": {\"type\": \"text\", \"x\": 1}")["param"], "response_format.x");
  EXPECT_EQ(ChatError("\"tools\": [{\"type\": \"function\", \"function\": {}}]")["param"], "tools[0].function.name");
  EXPECT_EQ(ChatError("\"temprature\": 1")["code"], "unknown_parameter");
  EXPECT_TRUE(ChatError("\"temprature\": 1", UnknownFields::kIgnore).is_null());
  EXPECT_EQ(ChatError("\"functions\": [{}]", UnknownFields::kIgnore)["code"], "unsupported_parameter");
}

// Pieces of 3 rows and 1, two numbers a row, in messages that end inside the first piece.
TEST(EmbeddingsAnswerTest, RowsOfPiecesOfDifferentSizeAreOneEntry) {
  for (const EncodingFormat format : {EncodingFormat::kFloat, EncodingFormat::kBase64}) {
    EmbeddingsAnswer answer({}, format);
    std::string text;
    float next = 0;
    const struct { int64_t piece, first_row, rows; } messages[] = {{0, 0, 2}, {0, 2, 1}, {1, 0, 1}};
    for (const auto& [piece, first_row, rows] : messages) {
      v1::EmbedResponse message;
      for (const int64_t of_piece : {3, 1}) message.add_piece_rows(of_piece);
      message.set_piece(piece);
      message.set_first_row(first_row);
      message.set_columns(2);
      for (int64_t i = 0; i < 2 * rows; ++i, ++next) {
        message.mutable_values()->append(reinterpret_cast<const char*>(&next), sizeof next);
      }
      if (piece == 1) message.mutable_finish()->mutable_usage()->set_prompt_tokens(4);
      text += answer.Piece(message);
    }
    const Json whole = Json::parse(text);
    ASSERT_EQ(whole["data"].size(), 1u);
    const Json& entry = whole["data"][0];
    EXPECT_EQ(entry["shape"], Json({4, 2}));
    EXPECT_EQ(entry["piece_rows"], Json({3, 1}));
    EXPECT_EQ(whole["usage"]["prompt_tokens"], 4);
    if (format == EncodingFormat::kFloat) {
      EXPECT_EQ(entry["embedding"], Json({0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0}));
    } else {
      std::string bytes;
      ASSERT_TRUE(DecodeBase64(entry["embedding"].get<std::string>(), &bytes).ok());
      ASSERT_EQ(bytes.size(), 8 * sizeof(float));
      for (size_t i = 0; i < 8; ++i) {
        float value = 0;
        std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
        EXPECT_EQ(value, static_cast<float>(i));
      }
    }
  }
}

TEST(FieldsTest, IgnoredNamesAreTold) {
  const auto body = ParseJson(R"({"messages": [{"role": "user", "content": "x", "mood": 1}], "speed": 2})");
  std::vector<std::string> ignored;
  EXPECT_TRUE(CheckFields(ChatShape(), *body, UnknownFields::kIgnore, &ignored).ok());
  EXPECT_THAT(ignored, ElementsAre("messages[0].mood", "speed"));
}

}  // namespace
}  // namespace headroom::gateway::openai
