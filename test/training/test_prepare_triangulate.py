"""``depth_motion prepare --triangulate`` as typed: videos and sequences, with and without K."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.training_helpers import Room, abs_rel, write_sequence

from depth_motion_ros.cli import prepare as prepare_command
from depth_motion_ros.cli.main import main
from depth_motion_ros.sources.sequence.prepared import PreparedDataset
from depth_motion_ros.training.data.frames import SequenceFrames
from depth_motion_ros.training.data.index import locked
from depth_motion_ros.training.triangulation.depth import Triangulation

WIDTH, HEIGHT, FRAMES = 192, 96, 5
CALIBRATION = """image_width: {width}
image_height: {height}
camera_name: front
camera_matrix: {{rows: 3, cols: 3, data: {K}}}
distortion_model: plumb_bob
distortion_coefficients: {{rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}}
"""


@pytest.fixture(scope="module")
def room() -> Room:
    return Room(FRAMES, WIDTH, HEIGHT)


@pytest.fixture
def video(room: Room, tmp_path: Path) -> Path:
    """What a phone records: no intrinsics, no truth, lossy."""
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (WIDTH, HEIGHT))
    for image in room.images:
        writer.write(image[..., ::-1])
    writer.release()
    return path


@pytest.fixture
def calibration(room: Room, tmp_path: Path) -> Path:
    path = tmp_path / "front.yaml"
    K = room.true_camera.K.ravel().tolist()
    path.write_text(CALIBRATION.format(width=WIDTH, height=HEIGHT, K=K))
    return path


def prepare(out: Path, *words: object) -> int:
    more = [str(word) for word in words]
    return main(["prepare", *more, "--out", str(out), "--width", str(WIDTH), "--triangulate"])


@pytest.fixture(scope="module")
def prepared(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A triangulated set of one sequence, its source beside it; not to be changed."""
    folder = tmp_path_factory.mktemp("prepared")
    assert prepare(folder / "set", write_sequence(room, folder / "room")) == 0
    return folder


@pytest.fixture
def changeable(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the set that may be changed."""
    return Path(shutil.copytree(prepared / "set", tmp_path / "set"))


def test_a_video_with_a_calibration_tells_its_depth(
    room: Room, video: Path, calibration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(tmp_path / "set", video, "--camera-file", calibration) == 0
    said = capsys.readouterr().out
    (sequence,) = PreparedDataset(tmp_path / "set")
    assert f"{sequence.name}: " in said
    assert "% of the pixels triangulated" in said
    frames = SequenceFrames(sequence.path)
    assert frames.has_triangulated
    errors = []
    for index in range(FRAMES):
        depth = frames.triangulated(index)
        assert depth is not None
        known = np.isfinite(depth)
        errors.append(abs_rel(depth[known], room.depths[index][known]))
    # Measured 0.086 after two JPEGs; a constant depth has 0.205.
    assert np.mean(errors) < 0.12


def test_without_intrinsics_it_says_so_and_the_rest_is_done(
    room: Room, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = write_sequence(room, tmp_path / "room")
    assert prepare(tmp_path / "set", video, known) == 0
    said = capsys.readouterr().out
    assert "walk_avi: not triangulated, its intrinsics are unknown" in said
    assert "--camera-file" in said
    has = {
        s.name: SequenceFrames(s.path).has_triangulated for s in PreparedDataset(tmp_path / "set")
    }
    assert has == {"walk_avi": False, "room": True}


def test_again_nothing_is_done_again(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(self: Triangulation, index: int) -> None:
        raise AssertionError("triangulated again")

    monkeypatch.setattr(Triangulation, "depth", never)
    assert prepare(prepared / "set", prepared / "room") == 0
    assert "room: " in capsys.readouterr().out


def test_a_set_that_was_prepared_without_can_be_triangulated_later(
    room: Room, tmp_path: Path
) -> None:
    source = str(write_sequence(room, tmp_path / "room"))
    out = tmp_path / "set"
    assert main(["prepare", source, "--out", str(out), "--width", str(WIDTH)]) == 0
    assert not SequenceFrames(out / "room").has_triangulated
    assert prepare(out, source) == 0
    assert SequenceFrames(out / "room").has_triangulated


def test_it_says_how_far_it_is(
    prepared: Path,
    changeable: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(prepare_command, "_TELL_EVERY", 0.0)
    assert prepare(changeable, prepared / "room") == 0
    assert "room: 3 of 5 frames triangulated" in capsys.readouterr().out
    monkeypatch.setattr(prepare_command, "_TELL_EVERY", 3600.0)
    assert prepare(changeable, prepared / "room") == 0
    assert "frames triangulated" not in capsys.readouterr().out


def test_a_damaged_map_is_named_and_other_sequences_go_on(
    room: Room, prepared: Path, changeable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = sorted((changeable / "room" / "triangulated").iterdir())[2]
    torn.write_bytes(torn.read_bytes()[:1000])
    other = write_sequence(room, tmp_path / "zoo")
    assert prepare(changeable, prepared / "room", other) == 1
    said = capsys.readouterr()
    assert f"room: {torn}: damaged" in said.err
    assert "zoo: " in said.out
    assert SequenceFrames(changeable / "zoo").has_triangulated
    # As it says: without the file it is made anew.
    torn.unlink()
    assert prepare(changeable, prepared / "room", other) == 0
    original = prepared / "set" / torn.relative_to(changeable)
    assert torn.read_bytes() == original.read_bytes()


def test_two_at_a_time_do_not_write_the_same_files(prepared: Path, changeable: Path) -> None:
    with locked(changeable):
        assert prepare(changeable, prepared / "room") == 1
