#include "model/sha256.h"

#include <openssl/evp.h>

#include <cstdint>

#include "common/check.h"

namespace headroom::model {

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  HEADROOM_CHECK(context_ && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1) << "libcrypto has no SHA-256";
}

Sha256::~Sha256() { EVP_MD_CTX_free(context_); }

void Sha256::Update(const void* data, size_t bytes) {
  HEADROOM_CHECK(EVP_DigestUpdate(context_, data, bytes) == 1) << "SHA-256 update failed";
}

void Sha256::UpdateField(const std::string& field) {
  const uint64_t bytes = field.size();
  Update(&bytes, sizeof(bytes));
  Update(field.data(), field.size());
}

std::string Sha256::Finish() {
  std::string digest(32, '\0');
  unsigned int bytes = 0;
  HEADROOM_CHECK(EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(digest.data()), &bytes) == 1 &&
                 bytes == 32)
      << "SHA-256 failed";
  return digest;
}

}  // namespace headroom::model
