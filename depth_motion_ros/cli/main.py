"""``depth_motion COMMAND ...``: finds the command, parses for it, and prints errors in one line.

A command is a module of this folder with ``HELP: str``, ``add_arguments(parser)`` and
``run(args) -> int``; ``bench_WHAT.py`` is ``depth_motion bench WHAT``. Only the module of the
command that was asked for is imported, so that help needs neither torch nor ROS.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from xml.etree import ElementTree

from depth_motion_ros.share import share_directory

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
BENCH = "bench"


def version() -> str:
    """The version that package.xml states, wherever the package is installed."""
    root = ElementTree.parse(share_directory() / "package.xml").getroot()
    return root.findtext("version") or "unknown"


def commands() -> dict[str, tuple[str, str]]:
    """Every command: its words as typed → (module name, one line of help)."""
    found = {}
    folder = Path(__file__).parent
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/command.py")]):
        text = _help_of(path)
        if path.stem == "command":
            if text is not None:
                found[path.parent.name] = (f"{__package__}.{path.parent.name}.command", text)
            continue
        if text is not None:
            prefix, _, rest = path.stem.partition("_")
            words = f"{BENCH} {rest}" if prefix == BENCH and rest else path.stem
            found[words] = (f"{__package__}.{path.stem}", text)
    return found


def _help_of(path: Path) -> str | None:
    """The string assigned to HELP at the top of a module, read without importing it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        value = getattr(node, "value", None)
        if value is not None and any(isinstance(t, ast.Name) and t.id == "HELP" for t in targets):
            return str(ast.literal_eval(value))
    return None


def _parser(known: dict[str, tuple[str, str]]) -> argparse.ArgumentParser:
    width = max((len(words) for words in known), default=0)
    lines = [f"  {words:<{width}}  {text}" for words, (_, text) in known.items()]
    parser = argparse.ArgumentParser(
        prog="depth_motion",
        description="Depth, ego-motion and moving objects from one camera.",
        epilog="\n".join(["commands:", *lines, "", "depth_motion COMMAND --help says more."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"depth_motion {version()}")
    parser.add_argument(
        "--traceback", action="store_true", help="show where an error came from, not only its text"
    )
    parser.add_argument("command", nargs="?", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the command takes")
    return parser


def _select(
    parser: argparse.ArgumentParser,
    known: dict[str, tuple[str, str]],
    command: str,
    rest: list[str],
) -> tuple[str, list[str]]:
    """The words of a known command and the arguments left for it; leaves with code 2 otherwise."""
    words = command
    benches = [name.split()[1] for name in known if name.startswith(f"{BENCH} ")]
    if command == BENCH and command not in known:
        if not rest or rest[0] not in benches:
            asked = f", not {rest[0]!r}" if rest else ""
            parser.error(f"bench needs one of: {', '.join(benches) or '(none installed)'}{asked}")
        words, rest = f"{BENCH} {rest[0]}", rest[1:]
    if words not in known:
        close = difflib.get_close_matches(words, known, n=1)
        hint = f", did you mean {close[0]!r}" if close else ""
        parser.error(f"unknown command {words!r}{hint}. There are: {', '.join(known)}")
    return words, rest


def _is_expected(error: Exception) -> bool:
    """Errors that carry their own explanation: our typed ones, files, and missing libraries."""
    ours = type(error).__module__.partition(".")[0] == "depth_motion_ros"
    return ours or isinstance(error, (OSError, ImportError))


class _ToStderr(logging.Handler):
    """What takes time (tracing a graph, building an engine) says so."""

    def emit(self, record: logging.LogRecord) -> None:
        # Looked up here: who calls main() as a function may have put another stream there.
        print(record.getMessage(), file=sys.stderr)


@contextmanager
def _log_shown() -> Iterator[None]:
    """The package's log on stderr while a command runs; afterwards as the caller had it."""
    package, handler = logging.getLogger("depth_motion_ros"), _ToStderr()
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.setLevel(level)
        package.removeHandler(handler)


@contextmanager
def _ends_in_order() -> Iterator[None]:
    """SIGTERM leaves through the command's own clean-up, so that no process that it started stays.

    Raises SystemExit (143) in the command when it comes. Elsewhere than in the main thread, which
    alone hears signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        # A file's name need not be UTF-8, and it must not end what it is printed by.
        sys.stdout.reconfigure(errors="backslashreplace")
    with _log_shown(), _ends_in_order():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    known = commands()
    parser = _parser(known)
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return WRONG_USAGE
    words, rest = _select(parser, known, args.command, args.arguments)
    try:
        module = importlib.import_module(known[words][0])
        sub = argparse.ArgumentParser(
            prog=f"depth_motion {words}",
            description=module.HELP,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        module.add_arguments(sub)
        return int(module.run(sub.parse_args(rest)))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if args.traceback or not _is_expected(error):
            raise
        print(f"depth_motion {words}: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
