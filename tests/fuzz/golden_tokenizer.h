// The tokenizer that the text targets share.
#pragma once

#include "common/check.h"
#include "model/text/tokenizer.h"
#include "tests/fuzz/fuzz_target.h"

namespace headroom::fuzz {

inline const model::Tokenizer& GoldenTokenizer() {
  static const model::Tokenizer* const tokenizer = [] {
    auto loaded = model::Tokenizer::FromJson(TreeFile("tests/golden/minicpmv/tokenizer.json"));
    HEADROOM_CHECK(loaded.ok()) << loaded.status();
    return loaded->release();
  }();
  return *tokenizer;
}

}  // namespace headroom::fuzz
