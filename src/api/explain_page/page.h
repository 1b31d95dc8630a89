// The page of explain: its HTML, style and script, as the files beside this one have them. CMake embeds them,
// so that the program needs no file of its own at run time.
#pragma once

#include <string_view>

namespace ingot::api {

extern const std::string_view kExplainPage;    // page.html: has the marks that the others replace
extern const std::string_view kExplainStyle;   // page.css
extern const std::string_view kExplainScript;  // page.js

}  // namespace ingot::api
