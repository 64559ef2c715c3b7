#include "base/status.h"
#include "../allocation.h"

#include <doctest/doctest.h>

#include <new>
#include <string>

using namespace anet;

TEST_CASE("a text is whole, or there is no memory for it") {
  const std::string whole = "a/" + std::string(5000, 'b') + "/7";
  const std::string name(5000, 'b');
  int64_t failures = 0;
  for (bool failed = true; failed; ++failures) {
    std::string text = whole;
    {
      test::FailingAllocation failing(failures, false);
      try {
        text = concat("a/", name, '/', 7);
      } catch (const std::bad_alloc&) {
      }
      failed = failing.failed();
    }
    CHECK(text == whole);
  }
  CHECK(failures > 2);
}
