// Where the tests find the source tree and what this build made. Absolute, without a slash at the end.
//
// Set in paths.cc alone: a path on the compiler's command line would make every test miss the compiler cache in another
// clone.
#pragma once

#include <string>

namespace headroom {

std::string SourceDir();
std::string BinaryDir();

}  // namespace headroom
