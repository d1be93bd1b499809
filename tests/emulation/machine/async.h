// Copies in flight, for cp.async and the mbarriers that wait for them.
#pragma once

#include "tests/emulation/machine/warp.h"

namespace emulation {

void CompleteCopy(Warp& w, const Instruction& i, const AsyncCopy& copy);

// Lets the copies happen for which `due` holds, in the order of their issue.
template <class F>
void CompleteCopies(Warp& w, const Instruction& i, F due) {
  std::vector<AsyncCopy> left;
  for (const AsyncCopy& copy : w.copies) {
    if (due(copy)) {
      CompleteCopy(w, i, copy);
    } else {
      left.push_back(copy);
    }
  }
  w.copies.swap(left);
}

}  // namespace emulation
