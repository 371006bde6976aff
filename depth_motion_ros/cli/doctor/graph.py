"""What the ROS graph says: is there a camera, does it match, does it arrive, is it believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from depth_motion_ros.cli.doctor.finding import Finding, ok, problem, warning
from depth_motion_ros.sources.encodings import ENCODINGS
from depth_motion_ros.sources.rectify import is_rectified_topic

IMAGE, COMPRESSED, INFO = (
    f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo")
)
LEVELS = {0: "ok", 1: "warning", 2: "error", 3: "stale"}
# Clocks that differ by more are not those of one machine, nor are they synchronised.
CLOCK_S = 5.0
TRANSITIONS = {"unconfigured": "configure", "inactive": "activate"}
NOT_OURS = ("/rosout", "/parameter_events")

Report = Mapping[str, Any]


def check_graph(report: Report) -> list[Finding]:
    """report: what nodes/tools/graph_report.py printed."""
    return [
        *check_nodes(report),
        *check_files(report),
        *check_cameras(report),
        *check_reliability(report),
        *check_types(report),
        *check_arrival(report),
        *check_intrinsics(report),
        *check_diagnostics(report),
    ]


def check_nodes(report: Report) -> Iterator[Finding]:
    """Is a perception node there, and active?"""
    if not report["perception"]:
        yield warning(
            f"no depth_motion_node is seen in domain {report['domain']} (there are "
            f"{len(report['nodes'])} nodes)",
            "ros2 launch depth_motion_ros camera.launch.py, or depth_motion_node; in the same "
            "ROS_DOMAIN_ID",
        )
    for entry in report["perception"]:
        name, state = entry["name"], entry["state"]
        if state == "active":
            yield ok(f"{name} is active")
        elif state is None:
            yield problem(
                f"{name} does not answer when asked for its state", "look at its log; restart it"
            )
        elif state in TRANSITIONS:
            yield problem(
                f"{name} is {state}: it hears nothing",
                f"ros2 lifecycle set {name} {TRANSITIONS[state]} (its log says why it is not "
                "active, if it should be)",
            )
        else:
            yield problem(f"{name} is {state}", "restart it")


def check_files(report: Report) -> Iterator[Finding]:
    """Does each node keep its files for itself?"""
    users: dict[str, list[str]] = {}
    for entry in report["perception"]:
        if entry.get("adapted_weights"):
            users.setdefault(entry["adapted_weights"], []).append(entry["name"])
    for path, names in users.items():
        if len(names) > 1:
            yield problem(
                f"{' and '.join(names)} keep their adapted weights in one file, {path}: only one "
                "of them can save and begin with them",
                "leave adapted_weights empty: each node then has a file with its own name",
            )
    for name in sorted(set(report["nodes"])):
        if report["nodes"].count(name) > 1:
            yield warning(
                f"{report['nodes'].count(name)} nodes are called {name}: they share services, "
                "parameters and files",
                "give each a namespace: --ros-args -r __ns:=/front (a node that was killed is "
                "still seen for some seconds)",
            )


def check_cameras(report: Report) -> Iterator[Finding]:
    """Does anybody publish what each perception node listens to?"""
    topics = report["topics"]
    images = [
        name
        for name, about in topics.items()
        if about["publishers"] and {IMAGE, COMPRESSED} & set(about["types"])
    ]
    for entry in report["perception"]:
        for kind in (IMAGE, COMPRESSED):
            topic = entry["listens"].get(kind)
            if topic is None:
                continue
            speakers = [end["node"] for end in topics.get(topic, {}).get("publishers", [])]
            if not speakers:
                there = [name for name in images if not _is_output(report, name)]
                yield problem(
                    f"{entry['name']} listens to {topic}, where nobody publishes. Images are on: "
                    f"{', '.join(there) or 'no topic at all'}",
                    _remapping(kind, there, topics),
                )
            elif len(speakers) > 1:
                yield warning(
                    f"{topic} has {len(speakers)} publishers ({', '.join(speakers)}): their "
                    "images are taken for one camera's",
                    "give each camera a topic of its own",
                )


def _remapping(kind: str, images: list[str], topics: Mapping[str, Any]) -> str:
    matching = [name for name in images if kind in topics[name]["types"]]
    if matching:
        port = "image" if kind == IMAGE else "image/compressed"
        return f"start the node with: --ros-args -r {port}:={matching[0]}"
    if images:
        other = "compressed" if kind == IMAGE else "raw"
        return f"start the node with -p image_transport:={other} and remap it to {images[0]}"
    return "start a camera: ros2 launch depth_motion_ros camera.launch.py source:=usb_cam"


def _is_output(report: Report, topic: str) -> bool:
    ours = {entry["name"] for entry in report["perception"]}
    publishers = report["topics"][topic]["publishers"]
    return bool(publishers) and all(end["node"] in ours for end in publishers)


def check_reliability(report: Report) -> Iterator[Finding]:
    """Pairs of which the one asks for more than the other gives: nothing is delivered, silently."""
    for topic, about in report["topics"].items():
        if topic in NOT_OURS:
            continue
        for listener in about["subscribers"]:
            for speaker in about["publishers"]:
                wants = _unfulfilled(speaker, listener)
                if wants:
                    yield problem(
                        f"{topic}: {listener['node']} asks for {wants}, {speaker['node']} offers "
                        f"{speaker['reliability']} and {speaker['durability']}: it gets nothing",
                        _qos_fix(report, listener, wants),
                    )


def _unfulfilled(speaker: Mapping[str, str], listener: Mapping[str, str]) -> str:
    if (speaker["reliability"], listener["reliability"]) == ("best_effort", "reliable"):
        return "reliable"
    if (speaker["durability"], listener["durability"]) == ("volatile", "transient_local"):
        return "transient_local"
    return ""


def _qos_fix(report: Report, listener: Mapping[str, str], wants: str) -> str:
    ours = {entry["name"] for entry in report["perception"]}
    if listener["node"] in ours and wants == "reliable":
        return "set the node's parameter qos to auto or best_effort"
    weaker = "best_effort" if wants == "reliable" else "volatile"
    return f"set the QoS of {listener['node']} to {weaker} (rviz2: the topic's reliability policy)"


def check_types(report: Report) -> Iterator[Finding]:
    for topic, about in report["topics"].items():
        if len(about["types"]) > 1:
            yield problem(
                f"{topic} is used with several types: {', '.join(about['types'])}",
                "rename one of them, for example --ros-args -r image:=/another/name",
            )


def check_arrival(report: Report) -> Iterator[Finding]:
    """Rate, encoding, stamps and frame of what was heard."""
    for topic, heard in report["heard"].items():
        if not heard["count"]:
            yield problem(
                f"{topic} has a publisher, but nothing arrived",
                "is the camera running? If it is: start it under the transport profile (above), "
                "as the same user, and in a container with --ipc=host",
            )
            continue
        about = [*heard["encodings"], *heard["sizes"]]
        size = f", {heard['bytes'] / 1e6:.2f} MB each" if heard["bytes"] else ""
        yield ok(f"{topic}: {heard['hz']:g} Hz, {' '.join(about)}{size}")
        yield from _check_header(topic, heard)
        kinds = report["topics"][topic]["types"]
        unknown = [name for name in heard["encodings"] if IMAGE in kinds and name not in ENCODINGS]
        if unknown:
            yield problem(
                f"{topic} is encoded as {unknown[0]!r}, which is not decoded here",
                "let the camera send rgb8, bgr8, mono8, yuv422, nv12 or bayer",
            )
        if len(heard["sizes"]) > 1:
            yield warning(
                f"{topic} changes its size: {', '.join(heard['sizes'])}; each change resets the "
                "motion state",
                "let one camera publish there, with one size",
            )


def _check_header(topic: str, heard: Mapping[str, Any]) -> Iterator[Finding]:
    if "" in heard["frame_ids"]:
        yield warning(
            f"{topic} has an empty frame_id: its depth cannot be placed by TF",
            "set frame_id in the camera's driver, or camera_frame of the node",
        )
    if heard["backwards"]:
        yield warning(
            f"the stamps of {topic} went back {heard['backwards']} times: each resets the motion "
            "state",
            "one publisher a topic; for a bag in a loop this happens once at each start",
        )
    if abs(heard["age_s"]) > CLOCK_S:
        yield warning(
            f"the stamps of {topic} are {heard['age_s']:.0f} s from this computer's clock",
            "synchronise the clocks (chrony); with a bag or a simulator use use_sim_time:=true",
        )


def check_intrinsics(report: Report) -> Iterator[Finding]:
    """Does CameraInfo come, and does it fit the images?"""
    heard = report["heard"]
    for entry in report["perception"]:
        hears = entry["listens"].get(IMAGE) or entry["listens"].get(COMPRESSED) or ""
        image = heard.get(entry["listens"].get(IMAGE))
        topic = entry["listens"].get(INFO)
        info = heard.get(topic)
        if topic is None:
            continue
        if info is None or not info["count"]:
            yield warning(
                f"no CameraInfo comes on {topic}: the learned intrinsics are used",
                "calibrate the camera and publish it; remap it with "
                "--ros-args -r camera_info:=/cam/camera_info",
            )
        elif info["uncalibrated"] and not (is_rectified_topic(hears) and info["focal"]["p"]):
            yield warning(
                f"{topic} says that the camera is not calibrated (K[0] = 0): the learned "
                "intrinsics are used",
                "ros2 run camera_calibration cameracalibrator --size 8x6 --square 0.025",
            )
        elif image and image["sizes"] and info["sizes"][-1] != image["sizes"][-1]:
            yield warning(
                f"{topic} is for {info['sizes'][-1]}, the images are {image['sizes'][-1]} (unless "
                "binning or roi say so): it would not be used, the learned intrinsics are used",
                "publish the CameraInfo of the size that the camera sends",
            )
        elif refusal := info["refused"]["p" if is_rectified_topic(hears) else "k"]:
            yield warning(
                f"{topic} is not used, the learned intrinsics are used: {refusal}",
                "mend the calibration file that the camera's driver reads",
            )
        elif is_rectified_topic(hears):
            yield _of_rectified(hears, topic, info)


def _of_rectified(image: str, topic: str, info: Report) -> Finding:
    """Which intrinsics are used for images that are rectified already."""
    k, p = info["focal"]["k"], info["focal"]["p"]
    if p is not None:
        return ok(f"{image} is rectified, by its name: fx = {p:.6g} of P in {topic} is used")
    text = f"{image} is rectified, by its name, but P in {topic} is not set: fx = {k:.6g} of K"
    if not info["distorted"]:
        return ok(f"{text} is used, which is the same without distortion")
    return warning(
        f"{text} is used, and K is the raw image's",
        "calibrate with camera_calibration, which writes P; or listen to the raw image",
    )


def check_diagnostics(report: Report) -> Iterator[Finding]:
    """The nodes' own word."""
    for entry in report["perception"]:
        said = entry.get("diagnostics")
        if said is None:
            yield warning(
                f"{entry['name']} said nothing on /diagnostics",
                "is it busy, or its diagnostics_period longer than the doctor listened "
                "(--seconds)?",
            )
            continue
        values = said["values"]
        counted = {key: values[key] for key in values if "/" in key}
        text = f"{entry['name']} says: {said['message']}"
        if counted:
            text += f" ({', '.join(f'{key} {value}' for key, value in counted.items())})"
        if said["level"] == 0:
            yield ok(text)
        else:
            finding = warning if said["level"] == 1 else problem
            yield finding(text, "docs/reference/diagnostics.md explains each value")
