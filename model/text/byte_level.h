// The alphabet of byte-level BPE: each byte has one visible character, so that any bytes can be written as text in a
// vocabulary. Printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100 upwards (space is U+0120,
// newline U+010A).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace headroom::model {

// Bytes that `token` (valid UTF-8) spells; nothing when it has a character outside the alphabet.
std::optional<std::string> BytesOfToken(std::string_view token);

// The spelling of any `bytes`.
std::string SpellBytes(std::string_view bytes);

}  // namespace headroom::model
