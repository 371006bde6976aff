"""Runs a launch file in a process of its own: ``python -c RUN PATH NAME:=VALUE ...``."""

RUN = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
path, *pairs = sys.argv[1:]
arguments = [pair.split(":=", 1) for pair in pairs]
service = LaunchService()
service.include_launch_description(
    LaunchDescription([
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(path), launch_arguments=arguments
        )
    ])
)
sys.exit(service.run())
"""
