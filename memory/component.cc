#include "memory/component.h"

#include "common/check.h"

namespace headroom::memory {
namespace {

struct Row {
  const char* title;
  const char* label;
  bool in_arena;
  bool is_pool;
};

constexpr std::array<Row, kComponents> kRows = {{{"vision weights", "vision_weights", true, false},
                                                 {"resampler weights", "resampler_weights", true, false},
                                                 {"llm weights", "llm_weights", true, false},
                                                 {"head weights", "head_weights", true, false},
                                                 {"KV pool", "kv_pool", true, true},
                                                 {"llm workspace", "llm_workspace", true, false},
                                                 {"vision workspace", "vision_workspace", true, false},
                                                 {"embedding store", "embedding_store", true, true},
                                                 {"communication", "communication", true, false},
                                                 {"libraries", "libraries", false, false},
                                                 {"graphs", "graphs", false, false},
                                                 {"context floor", "context_floor", false, false},
                                                 {"other processes", "other_processes", false, false},
                                                 {"alignment", "alignment", true, false},
                                                 {"headroom", "headroom", false, false}}};

const Row& RowOf(Component component) {
  const int index = static_cast<int>(component);
  HEADROOM_CHECK(index >= 0 && index < kComponents) << "component " << index;
  return kRows[index];
}

}  // namespace

const char* ComponentTitle(Component component) { return RowOf(component).title; }
const char* ComponentLabel(Component component) { return RowOf(component).label; }
bool InArena(Component component) { return RowOf(component).in_arena; }
bool IsPool(Component component) { return RowOf(component).is_pool; }

}  // namespace headroom::memory
