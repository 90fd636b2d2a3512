// How much of a text is tokenized the same whatever follows it: what a prompt and its completions can share.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "merit/core/view.hpp"
#include "merit/io/json.hpp"
#include "merit/io/utf8.hpp"
#include "merit/tokenizer/added_tokens.hpp"
#include "merit/tokenizer/component.hpp"
#include "merit/tokenizer/split_rules.hpp"
#include "merit/unicode/aligned_text.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace detail {

/// Whether a split rule always cuts between an ASCII letter and a space with another letter behind it, and
/// matches on both sides as if they were texts of their own. That cannot be read off an expression (some join
/// words), so these are the published ones of which it is known.
inline bool cuts_between_words(const std::string& rule) {
  static const std::array known{
      std::string(gpt2_split_rule),
      words_rule(R"(\p{L}+)", R"(\p{N})"),
      words_rule(R"(\p{L}+)", R"(\p{N}{1,3})"),
      words_rule(R"([\p{L}\p{M}]+)", R"(\p{N})", R"([^\s\p{L}\p{M}\p{N}]+[\r\n]*)"),
      cased_words_rule("", R"(\p{N})"),
      cased_words_rule(concat(english_endings, "?"), R"(\p{N}{1,3})"),
  };
  return std::find(known.begin(), known.end(), rule) != known.end();
}

/// Where a published tokenizer can be cut in two, so that the parts by themselves give the tokens of the
/// whole. Exact or not at all: what is not known to be so is not cut.
class SettledText {
 public:
  SettledText() = default;

  /// `description` is a tokenizer.json that has been read, with these added tokens in it.
  SettledText(const Json& description, const std::string& where, const AddedTokens& added) {
    const Component all(description, where);
    const auto part = [&](const char* name) { return Component(all.field(name), concat(where, ": ", name)); };
    bool spaces_in_tokens = false;
    for (const AddedToken& token : added.all()) {
      longest_ = std::max(longest_, token.content.size());
      // These depend on what stands around them.
      if (token.single_word || token.lstrip || token.rstrip) at_tokens_ = false;
      for (const std::string_view text : {std::string_view(token.content), added.decoded(token)}) {
        spaces_in_tokens |= text.find(' ') != text.npos;
      }
    }
    if (!at_tokens_ || spaces_in_tokens || !all.has("pre_tokenizer")) return;
    bool cut = false;
    bool known = true;
    each_component(part("pre_tokenizer"), "pretokenizers", [&](const Component& step) {
      const std::string type = step.type();
      if (type == "ByteLevel") {
        cut |= step.get<bool>("use_regex", true);  // GPT-2's rule
      } else if (type == "Split") {
        const Pattern pattern = Pattern::read(step);
        const bool cuts = !pattern.literal && cuts_between_words(pattern.text) &&
                          step.get<std::string>("behavior", "Isolated") == "Isolated";
        cut |= cuts;
        known &= cuts;
      } else {
        known &= type == "Digits";
      }
    });
    if (all.has("normalizer")) {
      each_component(part("normalizer"), "normalizers", [&](const Component& step) {
        const std::string type = step.type();
        known &= type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD";
      });
    }
    between_words_ = cut && known;
  }

  /// See `settled` of the concept tokenizer.
  Index settled(std::string_view text, const AddedTokens& added) const {
    // What begins nearer to the end may become, with what follows, the beginning of an added token.
    if (!at_tokens_ || text.size() <= longest_ || first_invalid_utf8(text) != text.size()) return 0;
    const Index last = text.size() - longest_;
    Index place = 0;
    added.cut(text, false, [&](Index begin, Index end, Token id) {
      if (id != Piece::none) {
        if (begin <= last) place = begin;
      } else if (between_words_) {
        place = std::max(place, last_word_border(text, begin, std::min(end, last)));
      }
    });
    return place;
  }

 private:
  /// The last place in [begin, end) where a space stands between two letters; 0 if there is none.
  static Index last_word_border(std::string_view text, Index begin, Index end) {
    const auto is_letter = [&](Index at) {
      return (text[at] >= 'a' && text[at] <= 'z') || (text[at] >= 'A' && text[at] <= 'Z');
    };
    for (Index at = end; at > begin + 1;) {
      --at;
      if (text[at] == ' ' && is_letter(at - 1) && at + 1 < text.size() && is_letter(at + 1)) return at;
    }
    return 0;
  }

  Index longest_ = 0;  // bytes of an added token
  bool at_tokens_ = true;
  bool between_words_ = false;
};

}  // namespace detail
}  // namespace MERIT_ABI
}  // namespace merit
