#include "tests/emulation/nccl/message.h"

#include <cstring>

#include "tests/emulation/nccl/reduce.h"

namespace emulation {

std::string Pack(const Call& call, const std::string& site, const void* data, uint64_t bytes) {
  std::string payload(sizeof call + sizeof(uint64_t) + site.size() + bytes, 0);
  const uint64_t site_bytes = site.size();
  char* to = payload.data();
  memcpy(to, &call, sizeof call);
  memcpy(to + sizeof call, &site_bytes, sizeof site_bytes);
  memcpy(to + sizeof call + sizeof site_bytes, site.data(), site.size());
  if (bytes > 0) memcpy(to + sizeof call + sizeof site_bytes + site.size(), data, bytes);
  return payload;
}

Unpacked Unpack(const std::string& payload) {
  Unpacked unpacked{};
  uint64_t site_bytes = 0;
  memcpy(&unpacked.call, payload.data(), sizeof unpacked.call);
  memcpy(&site_bytes, payload.data() + sizeof unpacked.call, sizeof site_bytes);
  const size_t begin = sizeof unpacked.call + sizeof site_bytes;
  unpacked.site = payload.substr(begin, site_bytes);
  unpacked.data = payload.substr(begin + site_bytes);
  return unpacked;
}

std::string PackHello(const Hello& hello, const std::string& device, const std::string& site) {
  return std::string(reinterpret_cast<const char*>(&hello), sizeof hello) + device + '\n' + site;
}

void UnpackHello(const std::string& payload, Hello* hello, std::string* device, std::string* site) {
  memcpy(hello, payload.data(), sizeof *hello);
  const size_t end = payload.find('\n', sizeof *hello);
  *device = payload.substr(sizeof *hello, end - sizeof *hello);
  *site = payload.substr(end + 1);
}

std::string Describe(const Call& call) {
  static const char* const kKinds[] = {"all-reduce",     "reduce", "broadcast", "all-gather",
                                       "reduce-scatter", "send",   "receive"};
  std::string text = std::string(kKinds[static_cast<int>(call.kind)]) + " of " + std::to_string(call.count) + " " +
                     NameOfType(static_cast<ncclDataType_t>(call.type));
  if (Reduces(call.kind)) text += std::string(", ") + NameOfOp(static_cast<ncclRedOp_t>(call.op));
  if (call.root >= 0)
    text += (call.kind == CallKind::kSend      ? " to rank "
             : call.kind == CallKind::kReceive ? " from rank "
                                               : ", root ") +
            std::to_string(call.root);
  return text;
}

}  // namespace emulation
