"""Writes config/*.yaml and docs/reference/parameters.md, or prints a table as Markdown.

python -m depth_motion_ros.nodes.tools.render_parameters                 # writes the files
python -m depth_motion_ros.nodes.tools.render_parameters depth_motion    # prints Markdown
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from depth_motion_ros.nodes.adaptation.parameters import ADAPTATION_PARAMETERS
from depth_motion_ros.nodes.camera.parameters import CAMERA_PARAMETERS
from depth_motion_ros.nodes.perception.parameters import DEPTH_MOTION_PARAMETERS
from depth_motion_ros.settings import Setting, Value
from depth_motion_ros.share import share_directory

TABLES = {
    "depth_motion": DEPTH_MOTION_PARAMETERS,
    "camera": CAMERA_PARAMETERS,
    "adaptation": ADAPTATION_PARAMETERS,
}
PREFACE = """# Parameters

Each parameter is declared once: those of the estimator in
`depth_motion_ros/estimation/settings.py`, those of the learner in
`depth_motion_ros/adaptation/settings.py`, the others in
`depth_motion_ros/nodes/*/parameters.py`. `python -m depth_motion_ros.nodes.tools.render_parameters`
generates these tables and `config/*.yaml` from there.
"""


def render_reference() -> str:
    """docs/reference/parameters.md."""
    tables = (f"## {name}_node\n\n{render_markdown(table)}" for name, table in TABLES.items())
    return "\n".join((PREFACE, *tables))


def render_yaml(parameters: Iterable[Setting], title: str) -> str:
    """A commented parameter file with every default, for ``--params-file``."""
    lines = [f"# {title}: every parameter with its default.", "/**:", "  ros__parameters:"]
    for parameter in parameters:
        notes = [parameter.range_text, parameter.unit, f"changes {parameter.changes_text}"]
        lines.append(f"    # {parameter.description}")
        lines.append(f"    # ({'; '.join(note for note in notes if note)})")
        lines.append(f"    {parameter.name}: {_yaml_value(parameter.default)}")
    return "\n".join(lines) + "\n"


def render_markdown(parameters: Iterable[Setting]) -> str:
    """The table of a node's parameters."""
    lines = [
        "| parameter | type | default | range | unit | changes | description |",
        "|---|---|---|---|---|---|---|",
    ]
    for parameter in parameters:
        cells = (
            f"`{parameter.name}`",
            parameter.type_name,
            f"`{_yaml_value(parameter.default)}`",
            parameter.range_text.replace("|", "\\|"),
            parameter.unit,
            parameter.changes_text,
            parameter.description.replace("|", "\\|"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _yaml_value(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_yaml_value(entry) for entry in value) + "]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


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
            files[share / "docs" / "reference" / "parameters.md"] = render_reference()
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
