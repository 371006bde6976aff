"""Sequence folders: what is written is read back, and nothing half-written is ever read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth_motion_ros.geometry.camera import Camera
from depth_motion_ros.sources.frame import Frame, GroundTruth, SourceError
from depth_motion_ros.sources.open import open_source
from depth_motion_ros.sources.sequence.reader import SequenceSource, is_sequence
from depth_motion_ros.sources.sequence.writer import SequenceWriter

DATA = Path(
    os.environ.get("DEPTH_MOTION_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
CAMERA = Camera(np.array([[40.0, 0, 23.5], [0, 41, 15.5], [0, 0, 1]]), 48, 32)
STAMP = 1_317_379_200_123_456_789  # more digits than a float of seconds can hold


def make_frame(index: int, *, truth: bool = True, camera: Camera | None = CAMERA) -> Frame:
    random = np.random.default_rng(index)
    image = random.integers(0, 256, (32, 48, 3), dtype=np.uint8)
    if not truth:
        return Frame(STAMP + index, image, camera)
    depth = random.uniform(1, 100, (32, 48)).astype(np.float32)
    depth[0, :3] = np.nan, 300, 0.5  # unknown, beyond 16 bits at 256 a metre, near
    motion = random.normal(0, 1, (32, 48, 3)).astype(np.float32)
    motion[0, 0] = np.nan
    pose = np.eye(4)
    pose[:3, 3] = index, 0.25, -1 / 3
    instance = random.integers(0, 400, (32, 48), dtype=np.uint16)
    return Frame(STAMP + index, image, camera, GroundTruth(depth, pose, motion, instance, 1.5))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    frames = [make_frame(index) for index in range(3)]
    with SequenceWriter(tmp_path / "a", image_format="png", rate=20) as writer:
        for frame in frames:
            writer.write(frame)
    with SequenceSource(tmp_path / "a") as source:
        assert (source.length, source.rate, source.name) == (3, 20, "a")
        for before, after in zip(frames, source, strict=True):
            assert after.stamp == before.stamp
            np.testing.assert_array_equal(after.image, before.image)
            assert after.camera is not None
            assert after.camera.same_as(CAMERA)
            assert before.truth is not None
            assert after.truth is not None
            np.testing.assert_array_equal(after.truth.pose, before.truth.pose)
            np.testing.assert_array_equal(after.truth.instance, before.truth.instance)
            assert after.truth.speed == 1.5
            # 10 bits of float16 mantissa; values up to 4 m
            np.testing.assert_allclose(after.truth.motion, before.truth.motion, atol=4 / 2048)
            expected = before.truth.depth.copy()
            expected[0, 1] = np.nan  # 300 m does not fit: unknown, not a wall at 256 m
            np.testing.assert_allclose(after.truth.depth, expected, atol=0.5 / 256 + 1e-5)
    files = {path.name for path in (tmp_path / "a").iterdir()}
    assert files == {
        *("image", "depth", "motion", "instance"),
        *("intrinsics.json", "timestamps.txt", "poses.txt", "speed.txt"),
    }


def test_without_truth_or_camera_nothing_is_invented(tmp_path: Path) -> None:
    with SequenceWriter(tmp_path / "a") as writer:
        writer.write(make_frame(0, truth=False, camera=None))
        writer.write(make_frame(1, truth=False, camera=None))
    frames = list(SequenceSource(tmp_path / "a"))
    assert [frame.camera for frame in frames] == [None, None]
    assert [frame.truth for frame in frames] == [None, None]
    assert json.loads((tmp_path / "a" / "intrinsics.json").read_text())["K"] is None


def test_distortion_survives(tmp_path: Path) -> None:
    camera = Camera(CAMERA.K, 48, 32, np.array([0.1, 0.01, 0, 0]), "equidistant")
    with SequenceWriter(tmp_path / "a") as writer:
        writer.write(make_frame(0, truth=False, camera=camera))
    read = SequenceSource(tmp_path / "a").camera
    assert read is not None
    assert read.same_as(camera)


def intrinsics_of(folder: Path, **changes: object) -> Path:
    """A sequence folder whose intrinsics.json somebody wrote by hand."""
    with SequenceWriter(folder) as writer:
        writer.write(make_frame(0, truth=False))
    path = folder / "intrinsics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


LENS = {"distortion": [-0.3, 0.1, 0.0, 0.0], "distortion_model": "radtan"}


def test_a_sequence_may_be_said_to_be_rectified(tmp_path: Path) -> None:
    folder = intrinsics_of(tmp_path / "a", **LENS)
    assert SequenceSource(folder).camera.distortion_model == "plumb_bob"
    assert SequenceSource(folder).camera.is_distorted
    assert open_source(folder, rectified=True).camera.same_as(CAMERA.undistorted())
    with_p = intrinsics_of(tmp_path / "b", **LENS, P=[30, 0, 22, 0, 0, 31, 15, 0, 0, 0, 1, 0])
    assert open_source(with_p, rectified=True).camera.fx == 30


def test_an_ideal_fisheye_survives(tmp_path: Path) -> None:
    camera = Camera(CAMERA.K, 48, 32, distortion_model="equidistant")
    with SequenceWriter(tmp_path / "a") as writer:
        writer.write(make_frame(0, truth=False, camera=camera))
    assert SequenceSource(tmp_path / "a").camera.same_as(camera)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"distortion": [-0.3, 0.1, 0.0, 0.0]}, "say which it is, plumb_bob"),
        ({"distortion": [0.1] * 4, "distortion_model": "fov"}, "unknown distortion model 'fov'"),
        ({"K": np.transpose(CAMERA.K).tolist()}, "K is transposed"),
        ({"K": [[0.6, 0, 0.5], [0, 0.9, 0.5], [0, 0, 1]]}, "cannot be pixels of a 48x32 image"),
    ],
)
def test_intrinsics_that_cannot_be_are_refused(
    tmp_path: Path, changes: dict[str, object], match: str
) -> None:
    with pytest.raises(SourceError, match=match):
        SequenceSource(intrinsics_of(tmp_path / "a", **changes))


def test_a_pose_that_is_unknown_for_one_frame_stays_unknown(tmp_path: Path) -> None:
    with SequenceWriter(tmp_path / "a") as writer:
        writer.write(make_frame(0))
        writer.write(make_frame(1, truth=False))
    poses = SequenceSource(tmp_path / "a").poses
    assert poses[0] is not None
    assert poses[1] is None


def test_an_error_in_the_middle_leaves_nothing_to_read(tmp_path: Path) -> None:
    def interrupted() -> None:
        with SequenceWriter(tmp_path / "a") as writer:
            writer.write(make_frame(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / "a").exists()
    assert not any(is_sequence(path) for path in tmp_path.iterdir())


def test_resuming_gives_the_folder_of_an_uninterrupted_run(tmp_path: Path) -> None:
    with SequenceWriter(tmp_path / "whole") as writer:
        for index in range(4):
            writer.write(make_frame(index))
    first = SequenceWriter(tmp_path / "cut")
    first.write(make_frame(0), {"kept": 0})
    first.write(make_frame(1))
    first.abandon()
    partial = tmp_path / ".cut.partial"
    (partial / "image" / "000002.jpg").write_bytes(b"\xff\xd8 torn by the crash")
    with (partial / ".frames.jsonl").open("a") as journal:
        journal.write('{"stamp": 13173')
    with SequenceWriter(tmp_path / "cut", resume=True) as second:
        assert len(second) == 2
        assert second.records[0]["note"] == {"kept": 0}
        for index in (2, 3):
            second.write(make_frame(index))
    for path in (tmp_path / "whole").rglob("*"):
        if path.is_file() and path.suffix != ".npz":  # zip archives hold the time
            twin = tmp_path / "cut" / path.relative_to(tmp_path / "whole")
            assert twin.read_bytes() == path.read_bytes(), path.name


def test_without_resume_an_interrupted_sequence_starts_again(tmp_path: Path) -> None:
    first = SequenceWriter(tmp_path / "a")
    first.write(make_frame(0))
    first.abandon()
    with SequenceWriter(tmp_path / "a") as second:
        second.write(make_frame(7))
    assert SequenceSource(tmp_path / "a").stamps == [STAMP + 7]


KILLED = """
import sys
sys.path.insert(0, {test!r})
from test_sequence import SequenceWriter, make_frame
with SequenceWriter({path!r}, resume=True) as writer:
    for index in range(len(writer), 400):
        writer.write(make_frame(index))
        print(index, flush=True)
"""


def test_a_killed_writer_resumes_and_is_never_read_half(tmp_path: Path) -> None:
    path = tmp_path / "a"
    script = KILLED.format(test=str(Path(__file__).parent), path=str(path))
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    for wait in (5, 17):  # frames; any number will do
        child = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment
        )
        assert child.stdout is not None
        for _ in range(wait):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        assert not path.exists()
    with SequenceWriter(path, resume=True) as writer:
        done = len(writer)
        assert done >= 22
        writer.write(make_frame(done))
    frames = list(SequenceSource(path))
    assert [frame.stamp for frame in frames] == [STAMP + index for index in range(done + 1)]


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (Frame(0, np.zeros((32, 50, 3), np.uint8)), "50x32, the first was 48x32"),
        (make_frame(0, camera=None), "another camera"),
        (make_frame(0, camera=CAMERA.flipped().resized(48, 32)), None),
        (make_frame(0, camera=CAMERA.resized(96, 64).cropped(0, 0, 48, 32)), "another camera"),
    ],
)
def test_one_sequence_is_one_camera(tmp_path: Path, frame: Frame, match: str | None) -> None:
    writer = SequenceWriter(tmp_path / "a")
    writer.write(make_frame(0))
    if match is None:  # the principal point is the centre: the mirrored camera is the same
        writer.write(frame)
        return
    with pytest.raises(SourceError, match=match):
        writer.write(frame)


def test_a_finished_sequence_is_not_overwritten(tmp_path: Path) -> None:
    with SequenceWriter(tmp_path / "a") as writer:
        writer.write(make_frame(0))
    with pytest.raises(SourceError, match="exists already"):
        SequenceWriter(tmp_path / "a")


def test_a_sequence_without_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no frames"):
        SequenceWriter(tmp_path / "a").close()
    assert list(tmp_path.iterdir()) == []


def whole_sequence(path: Path) -> Path:
    with SequenceWriter(path) as writer:
        writer.write(make_frame(0))
        writer.write(make_frame(1))
    return path


def test_damage_is_named(tmp_path: Path) -> None:
    path = whole_sequence(tmp_path / "a")
    jpeg = path / "image" / "000001.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[:500])
    source = iter(SequenceSource(path))
    assert next(source).stamp == STAMP  # the frames before it are delivered
    with pytest.raises(SourceError, match=r"000001\.jpg.*truncated at 500 bytes"):
        next(source)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("timestamps.txt", "1.0\n", "1 stamps for 2 images"),
        ("timestamps.txt", "1.0\nsoon\n", "line 2 is not a number of seconds: 'soon'"),
        ("poses.txt", "1 2 3\n1 2 3\n", "line 1 has 3 numbers, not 12"),
        ("intrinsics.json", "{", "cannot read"),
        ("intrinsics.json", '{"width": 48, "height": 32, "K": [[1]]}', "no valid camera"),
        ("intrinsics.json", '{"width": 48, "height": 32, "K": null}', "without a depth_scale"),
    ],
)
def test_tables_that_do_not_fit_are_named(
    tmp_path: Path, name: str, content: str, match: str
) -> None:
    path = whole_sequence(tmp_path / "a")
    (path / name).write_text(content)
    with pytest.raises(SourceError, match=match) as caught:
        SequenceSource(path)
    assert str(path) in str(caught.value)


def test_the_manifest_above_knows_rate_and_depth_scale(tmp_path: Path) -> None:
    path = whole_sequence(tmp_path / "eval" / "a")
    (path / "timestamps.txt").unlink()
    (path / "intrinsics.json").write_text('{"width": 48, "height": 32, "K": null}')
    item = {"path": "eval/a", "fps": 25, "depth_scale": 1000}
    (tmp_path / "manifest.json").write_text(json.dumps({"items": [item]}))
    cv2.imwrite(str(path / "depth" / "000000.png"), np.full((32, 48), 2500, np.uint16))
    source = SequenceSource(path)
    assert source.stamps == [0, 40_000_000]
    truth = source.frame(0).truth
    assert truth is not None
    np.testing.assert_array_equal(truth.depth, 2.5)


def test_real_sequences_are_read() -> None:
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set DEPTH_MOTION_DATA")
    source = SequenceSource(DATA / "eval" / "kitti_raw_campus_stereo")
    frames = list(source)
    assert len(frames) == 37
    truth = frames[0].truth
    assert truth is not None
    assert 3 < np.nanmedian(truth.depth) < 50  # metres: a street
    carpet = SequenceSource(DATA / "train" / "rc_carpet_office_01")
    assert carpet.camera is None
    assert next(iter(carpet)).image.shape == (120, 160, 3)
