"""A prepare that is killed leaves only whole sequences, and the next one goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.bag_recorder import MS, START, Recorder, record

from depth_motion_ros.cli.main import main
from depth_motion_ros.sources.folder import FolderSource
from depth_motion_ros.sources.sequence.prepared import PreparedDataset, is_prepared
from depth_motion_ros.sources.sequence.reader import SequenceSource, is_sequence
from depth_motion_ros.training.data.fit import FrameFit
from depth_motion_ros.training.data.prepare import PrepareSettings, prepare

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("DEPTH_MOTION_DATA", ROOT.parent / "shared" / "data"))
TEXTURE = np.random.default_rng(5).integers(0, 256, (96, 700, 3), dtype=np.uint8)
FRAMES = 150


def drive(recorder: Recorder) -> None:
    """Three stretches of 50 frames; in each, every fifth frame is a duplicate."""
    for step in range(FRAMES):
        stamp = START + 100 * MS * step + 5000 * MS * (step // 50)
        position = 4 * (step - (step % 5 == 4))
        recorder.image("/cam/image_raw", stamp, TEXTURE[:, position : position + 96])
        recorder.odometry("/odom", stamp, 1.0 + step, 0.0)


def short_drive(folder: Path) -> Path:
    """Two stretches of 5 images, the last of each a duplicate."""
    folder.mkdir()
    seconds = []
    for step in range(10):
        position = 4 * (step - (step % 5 == 4))
        cv2.imwrite(str(folder / f"{step}.png"), TEXTURE[:, position : position + 96])
        seconds.append(0.1 * step + 5 * (step // 5))
    (folder / "timestamps.txt").write_text("".join(f"{second}\n" for second in seconds))
    return folder


def arguments(bag: Path, out: Path) -> list[str]:
    return ["prepare", str(bag), "--out", str(out), "--width", "64"]


def contents(out: Path) -> dict[str, bytes]:
    """Every file of the set that a reader may look at."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(out).parts)
    }


def check_whole(out: Path) -> None:
    """Whatever can be found can be read to its end."""
    if is_prepared(out):
        for sequence in PreparedDataset(out):
            assert [sequence.frame(index).stamp for index in range(len(sequence))] == (
                sequence.stamps
            )
    for folder in out.iterdir() if out.is_dir() else ():
        if is_sequence(folder) and not folder.name.startswith("."):
            assert len(list(SequenceSource(folder))) == 40


def written(out: Path) -> int:
    """Images on disk. Folders that are renamed meanwhile do not disturb os.walk."""
    return sum(name.endswith(".jpg") for _, _, names in os.walk(out) for name in names)


@pytest.mark.parametrize("moments", [(1, 43, 118), (30, 41)])
def test_killed_at_any_moment_it_resumes_to_the_same_set(
    tmp_path: Path, moments: tuple[int, ...]
) -> None:
    bag = record(tmp_path / "drive", "mcap", drive)
    whole = tmp_path / "whole"
    assert main(arguments(bag, whole)) == 0
    assert [len(sequence) for sequence in PreparedDataset(whole)] == [40, 40, 40]
    out = tmp_path / "set"
    killed = 0
    for moment in moments:  # number of images on disk at which to kill
        child = subprocess.Popen(
            [sys.executable, "-m", "depth_motion_ros.cli.main", *arguments(bag, out)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        while child.poll() is None and written(out) < moment:
            time.sleep(0.0005)
        child.send_signal(signal.SIGKILL)
        child.wait()
        killed += child.returncode == -signal.SIGKILL
        check_whole(out)
    assert killed >= 1
    assert main(arguments(bag, out)) == 0
    assert contents(out) == contents(whole)
    assert not list(out.glob(".*.partial"))


class Killed(BaseException):
    """Ends a run where nothing catches it, as a signal would."""


def test_killed_between_any_two_steps_on_disk_it_resumes_to_the_same_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = short_drive(tmp_path / "drive")
    settings = PrepareSettings(FrameFit(64))
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow, and no matter to a killed process

    def run(out: Path) -> None:
        prepare({"drive": lambda: FolderSource(images)}, out, settings, lambda *_: None)

    run(tmp_path / "whole")
    expected = contents(tmp_path / "whole")
    steps = [(os, "replace"), (Path, "write_bytes"), (Path, "unlink"), (Path, "open")]
    real = {name: getattr(owner, name) for owner, name in steps}

    def run_until(limit: int, out: Path) -> bool:
        """Whether the run was killed: instead of the step with this number, or half-way in it."""
        left = limit

        def step(name: str):
            def call(*given, **options):
                nonlocal left
                if str(tmp_path / "set") in str(given[0]):
                    left -= 1
                    if left < 0:
                        if name == "write_bytes":
                            real[name](given[0], given[1][: len(given[1]) // 2])
                        raise Killed
                return real[name](*given, **options)

            return call

        with monkeypatch.context() as patch:
            for owner, name in steps:
                patch.setattr(owner, name, step(name))
            try:
                run(out)
            except Killed:
                return True
        return False

    limit = 0
    while run_until(limit, out := tmp_path / f"set{limit}"):
        if is_prepared(out):
            for sequence in PreparedDataset(out):
                assert len([sequence.frame(index) for index in range(len(sequence))]) == 4
        run(out)
        assert contents(out) == expected, f"killed at step {limit}"
        limit += 1
    # 8 images in 2 sequences; every sequence has tables, a name and entries in the index.
    assert limit > 25


def test_an_interrupt_from_the_keyboard_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from depth_motion_ros.sources.sequence.writer import SequenceWriter

    bag = record(tmp_path / "drive", "sqlite3", drive)
    out = tmp_path / "set"
    write = SequenceWriter.write

    def interrupted(self, *rest):
        if len(self) == 25:
            raise KeyboardInterrupt
        write(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(SequenceWriter, "write", interrupted)
        assert main(arguments(bag, out)) == 130
    images = list(out.rglob("*.jpg"))
    assert len(images) == 25
    before = {path.name: path.stat().st_mtime_ns for path in images}
    assert main(arguments(bag, out)) == 0
    assert "150 frames read, 120 kept, 30 too alike" in capsys.readouterr().out
    after = {path.name: path.stat().st_mtime_ns for path in (out / "drive" / "image").iterdir()}
    assert all(after[name] == moment for name, moment in before.items())  # not written again


def test_real_recordings_are_prepared(tmp_path: Path) -> None:
    if not (DATA / "bag").is_dir():
        pytest.skip(f"no real bags at {DATA / 'bag'}; set DEPTH_MOTION_DATA")
    bags = [str(path) for path in sorted((DATA / "bag").iterdir())]
    still = str(DATA / "train" / "kitti_raw_static101")
    out = tmp_path / "set"
    assert main(["prepare", *bags, still, "--out", str(out), "--width", "208"]) == 0
    dataset = PreparedDataset(out)
    # 250 and 100 frames of a moving car; one single image and a car that stands give no pair.
    assert [len(sequence) for sequence in dataset] == [250, 100]
    for sequence in dataset:
        assert sequence.size == (208, 64)
        assert sequence.camera is not None
        assert sequence.camera.fx == pytest.approx(246.322 / 2)
        assert 4 < np.median([speed for speed in sequence.speed if speed is not None]) < 15  # m/s
