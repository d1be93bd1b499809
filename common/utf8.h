// UTF-8 at the level of bytes: validity, characters, and decoding that replaces what is invalid.
//
// "Lossy" decoding is that of Rust's String::from_utf8_lossy (which the reference tokenizer uses): each maximal prefix
// of a well-formed sequence that does not continue becomes one U+FFFD. All functions are thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace headroom {

bool IsValidUtf8(std::string_view text);

// A byte of a character that is not its first. These four take any bytes.
constexpr bool IsContinuationByte(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// Where the character begins to which text[position] belongs.
size_t CharacterStart(std::string_view text, size_t position);

size_t CountCharacters(std::string_view text);

// At most `bytes_max` bytes of `text`, ending between characters: for bounding text that others wrote,
// of which protobuf takes no broken character.
std::string CutText(std::string_view text, size_t bytes_max);

// Code point that starts at text[*position], which must be the start of a valid sequence; moves *position behind it.
char32_t NextCodePoint(std::string_view text, size_t* position);

void AppendUtf8(char32_t code_point, std::string* out);

// White space as Python's str.strip() and Rust's char::is_whitespace see it. Python adds U+001C to U+001F.
bool IsWhiteSpace(char32_t code_point);

// Text without the white space (Python's definition) at both ends. `text` is valid UTF-8.
std::string_view TrimWhiteSpace(std::string_view text);

// Turns a stream of bytes into valid UTF-8: nothing that Feed returns splits a sequence, and the concatenated results
// equal the lossy decoding of all the bytes. Holds back at most 3 bytes.
class Utf8Stream {
 public:
  // Appends the text that `bytes` completes.
  void Feed(std::string_view bytes, std::string* out);
  // Appends U+FFFD for an unfinished sequence, and starts afresh.
  void Finish(std::string* out);

 private:
  std::string held_;
};

}  // namespace headroom
