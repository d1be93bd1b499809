// Addresses as people write them in files and flags.
#pragma once

#include <string>

namespace headroom {

// HOST:PORT with a port from 0 to 65535, or unix:PATH. Whether the host exists is another question.
bool IsAddress(const std::string& text);

}  // namespace headroom
