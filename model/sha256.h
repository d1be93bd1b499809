// SHA-256 through OpenSSL's libcrypto.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

struct evp_md_ctx_st;

namespace headroom::model {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(const void* data, size_t bytes);
  // The length goes in first, so that two fields never run into one another.
  void UpdateField(const std::string& field);
  // 32 bytes; once.
  std::string Finish();

 private:
  evp_md_ctx_st* context_;
};

}  // namespace headroom::model
