// Files of ranks as they come with a model.
#include "common/check.h"
#include "common/utf8.h"
#include "model/text/tokenizer.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {
namespace {

void Run(const std::string& input) {
  const auto tokenizer = model::Tokenizer::FromTiktoken(input, R"({"tokenizer_class": "QWenTokenizer"})");
  if (!tokenizer.ok()) {
    CheckClientError(tokenizer.status());
    return;
  }
  for (const char* text : {"", "Hello  12 \xE4\xBD\xA0 the the", "<|im_end|>"}) {
    const auto ids = (*tokenizer)->Encode(text, model::AddedTokens::kNone);
    HEADROOM_CHECK(ids.ok()) << ids.status();
    for (const int32_t id : *ids) HEADROOM_CHECK(id >= 0 && !(*tokenizer)->IsAdded(id)) << id;
    HEADROOM_CHECK(IsValidUtf8((*tokenizer)->Decode(*ids, /*skip_special=*/false)));
  }
}

std::vector<std::string> Seeds() {
  return {"YQ== 0\nYg== 1\nYmM= 2\r\nYWI= 3\n\nYw== 4\nIA== 5\n", TreeFile("tests/tokenizer/ranks/tiktoken.model")};
}

const Registration registration({"tiktoken", Run, Seeds});

}  // namespace
}  // namespace headroom::fuzz
