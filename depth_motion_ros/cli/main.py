"""``depth_motion COMMAND ...``: finds the command, parses for it, and prints errors in one line.

A command is a module with ``add_arguments(parser)`` and ``run(args) -> int``, listed in
``COMMANDS``. Only the module of the command that was asked for is imported, so that help needs
neither torch nor ROS.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import NamedTuple
from xml.etree import ElementTree

from depth_motion_ros.share import share_directory

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class Command(NamedTuple):
    """module: what is imported to run it. help: one line."""

    module: str
    help: str


COMMANDS = {
    "adapt": Command(
        "depth_motion_ros.cli.adapt",
        "adapt weights to recorded video, with the gates that guard the robot",
    ),
    "demo": Command(
        "depth_motion_ros.cli.demo.command",
        "run camera and node over DDS; leaves pictures, a video, a bag and a summary",
    ),
    "doctor": Command(
        "depth_motion_ros.cli.doctor.command",
        "check Python, ROS, middleware, GPU, engines, weights, topics; say what to fix",
    ),
    "evaluate": Command(
        "depth_motion_ros.cli.evaluate",
        "score weights on sequences with ground truth, beside the baselines",
    ),
    "export": Command(
        "depth_motion_ros.cli.export",
        "write an ONNX model, or build the TensorRT engine (experimental) ahead",
    ),
    "pack": Command(
        "depth_motion_ros.cli.pack",
        "write weights in half precision with the metadata that belong to a release",
    ),
    "prepare": Command(
        "depth_motion_ros.cli.prepare",
        "make a compact training set from videos, image folders, KITTI, bags or the simulator",
    ),
    "simulate": Command(
        "depth_motion_ros.cli.simulate",
        "render a scene into a sequence folder with exact depth, poses and object motion",
    ),
    "train": Command(
        "depth_motion_ros.cli.train",
        "train the networks on recorded video, simulated scenes, or a mixture",
    ),
}


def version() -> str:
    """The version that package.xml states, wherever the package is installed."""
    root = ElementTree.parse(share_directory() / "package.xml").getroot()
    return root.findtext("version") or "unknown"


def _parser() -> argparse.ArgumentParser:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
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
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return WRONG_USAGE
    if args.command not in COMMANDS:
        close = difflib.get_close_matches(args.command, COMMANDS, n=1)
        hint = f", did you mean {close[0]!r}" if close else ""
        parser.error(f"unknown command {args.command!r}{hint}. There are: {', '.join(COMMANDS)}")
    command = COMMANDS[args.command]

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        importlib.import_module(command.module).add_arguments(parser)

    def run(args: argparse.Namespace) -> int:
        return int(importlib.import_module(command.module).run(args))

    program = f"depth_motion {args.command}"
    return run_command(program, command.help, add_arguments, run, args.arguments, args.traceback)


def run_command(
    program: str,
    description: str | None,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
    traceback: bool = False,
) -> int:
    """Parse for a command and run it; an error that explains itself is printed in one line.

    traceback: raise such an error instead. Returns the exit code, see ``main``.
    """
    with _log_shown(), _ends_in_order():
        try:
            parser = argparse.ArgumentParser(
                prog=program,
                description=description,
                formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            )
            add_arguments(parser)
            return run(parser.parse_args(argv))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED
        except BrokenPipeError:
            # The reader (`| head`) has gone; keep the interpreter from complaining at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except Exception as error:
            if traceback or not _is_expected(error):
                raise
            print(f"{program}: {error}", file=sys.stderr)
            return FAILED


if __name__ == "__main__":
    sys.exit(main())
