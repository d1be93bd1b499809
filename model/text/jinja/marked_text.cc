#include "model/text/jinja/marked_text.h"

#include <algorithm>
#include <utility>

namespace headroom::model::jinja {
namespace {

// The run that holds the byte at `position`.
std::vector<OriginRun>::const_iterator RunAt(const std::vector<OriginRun>& runs, size_t position) {
  return std::upper_bound(runs.begin(), runs.end(), position,
                          [](size_t at, const OriginRun& run) { return at < run.end; });
}

}  // namespace

MarkedText::MarkedText(std::string bytes, Origin origin) : bytes_(std::move(bytes)) {
  if (!bytes_.empty()) runs_.push_back({bytes_.size(), origin});
}

Origin MarkedText::OriginAt(size_t position) const { return RunAt(runs_, position)->origin; }

void MarkedText::Append(std::string_view bytes, Origin origin) {
  if (bytes.empty()) return;
  bytes_.append(bytes);
  if (!runs_.empty() && runs_.back().origin == origin) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), origin});
  }
}

void MarkedText::Append(const MarkedText& text, size_t begin, size_t end) {
  for (auto run = RunAt(text.runs_, begin); begin < end; ++run) {
    const size_t stop = std::min(run->end, end);
    Append(std::string_view(text.bytes_).substr(begin, stop - begin), run->origin);
    begin = stop;
  }
}

MarkedText MarkedText::Cut(size_t begin, size_t end) const {
  MarkedText cut;
  cut.Append(*this, begin, end);
  return cut;
}

}  // namespace headroom::model::jinja
