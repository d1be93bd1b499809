// Text that knows of each byte who wrote it: the template, the caller (messages, tools), or a picture that stands in a
// message. Whatever a template does with a string (cut, join, trim, replace, change its case), its bytes keep their
// origin; so a prompt can tell a control token of the template from the same letters typed by a user.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::model::jinja {

// Values from kFirstImage on are pictures: kFirstImage + i is picture i of the conversation.
enum class Origin : int32_t { kTemplate, kCaller, kFirstImage };

// Bytes up to `end`, from where the run before ends.
struct OriginRun {
  size_t end = 0;
  Origin origin = Origin::kTemplate;
  bool operator==(const OriginRun&) const = default;
};

// Valid UTF-8, as long as it is cut between characters.
class MarkedText {
 public:
  MarkedText() = default;
  MarkedText(std::string bytes, Origin origin);

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  // In order, none empty, two neighbours differ.
  const std::vector<OriginRun>& runs() const { return runs_; }
  // `position` < size().
  Origin OriginAt(size_t position) const;

  void Append(std::string_view bytes, Origin origin);
  void Append(const MarkedText& text) { Append(text, 0, text.size()); }
  // The bytes [begin, end) of `text`, which must lie in it.
  void Append(const MarkedText& text, size_t begin, size_t end);
  MarkedText Cut(size_t begin, size_t end) const;

 private:
  std::string bytes_;
  std::vector<OriginRun> runs_;
};

}  // namespace headroom::model::jinja
