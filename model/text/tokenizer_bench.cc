// headroom-tokenizer-bench TOKENIZER_JSON TEXT_FILE…
//
// Prints the seconds that loading takes and the MB/s of one thread: for the files, and for texts made to be slow. Not a
// test.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "model/text/tokenizer.h"

namespace {

using headroom::model::AddedTokens;
using headroom::model::Tokenizer;

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Measure(const Tokenizer& tokenizer, const std::string& name, const std::string& text) {
  size_t ids = 0;
  bool ok = true;
  double best = 1e9;
  for (int round = 0; round < 3; ++round) {
    best = std::min(best, Seconds([&] {
                      const auto result = tokenizer.Encode(text, AddedTokens::kAll);
                      ok = result.ok();
                      ids = ok ? result->size() : 0;
                    }));
  }
  std::cout << name << ": " << text.size() << " bytes, " << ids << " ids, "
            << static_cast<double>(text.size()) / best / 1e6 << " MB/s" << (ok ? "" : " (refused)") << "\n";
}

std::string Repeat(const std::string& piece, size_t bytes) {
  std::string text;
  while (text.size() + piece.size() <= bytes) text += piece;
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: headroom-tokenizer-bench TOKENIZER_JSON TEXT_FILE…\n";
    return 2;
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = absl::UnknownError("not loaded");
  const double seconds = Seconds([&] { tokenizer = Tokenizer::FromFile(argv[1]); });
  if (!tokenizer.ok()) {
    std::cerr << tokenizer.status().ToString() << "\n";
    return 1;
  }
  std::cout << "load: " << seconds << " s, " << (*tokenizer)->vocab_size() << " ids\n";
  constexpr size_t kMegabyte = 1000 * 1000;
  for (int i = 2; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!content.empty()) Measure(**tokenizer, argv[i], Repeat(content, std::max(content.size(), 4 * kMegabyte)));
  }
  for (const char* piece :
       {"a", " ", "\n", "1", "!", "<", "\xE4\xB8\xAD", "e\xCC\x81", "abcdefghij", "a b", "<|im_end|>"}) {
    Measure(**tokenizer, "1 MB of " + (*piece == '\n' ? std::string("newline") : std::string(piece)),
            Repeat(piece, kMegabyte));
  }
  return 0;
}
