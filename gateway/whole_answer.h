// The pieces of an answer, put together: what Gateway.Complete and any other edge that answers at once sends.
#pragma once

#include "headroom/v1/gateway.pb.h"

namespace headroom::gateway {

// Used by one thread.
class WholeAnswer {
 public:
  void Add(const v1::GenerateResponse& piece);
  // Once, after the last piece.
  v1::CompleteResponse Take();

 private:
  v1::Choice& ChoiceAt(int index);

  v1::CompleteResponse answer_;
  v1::Finish last_;
};

}  // namespace headroom::gateway
