// The words of our templates for judges.
#pragma once

#include <string_view>

#include "merit/core/version.hpp"

namespace merit {
inline namespace MERIT_ABI {
namespace wording {

// What is judged comes first, what the reply is to look like last, where small models do not lose it.

inline constexpr std::string_view pairwise =
    R"(Two assistants, A and B, were given the same request. Decide whose reply serves the person who asked better.

Look first at whether a reply does what was asked, then at whether what it says is true, then at how useful and clear it is. A longer reply is not better for its length, and the order in which the two are shown means nothing.

<request>
{question}
</request>

<reply of assistant A>
{answer_a}
</reply of assistant A>

<reply of assistant B>
{answer_b}
</reply of assistant B>

)";

inline constexpr std::string_view reference =
    R"(Two assistants, A and B, were given the same request, to which a correct reply is known. Decide whose reply agrees better with the correct one.

A reply that reaches the same result by another way is as good. Where neither or both agree with it, decide by how close the reasoning comes. A longer reply is not better for its length, and the order in which the two are shown means nothing.

<request>
{question}
</request>

<correct reply>
{reference}
</correct reply>

<reply of assistant A>
{answer_a}
</reply of assistant A>

<reply of assistant B>
{answer_b}
</reply of assistant B>

)";

inline constexpr std::string_view rating =
    R"(An assistant was given a request. Judge how well its reply serves the person who asked.

Look first at whether the reply does what was asked, then at whether what it says is true, then at how useful and clear it is. A longer reply is not better for its length.

<request>
{question}
</request>

<reply>
{answer}
</reply>

)";

inline constexpr std::string_view vote_in_words =
    R"(Compare the two replies in a few sentences. Then end with your verdict, one of these and nothing behind it: [[A]] if the reply of assistant A is better, [[B]] if that of assistant B is better, [[C]] if neither is.)";

inline constexpr std::string_view vote_at_once =
    R"(Say nothing but your verdict: [[A]] if the reply of assistant A is better, [[B]] if that of assistant B is better.)";

inline constexpr std::string_view rating_in_words =
    R"(Say in a few sentences what is good and what is bad about the reply. Then end with a whole number from 1, useless, to 10, as good as can be, in this form and nothing behind it: [[5]])";

inline constexpr std::string_view yes_or_no = R"(Is it a good reply? Say nothing but yes or no.)";

}  // namespace wording
}  // namespace MERIT_ABI
}  // namespace merit
