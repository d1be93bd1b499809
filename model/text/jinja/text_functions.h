// Python's string functions on text whose bytes keep their origin. Positions count bytes. Each counts its work.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "model/text/jinja/allowance.h"
#include "model/text/jinja/marked_text.h"

namespace headroom::model::jinja {

enum class Side { kLeft, kRight, kBoth };

// Without `characters` at its ends; without white space where they are absent.
absl::StatusOr<MarkedText> Strip(const MarkedText& text, std::optional<std::string_view> characters, Side side,
                                 Allowance& allowance);

// Where `word` stands in `text` at or behind `from`; npos when nowhere.
absl::StatusOr<size_t> Find(std::string_view text, std::string_view word, size_t from, Allowance& allowance);
absl::StatusOr<size_t> FindLast(std::string_view text, std::string_view word, Allowance& allowance);

// At most `count` are replaced; all when it is negative.
absl::StatusOr<MarkedText> Replace(const MarkedText& text, const MarkedText& from, const MarkedText& to, int64_t count,
                                   Allowance& allowance);

// At most `splits_max` cuts, from the left or right; no bound when it is negative. `separator` is not empty.
absl::StatusOr<std::vector<MarkedText>> Split(const MarkedText& text, std::string_view separator, int64_t splits_max,
                                              Side side, Allowance& allowance);
// At white space, none of which stays but in what is not cut any more.
absl::StatusOr<std::vector<MarkedText>> SplitAtSpace(const MarkedText& text, int64_t splits_max, Side side,
                                                     Allowance& allowance);
absl::StatusOr<std::vector<MarkedText>> SplitLines(const MarkedText& text, bool keep_ends, Allowance& allowance);

// Each stretch of one origin for itself.
using Mapping = std::string (*)(std::string_view);
absl::StatusOr<MarkedText> Map(const MarkedText& text, Mapping mapping, Allowance& allowance);

// Character by character, in order.
using CharacterMapping = std::function<std::string(char32_t code_point, std::string_view character)>;
absl::StatusOr<MarkedText> MapCharacters(const MarkedText& text, const CharacterMapping& mapping, Allowance& allowance);

// The first character as a title has it, all others in lower case.
absl::StatusOr<MarkedText> Capitalized(const MarkedText& text, Allowance& allowance);

// For Map: & < > " ' as entities.
std::string EscapeHtml(std::string_view text);

absl::StatusOr<MarkedText> Repeat(const MarkedText& text, int64_t times, Allowance& allowance);

// `text` with `fill` (one character) up to `width` characters: on its left, right or both sides.
absl::StatusOr<MarkedText> Pad(const MarkedText& text, int64_t width, const MarkedText& fill, Side side,
                               Allowance& allowance);

// Where the character number `index` begins; text.size() beyond the last.
size_t CharacterPosition(std::string_view text, size_t index);

}  // namespace headroom::model::jinja
