// Who hears of a run as it goes.
#pragma once

#include <string>

#include "merit/core/version.hpp"
#include "merit/core/view.hpp"

namespace merit {
inline namespace MERIT_ABI {

/// Who is told of a run as it goes on: nothing is printed by itself.
class RunListener {
 public:
  virtual ~RunListener() = default;
  /// A sentence that its user should know.
  virtual void remark(const std::string&) {}
  /// Long work begins: what, how many units in all and done already; then units done, with a note; its end.
  virtual void begin(const std::string&, Index, Index) {}
  virtual void progress(Index, const std::string&) {}
  virtual void end() {}
  /// A line beside the progress: an evaluation.
  virtual void say(const std::string&) {}
  /// Steps are made from here on, or no more: a request to stop is heard between the two.
  virtual void training(bool) {}
};

}  // namespace MERIT_ABI
}  // namespace merit
