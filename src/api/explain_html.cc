// Explanations as a page: the data as JSON inside a fixed page whose script draws it.
#include "api/explain_page/page.h"
#include "ingot/explain.h"

namespace ingot {
namespace {

/// JSON that no HTML parser can take for a tag or an entity: nothing that comes from a checkpoint leaves the
/// script element that holds the data, and the page's script only ever sets text.
std::string escape_for_script(const std::string& json) {
  std::string escaped;
  escaped.reserve(json.size());
  for (char c : json) {
    switch (c) {
      case '<':
        escaped += "\\u003c";
        break;
      case '>':
        escaped += "\\u003e";
        break;
      case '&':
        escaped += "\\u0026";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string replaced(std::string text, std::string_view mark, const std::string& by) {
  return text.replace(text.find(mark), mark.size(), by);
}

}  // namespace

std::string to_html(const Explanation& explanation) {
  std::string page = replaced(std::string(api::kExplainPage), "/*STYLE*/", std::string(api::kExplainStyle));
  page = replaced(std::move(page), "/*SCRIPT*/", std::string(api::kExplainScript));
  return replaced(std::move(page), "{/*DATA*/}", escape_for_script(to_json(explanation)));
}

}  // namespace ingot
