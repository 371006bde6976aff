"""Package of two worlds: `pip install .` and `colcon build` (ament_python) read the same file."""

from __future__ import annotations

from glob import glob
from xml.etree import ElementTree

from setuptools import find_packages, setup

NAME = "depth_motion_ros"
MANIFEST = ElementTree.parse("package.xml").getroot()


def manifest(tag: str) -> str:
    """A field of package.xml, which is where name, version and description are written once."""
    return (MANIFEST.findtext(tag) or "").strip()


# The PyPI wheels of ROS 2 exist for these interpreters on x86-64 Linux only.
WHEELS = (
    "; python_version >= '3.11' and python_version < '3.14'"
    " and platform_machine == 'x86_64' and sys_platform == 'linux'"
)
# psutil: of the benchmarks.
TEST = ["pytest<8.4", "pytest-timeout", "pytest-xdist", "hypothesis", "psutil"]
# TensorRT for RTX installs whole from PyPI and builds engines without a GPU: CI does.
TENSORRT_RTX = (
    "tensorrt-rtx-cu13; python_version < '3.14' and sys_platform == 'linux'"
    " and platform_machine == 'x86_64'"
)

setup(
    name=NAME,
    version=manifest("version"),
    description=manifest("description"),
    license=manifest("license"),
    maintainer=manifest("maintainer"),
    maintainer_email=MANIFEST.find("maintainer").get("email"),
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: ["py.typed", "weights/*.safetensors", "weights/*.md", "training/recipes/*.yaml"]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{NAME}/config", sorted(glob("config/*"))),
    ],
    python_requires=">=3.10",
    install_requires=[
        "numpy>=1.23",
        "scipy>=1.9",
        "opencv-python-headless>=4.6,<5",
        "torch>=2.1",
        "safetensors>=0.4",
        "PyYAML>=6",
        "av>=12",
        "rosbags>=0.10",
        "matplotlib>=3.6",
    ],
    extras_require={
        "ros": [
            requirement + WHEELS
            for requirement in (
                "ros-rclpy[fastrtps]>=9.1,<10",
                "ros-std-msgs",
                "ros-std-srvs",
                "ros-sensor-msgs",
                "ros-geometry-msgs",
                "ros-nav-msgs",
                "ros-diagnostic-msgs",
                "ros-visualization-msgs",
                "ros-lifecycle-msgs",
                "ros-rcl-interfaces",
            )
        ],
        "cpu": ["openvino>=2024.4", "onnxruntime>=1.18", "onnx>=1.16", "onnxscript>=0.1"],
        "tensorrt": ["tensorrt>=10.3", "onnx>=1.16", "onnxscript>=0.1"],
        "tensorrt-rtx": [TENSORRT_RTX, "onnx>=1.16", "onnxscript>=0.1"],
        "train": ["lightning>=2.2", "tensorboard>=2.14"],
        "test": TEST,
        "dev": [
            *TEST,
            TENSORRT_RTX,
            "ruff",
            "mypy",
            "types-PyYAML",
            "import-linter",
            "evo",
            "setuptools",
        ],
    },
    entry_points={
        "console_scripts": [
            f"depth_motion = {NAME}.cli.main:main",
            f"depth_motion_node = {NAME}.nodes.perception.node:main",
            f"camera_node = {NAME}.nodes.camera.node:main",
            f"adaptation_node = {NAME}.nodes.adaptation.node:main",
        ],
    },
    zip_safe=False,
)
