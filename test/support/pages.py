"""What the pages and the SROS 2 policy say, for tests that hold the code against them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from depth_motion_ros.share import config_file

DOCS = Path(__file__).resolve().parents[2] / "docs"


def read(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def granted(node: str, kind: str, verb: str) -> set[str]:
    """Full names that the SROS 2 policy grants a node."""
    root = ElementTree.parse(config_file("sros2_policy.xml")).getroot()
    [profile] = root.findall(f".//profile[@node='{node}']")
    names = {
        entry.text or ""
        for group in profile.findall(kind)
        if group.get(verb) == "ALLOW"
        for entry in group
    }
    return {
        name if name.startswith("/") else f"/{node}{name[1:]}" if name[0] == "~" else f"/{name}"
        for name in names
    }
