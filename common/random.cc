#include "common/random.h"

#include <sys/random.h>

#include "common/check.h"

namespace headroom {
namespace {

class KernelRandom : public Random {
 public:
  uint64_t Next() override {
    uint64_t bits = 0;
    // Requests of up to 256 bytes are never cut short once the kernel's pool is ready (getrandom(2)).
    HEADROOM_CHECK(getrandom(&bits, sizeof bits, 0) == sizeof bits) << "getrandom failed";
    return bits;
  }
};

}  // namespace

Random& SystemRandom() {
  static KernelRandom random;
  return random;
}

}  // namespace headroom
