// Fields that several endpoints have, by what they are for.
#pragma once

#include <initializer_list>
#include <utility>
#include <vector>

#include "gateway/openai/fields.h"

namespace headroom::gateway::openai {

using Fields = std::vector<Field>;

Fields Join(std::initializer_list<Fields> lists);

Fields ModelField();
Fields SamplingFields();
Fields StreamFields();
Fields StopFields();
Fields ExtensionFields();
// Accepted without an effect.
Fields InertFields();
// Names, each with why it is refused.
Fields Refused(std::initializer_list<std::pair<const char*, const char*>> names);
Fields RefusedEverywhere();

}  // namespace headroom::gateway::openai
