"""Tables and verdicts as they are printed."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.report import Verdict, all_good, number, table, verdict_table, write


def test_a_table_is_aligned_markdown() -> None:
    assert table(("name", "ms"), [("a", 1.5), ("longer", "12345")]).splitlines() == [
        "| name   |    ms |",
        "| ------ | ----- |",
        "| a      |   1.5 |",
        "| longer | 12345 |",
    ]
    assert table(("name", "ms"), []).count("\n") == 1


def test_what_is_not_a_number_is_a_dash() -> None:
    assert [number(value) for value in (1.25, None, float("nan"))] == ["1.2", "–", "–"]


def test_only_a_no_is_no_success() -> None:
    yes, no, unknown = Verdict("a", True, ""), Verdict("b", False, "why"), Verdict("c", None, "")
    assert all_good([yes, unknown])
    assert not all_good([yes, no])
    assert "**no**" in verdict_table([yes, no])


def test_json_names_the_machine(tmp_path: Path) -> None:
    write(None, {"x": 1})
    write(tmp_path / "out.json", {"x": float("nan")})
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["x"] is None
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["gpu"] is None
    assert "torch" in found["machine"]["versions"]
