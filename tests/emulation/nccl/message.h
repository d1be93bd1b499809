// What ranks and the hub of a communicator say to each other.
#pragma once

#include <nccl.h>

#include <cstdint>
#include <string>
#include <vector>

namespace emulation {

enum class MessageKind : uint32_t {
  // Rank → hub.
  kHello,       // payload: PackHello()
  kContribute,  // a collective; payload: Call, call site, data
  kSend,        // payload: Call, call site, data
  kReceive,     // payload: Call, call site
  kLeave,       // destroyed in good order
  kAbort,
  // Hub → rank.
  kReady,     // all ranks are there
  kRefused,   // payload: why. The communicator was never made
  kResult,    // of collective `number`; payload: data
  kTaken,     // send `number` to `rank` was received
  kArrived,   // what receive `number` from `rank` waits for; payload: data
  kWanted,    // others wait for collective `number`
  kWantSend,  // `rank` waits for send `number` to it
  kWantReceive,
  kMismatch,  // payload: text. The process ends
  kLost,      // `rank` left without a word, or aborted
  kLeft,      // `rank` left in good order
};

struct Header {
  MessageKind kind;
  int32_t rank;
  uint64_t number;  // collectives are counted from 1 in each communicator, sends and receives from 1 for each pair
  uint64_t bytes;   // of the payload
};

struct Message {
  Header header{};
  std::string payload;
};

struct Hello {
  int32_t ranks, rank;
};

enum class CallKind : int32_t { kAllReduce, kReduce, kBroadcast, kAllGather, kReduceScatter, kSend, kReceive };

struct Call {
  CallKind kind;
  int32_t type;  // ncclDataType_t
  int32_t op;    // ncclRedOp_t; 0 where there is none
  int32_t root;  // −1 where there is none; the peer of a send or receive
  uint64_t count;
};

// The payload of a call: `site` as CallSite::Text() has it.
std::string Pack(const Call& call, const std::string& site, const void* data, uint64_t bytes);
struct Unpacked {
  Call call;
  std::string site;
  std::string data;
};
Unpacked Unpack(const std::string& payload);

std::string PackHello(const Hello& hello, const std::string& device, const std::string& site);
void UnpackHello(const std::string& payload, Hello* hello, std::string* device, std::string* site);

// "all-reduce of 1024 bf16, sum".
std::string Describe(const Call& call);

}  // namespace emulation
