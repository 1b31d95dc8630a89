#include "text/post_processor.h"

#include <utility>

#include "base/check.h"
#include "text/vocab.h"

namespace ingot::text {
namespace {

std::vector<int32_t> read_ids(const Settings& special_tokens, const std::string& name) {
  const Settings token = special_tokens.object(name);
  token.allow_only({"id", "ids", "tokens"});
  const nlohmann::json& list = token.value("ids");
  if (!list.is_array()) token.wrong("ids", "a list of token ids");
  std::vector<int32_t> ids;
  for (const auto& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > static_cast<uint64_t>(kMaxTokenId)) {
      token.wrong("ids", "a list of token ids");
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

PostProcessor read_template(const Settings& settings) {
  settings.allow_only({"single", "pair", "special_tokens"});
  const Settings special_tokens = settings.object("special_tokens");
  PostProcessor out;
  bool text_seen = false;
  for (const Settings& part : settings.objects("single")) {
    part.allow_only({"SpecialToken", "Sequence"});
    if (part.has("Sequence")) {
      const std::string sequence = part.object("Sequence").string("id");
      if (sequence != "A" || text_seen) {
        fail(ErrorCode::unsupported, "{}: single: expected the sequence A once, found {}", settings.place(),
             sequence == "A" ? "it twice" : sequence);
      }
      text_seen = true;
      continue;
    }
    const auto ids = read_ids(special_tokens, part.object("SpecialToken").string("id"));
    auto& side = text_seen ? out.suffix : out.prefix;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!text_seen) settings.wrong("single", "a template with the sequence A");
  return out;
}

}  // namespace

PostProcessor read_post_processor(const Settings& settings) {
  const std::string type = settings.type();
  if (type == "TemplateProcessing") return read_template(settings);
  if (type == "ByteLevel") {
    settings.allow_only({"add_prefix_space", "trim_offsets", "use_regex"});
    return {};
  }
  if (type == "Sequence") {
    settings.allow_only({"processors"});
    PostProcessor out;
    for (const Settings& step : settings.objects("processors")) {
      const PostProcessor around = read_post_processor(step);
      out.prefix.insert(out.prefix.begin(), around.prefix.begin(), around.prefix.end());
      out.suffix.insert(out.suffix.end(), around.suffix.begin(), around.suffix.end());
    }
    return out;
  }
  settings.unsupported_type("post-processor", "ByteLevel, Sequence, TemplateProcessing");
}

}  // namespace ingot::text
