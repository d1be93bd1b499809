// Text of users through the golden tokenizer and back, and ids of a model to text.
#include <algorithm>
#include <cstring>

#include "common/check.h"
#include "common/utf8.h"
#include "model/text/detokenizer.h"
#include "model/text/tokenizer.h"
#include "model/text/unicode.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/golden_tokenizer.h"

namespace headroom::fuzz {
namespace {

using model::AddedTokens;

constexpr size_t kLongBytes = 1 << 14;

std::string Nfc(const std::string& text) {
  const auto normal = model::ToForm(model::NormalForm::kNfc, text);
  HEADROOM_CHECK(normal.ok()) << normal.status();
  return *normal;
}

void CheckStream(const std::vector<int32_t>& ids, bool skip_special) {
  model::Detokenizer stream(&GoldenTokenizer(), skip_special);
  std::string whole;
  for (const int32_t id : ids) {
    const std::string piece = stream.Add(id);
    HEADROOM_CHECK(IsValidUtf8(piece)) << piece;
    whole += piece;
  }
  whole += stream.Flush();
  HEADROOM_CHECK(whole == GoldenTokenizer().Decode(ids, skip_special));
}

void CheckEncode(const std::string& text, AddedTokens added) {
  const auto ids = GoldenTokenizer().Encode(text, added);
  HEADROOM_CHECK(ids.ok()) << ids.status();
  for (const int32_t id : *ids) {
    HEADROOM_CHECK(id >= 0 && id < GoldenTokenizer().vocab_size() && !GoldenTokenizer().TokenBytes(id).empty()) << id;
    HEADROOM_CHECK(added != AddedTokens::kNone || !GoldenTokenizer().IsAdded(id)) << id;
    HEADROOM_CHECK(added != AddedTokens::kNonSpecial || !GoldenTokenizer().IsSpecial(id)) << id;
  }
  const std::string decoded = GoldenTokenizer().Decode(*ids, /*skip_special=*/false);
  // Added tokens are cut out before the rest is normalized, so what stands on both sides of one may still compose.
  HEADROOM_CHECK((added == AddedTokens::kNone ? decoded : Nfc(decoded)) == Nfc(text)) << text;
  CheckStream(*ids, /*skip_special=*/true);
}

void Run(const std::string& input) {
  // Small inputs do not show what takes time by the square of the length: these are repeated.
  const bool repeat = input.starts_with('R');
  std::string text = input.substr(repeat ? 1 : 0);
  while (repeat && !text.empty() && text.size() < kLongBytes) text += text;
  if (!IsValidUtf8(text)) {
    CheckClientError(GoldenTokenizer().Encode(text, AddedTokens::kNone).status());
    std::string valid;
    Utf8Stream stream;
    stream.Feed(text, &valid);
    stream.Finish(&valid);
    text = valid;
    HEADROOM_CHECK(IsValidUtf8(text));
  }
  if (repeat) return CheckEncode(text, AddedTokens::kNone);
  for (const AddedTokens added : {AddedTokens::kAll, AddedTokens::kNonSpecial, AddedTokens::kNone}) {
    CheckEncode(text, added);
  }
  // Any numbers, most of them ids: a model may say bytes that are no UTF-8.
  std::vector<int32_t> ids(std::min<size_t>(input.size() / 2, 4096));
  for (size_t i = 0; i < ids.size(); ++i) {
    int16_t number = 0;
    std::memcpy(&number, input.data() + 2 * i, 2);
    ids[i] = number;
  }
  CheckStream(ids, /*skip_special=*/false);
}

std::vector<std::string> Seeds() {
  return {"Hello, world! It's 2024.\r\n\n   x  ",
          "<|im_start|>user\n<image><unk></image> <slice> </slice><|im_end|>",
          "Ünïcödé e\xCC\x81\xCC\x81 \xED\x95\x9C\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8 \xE4\xBD\xA0\xE5\xA5\xBD",
          "R\xF0\x9F\x98\x80\xE2\x80\x8D\xF0\x9F\x91\xA9",
          "R a",
          "R\xCC\x80\xCC\x96",
          "Rword",
          "\xFF\xC3 broken \xE2\x82"};
}

const Registration registration({"tokenizer_text", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
