#include "gateway/openai/embeddings.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/openai/common_fields.h"
#include "gateway/openai/data_uri.h"
#include "gateway/openai/errors.h"
#include "gateway/openai/fields.h"
#include "gateway/openai/request_parts.h"

namespace headroom::gateway::openai {
namespace {

absl::Status ReadPicture(const std::string& text, const std::string& param, v1::EmbedRequest* request) {
  if (!IsDataUri(text)) {
    return RequestError("unsupported_value", param,
                        param +
                            " is a text: embeddings are made of pictures alone, which come as data URIs "
                            "(data:image/png;base64,…)");
  }
  return AtField(param, DecodeDataUri(text, request->add_images()->mutable_data()));
}

}  // namespace

const Shape& EmbeddingsShape() {
  static const Shape shape{
      "EmbeddingsRequest",
      Join({ModelField(),
            {{.name = "input",
              .types = kString | kArray,
              .help = "a picture as a data URI in base64, or a list of them; text is refused",
              .required = true,
              .least = 1,
              .most = 4096,
              .items = kString},
             {.name = "encoding_format",
              .types = kString,
              .help = "float: numbers; base64: of float32, little endian",
              .values = "float|base64"},
             {"max_slice_nums", kInteger, "pieces of a picture; absent: the model's", Handling::kDone, false, 1, 256}},
            ExtensionFields(),
            {{"user", kString, "", Handling::kInert}},
            Refused({{"dimensions", "rows are as wide as the model reads them"}})})};
  return shape;
}

absl::Status ReadEmbeddingsRequest(Json& body, const std::string& request_id, v1::EmbedRequest* request,
                                   EncodingFormat* format) {
  request->set_model(TakeString(body, "model"));
  request->set_priority(static_cast<int32_t>(IntegerOr(body, "priority", 0)));
  request->set_request_id(TakeString(body, "request_id"));
  if (request->request_id().empty()) request->set_request_id(request_id);
  if (Find(body, "max_slice_nums") != nullptr) {
    request->set_max_slice_nums(static_cast<int32_t>(IntegerOr(body, "max_slice_nums", 0)));
  }
  *format = TakeString(body, "encoding_format") == "base64" ? EncodingFormat::kBase64 : EncodingFormat::kFloat;
  Json& input = *Find(body, "input");
  if (input.is_string()) return ReadPicture(std::exchange(input.get_ref<std::string&>(), {}), "input", request);
  for (size_t i = 0; i < input.size(); ++i) {
    const std::string text = std::exchange(input[i].get_ref<std::string&>(), {});
    HEADROOM_RETURN_IF_ERROR(ReadPicture(text, absl::StrCat("input[", i, "]"), request));
  }
  return absl::OkStatus();
}

std::string EmbeddingsAnswer::Piece(const v1::EmbedResponse& piece) {
  std::string text;
  if (!std::exchange(begun_, true)) {
    text = absl::StrCat(R"({"object":"list","model":)", WriteJson(head_.model), R"(,"data":[)");
  }
  const auto& piece_rows = piece.piece_rows();
  const bool first = piece.piece() == 0 && piece.first_row() == 0;
  const int64_t here = static_cast<int64_t>(piece.values().size() / sizeof(float)) / piece.columns();
  const bool last =
      piece.piece() + 1 == piece_rows.size() && piece.first_row() + here == piece_rows[static_cast<int>(piece.piece())];
  const bool base64 = format_ == EncodingFormat::kBase64;
  if (first) {
    absl::StrAppend(&text, piece.image() == 0 ? "" : ",", R"({"object":"embedding","index":)", piece.image(),
                    R"(,"shape":[)", std::accumulate(piece_rows.begin(), piece_rows.end(), int64_t{0}), ",",
                    piece.columns(), R"(],"piece_rows":[)", absl::StrJoin(piece_rows, ","), R"(],"embedding":)",
                    base64 ? "\"" : "[");
  } else if (!base64) {
    text += ',';
  }
  base64 ? AppendBase64(piece.values(), last, &text) : AppendFloats(piece.values(), &text);
  if (last) text += base64 ? "\"}" : "]}";
  if (!piece.has_finish()) return text;
  const int64_t tokens = piece.finish().usage().prompt_tokens();
  const Json usage = {
      {"prompt_tokens", tokens}, {"total_tokens", tokens}, {"prompt_tokens_details", {{"image_tokens", tokens}}}};
  absl::StrAppend(&text, R"(],"usage":)", WriteJson(usage), "}");
  return text;
}

void EmbeddingsAnswer::AppendFloats(std::string_view values, std::string* text) {
  constexpr size_t kTextMax = 16;  // "-1.17549435e-38,"
  text->reserve(text->size() + values.size() / sizeof(float) * kTextMax);
  std::array<char, 32> digits{};
  for (size_t at = 0; at < values.size(); at += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, values.data() + at, sizeof value);
    if (at > 0) *text += ',';
    if (!std::isfinite(value)) {
      *text += "null";  // JSON has no such numbers
      continue;
    }
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    text->append(digits.data(), end);
  }
}

// Base64 goes by three bytes, which a piece need not end with.
void EmbeddingsAnswer::AppendBase64(std::string_view values, bool last, std::string* text) {
  rest_.append(values);
  const size_t ready = last ? rest_.size() : rest_.size() / 3 * 3;
  *text += EncodeBase64(std::string_view(rest_).substr(0, ready));
  rest_.erase(0, ready);
}

}  // namespace headroom::gateway::openai
