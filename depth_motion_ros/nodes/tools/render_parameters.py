"""Writes config/*.yaml and docs/parameters.md from the parameter tables, or prints a table.

python -m depth_motion_ros.nodes.tools.render_parameters                 # writes the files
python -m depth_motion_ros.nodes.tools.render_parameters depth_motion    # prints Markdown
"""

from __future__ import annotations

import sys

from depth_motion_ros.nodes.adaptation.parameters import ADAPTATION_PARAMETERS
from depth_motion_ros.nodes.camera.parameters import CAMERA_PARAMETERS
from depth_motion_ros.nodes.perception.parameters import DEPTH_MOTION_PARAMETERS
from depth_motion_ros.nodes.ros.parameters import render_markdown, render_yaml
from depth_motion_ros.share import share_directory

TABLES = {
    "depth_motion": DEPTH_MOTION_PARAMETERS,
    "camera": CAMERA_PARAMETERS,
    "adaptation": ADAPTATION_PARAMETERS,
}
PREFACE = """# Parameters

Declared once, in `depth_motion_ros/nodes/*_parameters.py`; these tables and `config/*.yaml` are
rendered from there (`python -m depth_motion_ros.nodes.tools.render_parameters`).
"""


def render_reference() -> str:
    """docs/parameters.md."""
    tables = (f"## {name}_node\n\n{render_markdown(table)}" for name, table in TABLES.items())
    return "\n".join((PREFACE, *tables))


def main(arguments: list[str]) -> int:
    for name in arguments:
        if name not in TABLES:
            print(f"no parameter table {name!r}; there are: {', '.join(TABLES)}", file=sys.stderr)
            return 2
        print(render_markdown(TABLES[name]), end="")
    if not arguments:
        share = share_directory()
        files = {
            share / "config" / f"{name}.yaml": render_yaml(table, f"{name}_node")
            for name, table in TABLES.items()
        }
        if (share / "docs").is_dir():
            files[share / "docs" / "parameters.md"] = render_reference()
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
