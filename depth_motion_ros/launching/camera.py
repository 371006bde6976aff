"""camera.launch.py as data: the nodes that its arguments ask for, checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depth_motion_ros.launching.arguments import read_arguments
from depth_motion_ros.launching.camera_arguments import CAMERA_ARGUMENTS, COMPRESSED
from depth_motion_ros.launching.errors import LaunchError
from depth_motion_ros.launching.packages import FindPrefix, require_executable
from depth_motion_ros.launching.parameter_files import parameters_of_node
from depth_motion_ros.share import PACKAGE, config_file

OPTICAL_FRAME = "camera_optical_frame"
Remapping = tuple[str, str]
# A parameter file, or parameters by name.
Parameters = str | dict[str, Any]


@dataclass(frozen=True)
class Driver:
    """Executable of a camera driver, and its parameter for the frame."""

    executable: str
    frame_parameter: str


# By the name of their package.
DRIVERS = {
    "usb_cam": Driver("usb_cam_node_exe", "frame_id"),
    "v4l2_camera": Driver("v4l2_camera_node", "camera_frame_id"),
}


@dataclass(frozen=True)
class NodePlan:
    """One node to start. name: empty = the executable's own."""

    package: str
    executable: str
    name: str = ""
    parameters: tuple[Parameters, ...] = ()
    remappings: tuple[Remapping, ...] = ()
    arguments: tuple[str, ...] = ()
    log_level: str = ""
    respawn: bool = False

    @property
    def is_ours(self) -> bool:
        return self.package == PACKAGE


@dataclass(frozen=True)
class CameraPlan:
    """What camera.launch.py starts. values: of all arguments.

    node: full name of depth_motion_node. parameters: what it will have, as far as files and
    arguments say; the rest are its defaults.
    """

    values: Mapping[str, Any]
    node: str
    parameters: Mapping[str, Any]
    nodes: tuple[NodePlan, ...] = field(default=())


def plan_camera(
    given: Mapping[str, str], find_prefix: FindPrefix, filtered: bool = False
) -> CameraPlan:
    """Read and check everything; nothing is started here.

    given: the arguments. filtered: an EKF owns odom -> base_link.

    Raises LaunchError where an argument, a file or a package would let the launch fail later.
    """
    values = read_arguments(CAMERA_ARGUMENTS, given)
    _complete(values)
    node = full_name(values, "depth_motion")
    parameters = parameters_of_node(values["params_file"], node)
    overrides = _overrides(values, parameters, filtered)
    nodes = [_perception(values, overrides)]
    if values["adaptation"]:
        nodes.append(_adaptation(values))
    nodes += _camera(values)
    if values["rviz"]:
        nodes.append(_rviz(values, {**parameters, **overrides}))
    for planned in nodes:
        why = {"rviz2": "rviz:=true"}.get(planned.package, f"source:={values['source']}")
        if planned.is_ours:
            why = "this launch file"
        require_executable(find_prefix, planned.package, planned.executable, why)
    return CameraPlan(values, node, {**parameters, **overrides}, tuple(nodes))


def full_name(values: Mapping[str, Any], name: str) -> str:
    """Of a node under the argument ``namespace``."""
    return "/" + "/".join(filter(None, (values["namespace"].strip("/"), name)))


def resolve_topic(values: Mapping[str, Any], name: str) -> str:
    """The full name of a topic that is an argument."""
    return name if name.startswith("/") else full_name(values, name)


def _complete(values: dict[str, Any]) -> None:
    """Fill in what follows from other arguments, and refuse what contradicts them."""
    image, suffix = values["image"], f"/{COMPRESSED}"
    if image.endswith(suffix):
        if values["image_transport"] != COMPRESSED:
            raise LaunchError(
                f"image:={image} is JPEG: give image:={image.removesuffix(suffix)} and "
                "image_transport:=compressed"
            )
        values["image"] = image = image.removesuffix(suffix)
    if not values["camera_info"]:
        folder = image.rpartition("/")[0]
        values["camera_info"] = f"{folder}/camera_info" if "/" in image else "camera_info"
    weights = values["weights"]
    if weights.endswith(".safetensors") and not Path(weights).expanduser().is_file():
        raise LaunchError(f"weights:={weights}: there is no such file")
    source = values["source"]
    for name in ("camera_params_file", "camera_info_url", "loop", "rate"):
        if values[name] and not source:
            raise LaunchError(
                f"{name}:= is for a camera that this file starts: give source:= as well, or leave "
                "it out"
            )
    for name in ("loop", "rate"):
        if values[name] and source in DRIVERS:
            raise LaunchError(
                f"{name}:= is for a recorded source: put {source}'s own parameters into a file "
                "and give camera_params_file:=FILE"
            )


def _overrides(
    values: Mapping[str, Any], parameters: Mapping[str, Any], filtered: bool
) -> dict[str, Any]:
    """Parameters of depth_motion_node that arguments say."""
    overrides: dict[str, Any] = {"autostart": values["autostart"], **_weights(values)}
    if values["image_transport"]:
        overrides["image_transport"] = values["image_transport"]
    prefix = values["frame_prefix"]
    if prefix:
        overrides["odom_frame"] = prefix + parameters.get("odom_frame", "odom")
        overrides["base_frame"] = prefix + parameters.get("base_frame", "base_link")
    shown = values["rviz"] and values["params_file"] == str(config_file("depth_motion.yaml"))
    if filtered:
        if values["publish_tf"] or parameters.get("publish_tf"):
            where = (
                "publish_tf:=true"
                if values["publish_tf"]
                else f"params_file:={values['params_file']} sets publish_tf, which"
            )
            raise LaunchError(
                f"{where} lets depth_motion_node send odom -> base_link, and ekf_node sends it "
                "here, too: set it to false, or start camera.launch.py without the filter"
            )
        overrides["publish_tf"] = False
    elif values["publish_tf"] is not None or shown:
        overrides["publish_tf"] = values["publish_tf"] is not False
    from_tf = parameters.get("use_tf_extrinsic")
    if values["publish_camera_tf"] and from_tf:
        raise LaunchError(
            f"publish_camera_tf:=true, but params_file:={values['params_file']} sets "
            "use_tf_extrinsic: TF is where the node takes that transform from; leave one out"
        )
    if values["publish_camera_tf"] is not None or (shown and not from_tf):
        overrides["publish_camera_tf"] = values["publish_camera_tf"] is not False
    return overrides


def _weights(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"weights": values["weights"]} if values["weights"] else {}


def _inputs(values: Mapping[str, Any], image: str) -> tuple[Remapping, ...]:
    """Remappings of a node whose image topic is called ``image``."""
    return (
        (image, values["image"]),
        (f"{image}/{COMPRESSED}", f"{values['image']}/{COMPRESSED}"),
        ("camera_info", values["camera_info"]),
    )


def _perception(values: Mapping[str, Any], overrides: dict[str, Any]) -> NodePlan:
    return NodePlan(
        PACKAGE,
        "depth_motion_node",
        "depth_motion",
        (values["params_file"], overrides),
        (*_inputs(values, "image"), ("odom", values["odom"]), ("odom_in", values["odom_in"])),
        log_level=values["log_level"],
        respawn=values["respawn"],
    )


def _adaptation(values: Mapping[str, Any]) -> NodePlan:
    path = values["adaptation_params_file"]
    parameters_of_node(path, full_name(values, "adaptation"), "adaptation_params_file")
    overrides = _weights(values)
    if values["image_transport"]:
        overrides["image_transport"] = values["image_transport"]
    return NodePlan(
        PACKAGE,
        "adaptation_node",
        "adaptation",
        (path, overrides) if overrides else (path,),
        (*_inputs(values, "image"), ("odom_in", values["odom_in"])),
        log_level=values["log_level"],
        respawn=values["respawn"],
    )


def _camera(values: Mapping[str, Any]) -> list[NodePlan]:
    """The node that publishes the images, if one is to be started."""
    source, path = values["source"], values["camera_params_file"]
    if not source:
        return []
    frame = values["frame_prefix"] + OPTICAL_FRAME
    files: tuple[Parameters, ...] = ()
    if path:
        parameters_of_node(path, full_name(values, "camera"), "camera_params_file")
        files = (path,)
    chosen: dict[str, Any] = {}
    if values["camera_info_url"]:
        chosen["camera_info_url"] = values["camera_info_url"]
    if source in DRIVERS:
        driver = DRIVERS[source]
        # What the user's file says of the frame wins, what an argument says wins over the file.
        return [
            NodePlan(
                source,
                driver.executable,
                "camera",
                ({driver.frame_parameter: frame}, *files, *([chosen] if chosen else [])),
                _inputs(values, "image_raw"),
                respawn=values["respawn"],
            )
        ]
    _check_source(source)
    chosen["source"] = source
    if values["loop"]:
        chosen["loop"] = True
    if values["rate"]:
        chosen["rate"] = values["rate"]
    if values["image_transport"] == COMPRESSED:
        chosen["compressed"] = True
    # Like a camera: with the time of now, and nothing shown before anyone looks.
    like_a_camera = {"stamps": "now", "wait_for_subscribers": 1, "frame_id": frame}
    return [
        NodePlan(
            PACKAGE,
            "camera_node",
            "camera",
            (like_a_camera, *files, chosen),
            _inputs(values, "image"),
            log_level=values["log_level"],
        )
    ]


def _check_source(source: str) -> None:
    """Raises LaunchError for what neither is there nor is made by us."""
    if source.startswith("sim:") or Path(source).expanduser().exists():
        return
    close = difflib.get_close_matches(source, DRIVERS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"drivers are {', '.join(DRIVERS)}"
    raise LaunchError(f"source:={source}: there is no such file, folder or device; {hint}")


def _rviz(values: Mapping[str, Any], parameters: Mapping[str, Any]) -> NodePlan:
    return NodePlan(
        "rviz2",
        "rviz2",
        remappings=(*_inputs(values, "image"), ("odom", values["odom"])),
        arguments=(
            *("-d", str(config_file("depth_motion.rviz"))),
            *("-f", parameters.get("odom_frame", "odom")),
        ),
    )
