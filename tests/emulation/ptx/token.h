// Text → tokens. PTX is written by nvcc one statement a line, but inline assembly brings its own lines and scopes, so
// lines mean nothing here except to a few directives (.version, .target, .file, .loc), which end where their line does.
#pragma once

#include <string_view>
#include <vector>

namespace emulation::ptx {

struct Token {
  enum class Kind { kWord, kString, kPunctuation, kEnd };
  Kind kind = Kind::kEnd;
  // A word is a run of letters, digits and _ $ % . with "::" inside; a string stands without its quotes.
  std::string_view text;
  int line = 0;

  bool Is(std::string_view other) const { return text == other && kind != Kind::kString; }
};

// The last token has kind kEnd. The tokens point into `text`. Throws Error for a character that PTX does not have.
std::vector<Token> Tokenize(std::string_view text);

}  // namespace emulation::ptx
