"""Recordings become a training set: what is kept, what is dropped, and what is said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.bag_recorder import MS, START, Recorder, record

from depth_motion_ros.cli.main import main
from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.base import Source
from depth_motion_ros.sources.frame import Frame, GroundTruth, SourceError
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.sequence.prepared import PreparedDataset
from depth_motion_ros.training.data.fit import FrameFit
from depth_motion_ros.training.data.index import SourceState, locked
from depth_motion_ros.training.data.prepare import PrepareSettings, prepare

CAMERA = Camera(np.array([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]]), 64, 48)
NOISE = np.random.default_rng(3).integers(0, 256, (48, 400, 1), dtype=np.uint8)
# Gray, since JPEG halves the resolution of colour.
TEXTURE = NOISE.repeat(3, axis=2)
SETTINGS = PrepareSettings(FrameFit(32))
RAW = [cv2.IMWRITE_PNG_COMPRESSION, 0]


def view(position: int) -> np.ndarray:
    return TEXTURE[:, position : position + 64]


def at_10_hz(positions: list[int], start: int = 0) -> list[Frame]:
    return [
        Frame(start + 100 * MS * index, view(position), CAMERA, GroundTruth(speed=float(position)))
        for index, position in enumerate(positions)
    ]


class Given(Source):
    """A source of given frames that may break behind them."""

    def __init__(self, frames: list[Frame], error: str | None = None, name: str = "given") -> None:
        super().__init__(name, 10.0, len(frames))
        self.frames, self.error = frames, error

    def __iter__(self) -> Iterator[Frame]:
        yield from self.frames
        if self.error:
            raise SourceError(self.error)


def run(
    path: Path, sources: dict[str, Callable[[], Source]], settings: PrepareSettings = SETTINGS
) -> list[SourceState]:
    return prepare(sources, path, settings, lambda *_: None)


def test_frames_become_small_and_keep_camera_stamp_and_speed(tmp_path: Path) -> None:
    frames = at_10_hz([0, 5, 10])
    (state,) = run(tmp_path / "set", {"a": lambda: Given(frames)})
    assert (state.status, state.read, state.kept) == ("done", 3, 3)
    (sequence,) = PreparedDataset(tmp_path / "set")
    assert (sequence.name, sequence.source, sequence.size) == ("given", "given", (32, 24))
    assert sequence.stamps == [frame.stamp for frame in frames]
    assert sequence.speed == [0.0, 5.0, 10.0]
    assert sequence.camera is not None
    assert sequence.camera.same_as(CAMERA.resized(32, 24))
    frame = sequence.frame(2)
    expected, _ = FrameFit(32)(frames[2].image, CAMERA)
    assert np.abs(frame.image.astype(int) - expected).mean() < 3  # lost to JPEG
    assert frame.camera is not None
    assert frame.camera.same_as(sequence.camera)
    assert frame.truth is not None
    assert frame.truth.speed == 10


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"name": "given"', "Expecting"),
        (b"\xff\xfe\x00", "codec"),
        (b"[]", "list in place of an object"),
        (b'{"name": "given", "source": "given", "frames": "3", "last": 2}', "'frames' is '3'"),
        (b'{"name": "other", "source": "given", "frames": 3, "last": 2}', "note of 'other'"),
    ],
)
def test_a_damaged_note_is_named_with_the_way_out(
    tmp_path: Path, content: bytes, said: str
) -> None:
    def sources() -> dict[str, Callable[[], Source]]:
        return {"a": lambda: Given(at_10_hz([0, 5, 10]))}

    run(tmp_path, sources())
    note = tmp_path / "given" / "prepared.json"
    note.write_bytes(content)
    with pytest.raises(SourceError, match=r"given/prepared\.json: damaged") as caught:
        run(tmp_path, sources())
    assert said in str(caught.value)
    assert f"remove the folder {note.parent}" in str(caught.value)
    # As it says: without the folder the rest can be used again.
    shutil.rmtree(note.parent)
    run(tmp_path, {"b": lambda: Given(at_10_hz([0, 5, 10]), name="second")})
    assert [sequence.name for sequence in PreparedDataset(tmp_path)] == ["second"]


def test_duplicates_and_static_stretches_are_dropped(tmp_path: Path) -> None:
    frames = at_10_hz([0, 0, 5, 5, 5, 5, 10, 10])
    (state,) = run(tmp_path / "set", {"a": lambda: Given(frames)})
    assert (state.kept, state.duplicates) == (3, 5)
    (sequence,) = PreparedDataset(tmp_path / "set")
    assert sequence.speed == [0, 5, 10]
    assert sequence.difference[0] == 0
    assert min(sequence.difference[1:]) > 0.01


def test_the_threshold_is_the_mean_absolute_difference_in_0_to_1(tmp_path: Path) -> None:
    def gray(*levels: int) -> list[Frame]:
        return [
            Frame(100 * MS * index, np.full((48, 64, 3), level, np.uint8))
            for index, level in enumerate(levels)
        ]

    # 2 of 255 is 0.0078, not above 0.01; 3 of 255 is 0.0118; slow change adds up to 4.
    (state,) = run(tmp_path / "set", {"a": lambda: Given(gray(100, 102, 103, 105, 107))})
    assert state.kept == 3
    (sequence,) = PreparedDataset(tmp_path / "set")
    assert sequence.difference == pytest.approx([0, 3 / 255, 4 / 255], abs=1e-6)
    assert sequence.camera is None
    assert sequence.speed == [None] * 3


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (at_10_hz([50, 60], start=10_000 * MS), "a pause"),
        (at_10_hz([50, 60], start=0), "time going back"),
        ([Frame(f.stamp, f.image) for f in at_10_hz([50, 60], start=400 * MS)], "no camera"),
        (
            [Frame(f.stamp, f.image[:, :40]) for f in at_10_hz([50, 60], start=400 * MS)],
            "another size",
        ),
    ],
)
def test_a_jump_begins_a_new_sequence(tmp_path: Path, second: list[Frame], why: str) -> None:
    frames = at_10_hz([0, 5, 10, 15]) + second
    run(tmp_path / "set", {"a": lambda: Given(frames)})
    dataset = PreparedDataset(tmp_path / "set")
    assert [sequence.name for sequence in dataset] == ["given", "given-2"], why
    assert [len(sequence) for sequence in dataset] == [4, 2]
    assert dataset["given-2"].stamps == [frame.stamp for frame in second]


def test_standing_still_for_long_is_no_gap(tmp_path: Path) -> None:
    frames = at_10_hz([0, 5] + [5] * 50 + [10])
    run(tmp_path / "set", {"a": lambda: Given(frames)})
    (sequence,) = PreparedDataset(tmp_path / "set")
    assert sequence.speed == [0, 5, 10]


def test_a_distorted_camera_is_rectified(tmp_path: Path) -> None:
    bent = Camera(CAMERA.K, 64, 48, np.array([-0.2, 0.02, 0, 0]))
    frames = [Frame(f.stamp, f.image, bent) for f in at_10_hz([0, 5])]
    run(tmp_path / "set", {"a": lambda: Given(frames)})
    (sequence,) = PreparedDataset(tmp_path / "set")
    folder = sequence.folder
    assert folder.camera is not None
    assert not folder.camera.is_distorted
    plain, _ = FrameFit(32)(frames[0].image, None)
    assert np.abs(folder.frame(0).image.astype(int) - plain).mean() > 6  # not just resized


def test_a_source_that_breaks_keeps_what_came_before_and_others_go_on(tmp_path: Path) -> None:
    states = run(
        tmp_path / "set",
        {
            "a": lambda: Given(at_10_hz([0, 5, 10]), error="a.mp4: broke after 3 frames"),
            "b": lambda: Given(at_10_hz([0, 5])),
        },
    )
    assert [state.status for state in states] == ["broken", "done"]
    assert states[0].error == "a.mp4: broke after 3 frames"
    dataset = PreparedDataset(tmp_path / "set")
    assert {sequence.name: len(sequence) for sequence in dataset} == {"given": 3, "given_2": 2}


def test_a_repaired_source_goes_on_behind_the_break(tmp_path: Path) -> None:
    frames = at_10_hz([0, 5, 10, 15, 20])
    run(tmp_path / "set", {"a": lambda: Given(frames[:3], error="cut off")})
    (state,) = run(tmp_path / "set", {"a": lambda: Given(frames)})
    assert (state.status, state.error, state.kept) == ("done", None, 5)
    dataset = PreparedDataset(tmp_path / "set")
    stamps = [stamp for sequence in dataset for stamp in sequence.stamps]
    assert stamps == [frame.stamp for frame in frames]
    assert [sequence.difference[0] for sequence in dataset] == [0, 0]


def test_what_is_done_is_not_read_again_and_a_set_can_grow(tmp_path: Path) -> None:
    def never() -> Source:
        raise AssertionError("opened again")

    run(tmp_path / "set", {"a": lambda: Given(at_10_hz([0, 5]))})
    states = run(tmp_path / "set", {"a": never, "b": lambda: Given(at_10_hz([9, 18]), name="b")})
    assert [state.kept for state in states] == [2, 2]
    assert [sequence.name for sequence in PreparedDataset(tmp_path / "set")] == ["b", "given"]


def images(folder: Path, positions: list[int]) -> Path:
    folder.mkdir(exist_ok=True)
    for index, position in enumerate(positions):
        cv2.imwrite(str(folder / f"{index}.png"), view(position))
    return folder


def video(path: Path, count: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    for index in range(count):
        writer.write(view(20 * index))
    writer.release()
    return path


@pytest.mark.parametrize("kind", ["images", "video", "bag"])
def test_a_source_that_has_changed_is_read_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    def make(count: int) -> Path:
        if kind == "images":
            return images(tmp_path / "drive", [10 * index for index in range(count)])
        if kind == "video":
            return video(tmp_path / "drive.avi", count)
        shutil.rmtree(tmp_path / "drive", ignore_errors=True)

        def fill(recorder: Recorder) -> None:
            for step in range(count):
                recorder.image("/cam/image_raw", START + 100 * MS * step, view(10 * step))

        return record(tmp_path / "drive", "mcap", fill)

    out = tmp_path / "set"
    for count in (4, 7):
        assert main(["prepare", str(make(count)), "--out", str(out), "--width", "32"]) == 0
    assert "has changed since it was read" in capsys.readouterr().err
    (sequence,) = PreparedDataset(out)
    assert len(sequence) == 7
    assert [entry.name for entry in out.iterdir() if entry.name.startswith(".")] == [".lock"]


def test_the_same_number_of_bytes_may_be_another_recording(tmp_path: Path) -> None:
    folder = tmp_path / "drive"
    out = tmp_path / "set"
    for shift in (0, 100):
        folder.mkdir(exist_ok=True)
        for index in range(3):  # not compressed: one size whatever they show
            cv2.imwrite(str(folder / f"{index}.png"), view(shift + 10 * index), RAW)
        assert main(["prepare", str(folder), "--out", str(out), "--width", "64"]) == 0
    (sequence,) = PreparedDataset(out)
    assert np.abs(sequence.frame(0).image.astype(int) - view(100)).mean() < 3


def test_what_was_only_touched_or_copied_is_not_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = images(tmp_path / "drive", [0, 10, 20])
    words = ["prepare", str(folder), "--out", str(tmp_path / "set"), "--width", "32"]
    assert main(words) == 0
    inode = (tmp_path / "set" / "drive").stat().st_ino
    for file in folder.iterdir():
        os.utime(file, (1e9, 1e9))
    assert main(words) == 0
    assert (tmp_path / "set" / "drive").stat().st_ino == inode
    assert "has changed" not in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--rate", "5"], ["--camera-file", "front.yaml"]])
def test_a_source_that_is_read_in_another_way_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images(Path("drive"), [0, 10, 20])
    Path("front.yaml").write_text(CALIBRATION)
    words = ["prepare", "drive", "--out", "set", "--width", "32"]
    assert main(words) == 0
    assert main([*words, *option]) == 0
    (sequence,) = PreparedDataset(Path("set"))
    if option[0] == "--rate":
        assert np.diff(sequence.stamps).tolist() == [200 * MS] * 2
    else:
        assert sequence.camera is not None


def test_a_higher_limit_goes_on_where_the_lower_one_ended(tmp_path: Path) -> None:
    folder = images(tmp_path / "drive", [10 * index for index in range(9)])
    words = ["prepare", str(folder), "--out", str(tmp_path / "set"), "--width", "32"]
    for limit, expected in ((["--max-frames", "4"], 4), (["--max-frames", "3"], 4), ([], 9)):
        assert main([*words, *limit]) == 0
        assert len(PreparedDataset(tmp_path / "set")) == expected


@pytest.mark.parametrize(
    ("positions", "options", "counts", "why"),
    [
        ([0], [], "1 frames read, 0 kept, 0 too alike, 1 without", "it has 1 frames"),
        ([0, 0, 0], [], "3 frames read, 0 kept, 2 too alike, 1 without", "2 frames differ from"),
        ([0, 9, 18], ["--rate", "0.5"], "3 frames read, 0 kept, 0 too alike, 3 without", "3 frames"
         " stand alone: the one before is more than --max-gap 1 s away"),
        ([0, 0, 9, 9], ["--max-gap", "0.01"], "4 frames read, 0 kept, 0 too alike, 4 without",
         "--max-gap 0.01 s"),
    ],
)  # fmt: skip
def test_who_kept_nothing_says_why_and_fails(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    positions: list[int],
    options: list[str],
    counts: str,
    why: str,
) -> None:
    folder = images(tmp_path / "drive", positions)
    words = ["prepare", str(folder), "--out", str(tmp_path / "set"), "--width", "32", *options]
    for _ in range(2):
        assert main(words) == 1
        said = capsys.readouterr()
        assert counts in said.out
        assert f"nothing kept: {why}" in said.err or why in said.err


def test_too_alike_are_only_those_that_are(tmp_path: Path) -> None:
    frames = at_10_hz([0, 0, 5, 5, 10]) + at_10_hz([50], start=5_000 * MS)
    frames += at_10_hz([60, 60, 70], start=10_000 * MS)
    (state,) = run(tmp_path / "set", {"a": lambda: Given(frames)})
    assert (state.read, state.kept, state.duplicates, state.alone) == (9, 5, 3, 1)


def test_each_sequence_of_a_set_is_a_source_of_its_own(tmp_path: Path) -> None:
    run(tmp_path / "set", {"a": lambda: Given(at_10_hz([0, 5]))})
    assert open_source(tmp_path / "set" / "given").length == 2
    with pytest.raises(SourceError, match="give one of its folders: given"):
        open_source(tmp_path / "set")


def test_a_set_is_of_one_kind(tmp_path: Path) -> None:
    run(tmp_path / "set", {"a": lambda: Given(at_10_hz([0, 5]))})
    with pytest.raises(SourceError, match=r"other settings.*width 32, now 48"):
        run(tmp_path / "set", {}, PrepareSettings(FrameFit(48)))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(SourceError, match="not empty and not a prepared data set"):
        run(tmp_path / "other", {})
    with locked(tmp_path / "set"), pytest.raises(SourceError, match="another depth_motion prepare"):
        run(tmp_path / "set", {})


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 1.0}, {"max_gap": 0.0}, {"quality": 0}, {"max_frames": 1}],
)
def test_impossible_settings_are_named(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PrepareSettings(**wrong)


def drive(recorder: Recorder) -> None:
    for step in range(6):
        stamp = START + 100 * MS * step
        recorder.image("/cam/image_raw", stamp, view(10 * step))
        recorder.info("/cam/camera_info", stamp)
        recorder.odometry("/odom", stamp, 0.5, 0.0)


def test_the_command_names_broken_inputs_and_prepares_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = record(tmp_path / "good", "mcap", drive)
    blind = record(tmp_path / "blind", "sqlite3", lambda r: r.odometry("/odom", START, 1.0, 0.0))
    (tmp_path / "torn.mp4").write_bytes(b"\0\0\0\x18ftypmp42 torn")
    (tmp_path / "notes.txt").write_text("x")
    inputs = [good, blind, tmp_path / "torn.mp4", tmp_path / "notes.txt", tmp_path / "gone.bag"]
    out = tmp_path / "set"
    code = main(["prepare", *map(str, inputs), "--out", str(out), "--width", "32"])
    said = capsys.readouterr()
    assert code == 1
    for name, reason in [
        ("blind", "no images in this bag"),
        ("torn.mp4", "cannot open as a video"),
        ("notes.txt", "unknown kind"),
        ("gone.bag", "no such file"),
    ]:
        assert any(name in line and reason in line for line in said.err.splitlines()), said.err
    assert "good: 6 frames read, 6 kept" in said.out
    (sequence,) = PreparedDataset(out)
    assert sequence.speed == [0.5] * 6
    assert sequence.camera is not None
    assert sequence.camera.fx == pytest.approx(25, rel=0.1)  # 50 halved; the lens is rectified


def test_the_command_names_a_missing_topic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = str(record(tmp_path / "good", "mcap", drive))
    out = str(tmp_path / "set")
    assert main(["prepare", good, "--topic", "/gone", "--out", out]) == 1
    assert "no topic '/gone'; image topics: /cam/image_raw" in capsys.readouterr().err
    # The same bag with the right topic is another source, and works.
    assert main(["prepare", good, "--topic", "/cam/image_raw", "--out", out]) == 0
    assert len(PreparedDataset(out)) == 6


CALIBRATION = """image_width: 64
image_height: 48
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [60, 0, 31.5, 0, 60, 23.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
"""


PROJECTION = (40.0, 0.0, 30.0, 0.0, 0.0, 41.0, 22.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("topic", "options", "focal"),
    [
        ("/cam/image_rect", [], 40),
        ("/cam/undone", ["--rectified"], 40),
        ("/cam/image_raw", [], 50),
    ],
)
def test_a_rectified_bag_is_not_rectified_again(
    tmp_path: Path, topic: str, options: list[str], focal: float
) -> None:
    def script(recorder: Recorder) -> None:
        for index in range(4):
            recorder.info("/cam/camera_info", START + 100 * index * MS, p=PROJECTION)
            recorder.image(topic, START + 100 * index * MS, view(10 * index))

    bag = str(record(tmp_path / "bag", "mcap", script))
    assert main(["prepare", bag, *options, "--out", str(tmp_path / "set"), "--width", "64"]) == 0
    (sequence,) = PreparedDataset(tmp_path / "set")
    assert sequence.camera is not None
    # A raw lens may be zoomed a little, so that no border is black.
    assert sequence.camera.fx == pytest.approx(focal, rel=0 if focal == 40 else 0.1)
    image = next(iter(sequence.folder)).image
    same = np.abs(image.astype(int) - view(0)).mean() < 4  # JPEG
    assert same == (focal == 40)


def test_the_command_takes_the_projection_of_a_calibration_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for index in range(3):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), view(10 * index)[..., ::-1])
    projection = f"projection_matrix: {{rows: 3, cols: 4, data: {list(PROJECTION)}}}\n"
    (tmp_path / "front.yaml").write_text(CALIBRATION + projection)
    arguments = [str(tmp_path / "images"), "--camera-file", str(tmp_path / "front.yaml")]
    for name, options, focal in (("a", [], 60), ("b", ["--rectified"], 40)):
        out = str(tmp_path / name)
        assert main(["prepare", *arguments, *options, "--out", out, "--width", "64"]) == 0
        (sequence,) = PreparedDataset(out)
        assert sequence.camera is not None
        assert sequence.camera.fx == focal


def test_the_command_takes_a_calibration_file_for_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for index in range(3):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), view(10 * index)[..., ::-1])
    (tmp_path / "front.yaml").write_text(CALIBRATION)
    arguments = [str(tmp_path / "images"), "--camera-file", str(tmp_path / "front.yaml")]
    assert main(["prepare", *arguments, "--out", str(tmp_path / "set"), "--width", "32"]) == 0
    (sequence,) = PreparedDataset(tmp_path / "set")
    assert sequence.camera is not None
    assert sequence.camera.same_as(CAMERA.resized(32, 24))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("image_width: 64\n", ""), "no size of the image (image_width and image_height)"),
        (("data: [60", "data: [0"), "focal lengths must be positive"),
        (("image_width: 64", "image_width: [6"), "cannot read this camera file"),
    ],
)
def test_a_wrong_calibration_file_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    match: str,
) -> None:
    (tmp_path / "front.yaml").write_text(CALIBRATION.replace(*change))
    arguments = ["x", "--out", str(tmp_path / "set")]
    assert main(["prepare", *arguments, "--camera-file", str(tmp_path / "front.yaml")]) == 1
    said = capsys.readouterr().err
    assert match in said
    assert "front.yaml" in said


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "not a prepared data set"),
        ("{", "cannot read"),
        ('{"version": 7}', "version 7, this program reads 1"),
        ('{"version": 1, "settings": {}, "sequences": [{"name": "a"}]}', "not a valid index"),
        (
            '{"version": 1, "settings": {}, "sequences": [{"name": "a", "source": "a", "width": 9,'
            ' "height": 9, "K": null, "stamps": [], "speed": null, "difference": []}]}',
            "listed in the index but gone",
        ),
    ],
)
def test_a_wrong_index_is_named(tmp_path: Path, content: str | None, match: str) -> None:
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(SourceError, match=match):
        PreparedDataset(tmp_path)
