// MaskBench: real JSON Schemas with valid and invalid instances (guidance-ai/jsonschemabench, folder maskbench/data)
// against the gate and the grammars behind structured output. Not a test: the files are not ours to ship.
//
//   mask_bench TOKENIZER_DIRECTORY FOLDER [EVERY [MASKS [FIRST]]]
//
// Every EVERY-th file from number FIRST on, and the mask of each token in every MASKS-th of those (0: in none; -1: the
// gate alone, no grammar is compiled). The whole of it in pieces: EVERY 4, with FIRST 0, 1, 2 and 3.
//
// Prints what was accepted, what was refused and why, wrong answers by file, and times.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "model/structured/structured_text.h"
#include "model/structured/token_grammar.h"
#include "model/text/tokenizer.h"
#include "tools/bench/member_order.h"

namespace headroom {
namespace {

using Json = nlohmann::ordered_json;

// As Python's json.dumps writes it, without escapes for what is not ASCII: the form of MaskBench.
std::string PythonText(const Json& value) {
  if (!value.is_structured()) return value.dump();
  std::string text(1, value.is_object() ? '{' : '[');
  for (const auto& [name, inner] : value.items()) {
    if (text.size() > 1) text += ", ";
    if (value.is_object()) text += Json(name).dump() + ": ";
    text += PythonText(inner);
  }
  return text + (value.is_object() ? '}' : ']');
}

struct Totals {
  int64_t files = 0, refused = 0, failed = 0, right = 0, right_in_order = 0, admits_invalid = 0, rejects_valid = 0;
  int64_t masks = 0, mask_differs = 0;
  std::map<std::string, int64_t> refusals;
  std::vector<double> gate_ms, compile_ms, mask_us;
};

double Since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

void PrintTimes(const char* what, std::vector<double>& times) {
  if (times.empty()) return;
  std::ranges::sort(times);
  const auto at = [&times](double share) {
    return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
  };
  std::printf("%-12s p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  max %.3f\n", what, at(0.5), at(0.9), at(0.99), at(0.999),
              times.back());
}

// The keyword that is named, or the limit.
std::string ReasonOf(const std::string& message) {
  const size_t quote = message.rfind("\": ");
  if (quote == std::string::npos) return message.substr(0, 60);
  const size_t slash = message.rfind('/', quote);
  const std::string keyword = slash == std::string::npos ? "" : message.substr(slash + 1, quote - slash - 1);
  std::string why = message.substr(quote + 3);
  for (char& c : why) c = c >= '0' && c <= '9' ? '#' : c;
  if (why.starts_with("this keyword")) return keyword + ": not supported";
  if (keyword == "pattern" || keyword == "patternProperties") return keyword + ": " + why.substr(0, 70);
  return why.substr(0, 110);
}

class Bench {
 public:
  Bench(const model::Tokenizer& tokenizer, const model::TokenGrammarCompiler& compiler, int64_t vocab_size,
        std::vector<int32_t> end_ids)
      : tokenizer_(tokenizer),
        compiler_(compiler),
        mask_(static_cast<size_t>((vocab_size + 31) / 32)),
        end_ids_(std::move(end_ids)) {}

  void File(const std::filesystem::path& path, bool gate_only, bool with_masks) {
    with_masks_ = with_masks;
    std::ifstream file(path);
    const Json json = Json::parse(file);
    ++totals.files;
    auto begin = std::chrono::steady_clock::now();
    const auto grammar = model::GrammarOfSchema(json["schema"].dump());
    totals.gate_ms.push_back(Since(begin));
    if (totals.gate_ms.back() > 1000)
      std::printf("SLOW gate %.0f ms %s\n", totals.gate_ms.back(), path.filename().c_str());
    if (!grammar.ok()) {
      ++totals.refused;
      ++totals.refusals[ReasonOf(std::string(grammar.status().message()))];
      std::printf("REFUSED %s %s\n", path.filename().c_str(), std::string(grammar.status().message()).c_str());
      return;
    }
    if (gate_only) return;
    begin = std::chrono::steady_clock::now();
    const auto compiled = compiler_.Compile(grammar->ebnf);
    totals.compile_ms.push_back(Since(begin));
    if (totals.compile_ms.back() > 1000)
      std::printf("SLOW compile %.0f ms %s\n", totals.compile_ms.back(), path.filename().c_str());
    if (!compiled.ok()) {
      ++totals.failed;
      std::printf("FAILED %s\n", path.filename().c_str());
      return;
    }
    bool admits_invalid = false, rejects_valid = !Admits(grammar->shortest, *compiled);
    if (rejects_valid)
      std::printf("OWN SHORTEST REJECTED %s %s\n", path.filename().c_str(), grammar->shortest.substr(0, 100).c_str());
    const MemberOrder order(json["schema"]);
    bool rejects_in_order = rejects_valid;
    for (const Json& test : json["tests"]) {
      std::string text = PythonText(test["data"]);
      const bool admitted = Admits(text, *compiled);
      if (admitted == test["valid"].get<bool>()) continue;
      if (!admitted) {
        text = PythonText(order.Ordered(test["data"]));
        rejects_valid = true;
        if (Admits(text, *compiled)) continue;
        rejects_in_order = true;
      }
      admits_invalid |= admitted;
      std::printf("%s %s: %s\n", admitted ? "ADMITS INVALID" : "REJECTS VALID", path.filename().c_str(),
                  text.substr(0, 200).c_str());
    }
    totals.admits_invalid += admits_invalid;
    totals.rejects_valid += rejects_valid;
    totals.right += !admits_invalid && !rejects_valid;
    totals.right_in_order += !admits_invalid && !rejects_in_order;
  }

  Totals totals;

 private:
  // As an answer would come: each token by its bit in the mask.
  bool Admits(const std::string& text, const std::shared_ptr<const model::TokenGrammar>& grammar) {
    const auto ids = tokenizer_.Encode(text, model::AddedTokens::kNone);
    auto matcher = compiler_.Match(grammar, end_ids_);
    if (!ids.ok() || !matcher.ok()) return false;
    for (const int32_t id : *ids) {
      const bool allowed = !with_masks_ || (Fill(**matcher) && Allows(id));
      const bool accepted = (*matcher)->Accept(id).ok();
      if (with_masks_ && allowed != accepted) ++totals.mask_differs;
      if (!allowed || !accepted) return false;
    }
    return (*matcher)->Accept(end_ids_[0]).ok();
  }
  bool Fill(model::TokenMatcher& matcher) {
    const auto begin = std::chrono::steady_clock::now();
    const bool filled = matcher.Fill(mask_).ok();
    totals.mask_us.push_back(1000 * Since(begin));
    return filled;
  }
  bool Allows(int32_t id) const { return (mask_[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0; }

  const model::Tokenizer& tokenizer_;
  const model::TokenGrammarCompiler& compiler_;
  std::vector<uint32_t> mask_;
  bool with_masks_ = false;
  const std::vector<int32_t> end_ids_;
};

int Main(int argc, char** argv) {
  if (argc < 3) return std::fprintf(stderr, "mask_bench TOKENIZER_DIRECTORY FOLDER [EVERY [MASKS [FIRST]]]\n"), 2;
  const auto tokenizer = model::Tokenizer::FromDirectory(argv[1]);
  if (!tokenizer.ok()) return std::cerr << tokenizer.status() << "\n", 1;
  std::vector<int32_t> end_ids;
  for (int32_t id = 0; id < (*tokenizer)->vocab_size() && end_ids.empty(); ++id) {
    if ((*tokenizer)->IsSpecial(id)) end_ids.push_back(id);
  }
  const auto compiler = model::TokenGrammarCompiler::Create(**tokenizer, (*tokenizer)->vocab_size());
  if (!compiler.ok()) return std::cerr << compiler.status() << "\n", 1;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[2])) files.push_back(entry.path());
  std::ranges::sort(files);
  const size_t every = argc > 3 ? static_cast<size_t>(std::atoi(argv[3])) : 1;
  const int masks = argc > 4 ? std::atoi(argv[4]) : 1;
  const size_t first = argc > 5 ? static_cast<size_t>(std::atoi(argv[5])) : 0;
  Bench bench(**tokenizer, **compiler, (*tokenizer)->vocab_size(), end_ids);
  for (size_t i = first; i < files.size(); i += every) {
    const bool with_masks = masks > 0 && i / every % static_cast<size_t>(masks) == 0;
    bench.File(files[i], /*gate_only=*/masks < 0, with_masks);
    std::fflush(stdout);
  }
  Totals& t = bench.totals;
  const int64_t accepted = t.files - t.refused;
  const auto share = [](int64_t part, int64_t whole) {
    return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  std::printf("\n%zu-token vocabulary; %ld schemas: %ld accepted (%.2f %%), %ld refused, %ld failed\n",
              static_cast<size_t>((*tokenizer)->vocab_size()), t.files, accepted, share(accepted, t.files), t.refused,
              t.failed);
  std::printf(
      "of the accepted: %ld wholly right (%.2f %%), %ld with members in the schema's order (%.2f %%); %ld admit "
      "something invalid, %ld reject something valid; mask and step differ %ld times\n",
      t.right, share(t.right, accepted), t.right_in_order, share(t.right_in_order, accepted), t.admits_invalid,
      t.rejects_valid, t.mask_differs);
  PrintTimes("gate, ms", t.gate_ms);
  PrintTimes("compile, ms", t.compile_ms);
  PrintTimes("mask, us", t.mask_us);
  std::vector<std::pair<int64_t, std::string>> refusals;
  for (const auto& [reason, count] : t.refusals) refusals.emplace_back(count, reason);
  std::ranges::sort(refusals, std::greater<>());
  for (const auto& [count, reason] : refusals) std::printf("%6ld  %s\n", count, reason.c_str());
  return 0;
}

}  // namespace
}  // namespace headroom

int main(int argc, char** argv) { return headroom::Main(argc, argv); }
