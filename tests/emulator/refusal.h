// What the emulated compiler and device throw. Nothing of it crosses engine.h: there it becomes a
// code.
#pragma once

#include <exception>
#include <sstream>
#include <string>
#include <utility>

namespace emulator {

// The three contents of the `err=` list that ANECCompile is known to report (ane-facts.md 5.1, R).
enum class Verdict { invalid_program, compilation_failure, empty };

class Refusal : public std::exception {
public:
  Refusal(Verdict verdict, std::string text) : verdict_(verdict), text_(std::move(text)) {}
  Verdict verdict() const { return verdict_; }
  const std::string& text() const { return text_; }
  const char* what() const noexcept override { return text_.c_str(); }

private:
  Verdict verdict_;
  std::string text_; // for ane_emulator_last_refusal: Apple's compiler does not say
};

template <typename... Parts>
[[noreturn]] void refuse(Verdict verdict, const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Refusal(verdict, std::move(text).str());
}

template <typename... Parts>
[[noreturn]] void invalid(int line, const Parts&... parts) {
  refuse(Verdict::invalid_program, "line ", line, ": ", parts...);
}

} // namespace emulator
