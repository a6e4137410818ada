"""How the results of `make mutation` are read, and the page that it writes."""

from __future__ import annotations

import json
from typing import Any

from benchmarks import mutation

SOURCE = """\
def one(a, b):
    return a + b


class Two:
    x = 1

    def go(self):
        if self.x:
            return self.x + 1
        return 0
"""
DIFF = """\
# greenlight.core.two.xǁTwoǁgo__mutmut_3: survived
--- src/greenlight/core/two.py
+++ src/greenlight/core/two.py
@@ -1,4 +1,4 @@
 def go(self):
     if self.x:
-        return self.x + 1
+        return self.x - 1
     return 0
"""


def test_names_of_changes_are_read() -> None:
    listing = (
        "\n    greenlight.core.two.xǁTwoǁgo__mutmut_3: survived\n"
        "    greenlight.core.two.x_one__mutmut_12: killed\n"
    )
    method, function = mutation.outcomes(listing)
    assert list(mutation.outcomes(listing).values()) == ["survived", "killed"]
    assert mutation.file_of(method) == "src/greenlight/core/two.py"
    assert mutation.function_of(method) == "Two.go"
    assert mutation.function_of(function) == "one"
    assert mutation.function_of("greenlight.core.two.x__one__mutmut_1") == "_one"


def test_a_change_is_found_in_its_function() -> None:
    was, now = mutation.change(DIFF)
    assert (was, now) == ("return self.x + 1", "return self.x - 1")
    assert mutation.line_of(SOURCE, "Two.go", was) == 10
    assert mutation.line_of(SOURCE, "one", "return a + b") == 2
    assert mutation.line_of(SOURCE, "one", "elsewhere") == 1


def survivor(now: str) -> dict[str, Any]:
    return {"file": "a.py", "line": 3, "function": "f", "was": "x + 1", "now": now}


def test_a_reason_is_for_a_line_or_for_some_of_its_changes() -> None:
    line = {"file": "a.py", "was": "x + 1\n", "why": "Because."}
    some = {**line, "now": ["x - 1"]}
    assert mutation.explains(line, survivor("x - 1"))
    assert mutation.explains(line, survivor("x * 1"))
    assert mutation.explains(some, survivor("x - 1"))
    assert not mutation.explains(some, survivor("x * 1"))
    assert not mutation.explains({**line, "file": "b.py"}, survivor("x - 1"))


def test_the_page_tells_of_each_file_and_each_survivor() -> None:
    found = {
        "provenance": {
            "command": "python -m benchmarks.mutation",
            "cores": 2,
            "python": "3.11",
            "commit": "c" * 40,
            "at": "2026-01-02T03:04",
        },
        "tool": "mutmut 3",
        "seconds": 130,
        "modules": {
            "src/greenlight/core/a.py": {"killed": 7, "survived": 2, "timeout": 1},
            "src/greenlight/core/b.py": {"killed": 10},
        },
        "survivors": [survivor("x - 1"), survivor("x * 1")],
    }
    why = [{"file": "a.py", "was": "x + 1", "now": ["x * 1"], "why": "The same."}]
    page = mutation.page(found, why)
    assert "`python -m benchmarks.mutation` (with `--again`" in page
    assert "| a.py | 10 | 7 | 1 | 2 | 80.0% |" in page
    assert "| **all** | 20 | 17 | 1 | 2 | 90.0% |" in page
    assert "Line 3. Unexplained. The same." in page
    assert "```diff\n-x + 1\n+x - 1\n+x * 1\n```" in page
    assert "Nothing.\n" in mutation.page({**found, "survivors": []}, [])


def _results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mutation.RESULT.read_text(encoding="utf-8"))
    return found


def test_the_page_is_what_the_results_say() -> None:
    assert mutation.PAGE.read_text(encoding="utf-8") == mutation.page(
        _results(), mutation.reasons()
    ), "docs/mutation.md is stale: run python -m benchmarks.mutation --page"


def test_nine_changes_in_ten_are_noticed_in_each_file() -> None:
    """Issue 4: at least 90 % killed as the aim."""
    for file, counts in _results()["modules"].items():
        noticed = sum(counts.get(outcome, 0) for outcome in mutation.NOTICED)
        assert noticed >= 0.9 * sum(counts.values()), file


def test_every_survivor_has_a_reason_and_every_reason_a_survivor() -> None:
    survivors, why = _results()["survivors"], mutation.reasons()
    unexplained = [one for one in survivors if not any(mutation.explains(r, one) for r in why)]
    assert not unexplained
    idle = [r for r in why if not any(mutation.explains(r, one) for one in survivors)]
    assert not idle
