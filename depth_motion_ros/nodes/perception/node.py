"""depth_motion_node: images in; depth, odometry and moving objects out."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future as RosFuture
from std_srvs.srv import Trigger

from depth_motion_ros.engines.interface import EngineError
from depth_motion_ros.models.weights import WeightsError
from depth_motion_ros.nodes.perception.networks import EngineBuilder, EngineOptions
from depth_motion_ros.nodes.perception.parameters import DEPTH_MOTION_PARAMETERS
from depth_motion_ros.nodes.perception.pipeline import Pipeline, estimator_settings
from depth_motion_ros.nodes.perception.status import StatusWriter
from depth_motion_ros.nodes.ros.diagnostics import FrameCounters, OncePerCause, diagnostic_array
from depth_motion_ros.nodes.ros.log_bridge import LogBridge
from depth_motion_ros.nodes.ros.parameters import ParameterError, ParameterServer
from depth_motion_ros.nodes.ros.shutdown import run_node
from depth_motion_ros.nodes.ros.transforms import TransformsMissingError
from depth_motion_ros.settings import SettingsError, Value

_FOLLOW_PERIOD = 0.5  # s between two looks at what the publishers offer
_UNCONFIGURED, _ACTIVE = "unconfigured", "active"
_EXPECTED = (EngineError, SettingsError, TransformsMissingError, WeightsError)


class BrokenEngineError(RuntimeError):
    """The engine failed at run time: the node cannot continue with it."""


class DepthMotionNode(LifecycleNode):
    """The lifecycle node; its work is in ``Pipeline``, which exists while it is configured.

    build: makes the engine, so that a test can give it another.
    """

    def __init__(self, build: EngineBuilder = EngineOptions.build) -> None:
        super().__init__("depth_motion")
        self._bridge = LogBridge(self.get_logger())
        self._build = build
        self._pipeline: Pipeline | None = None
        self._problem = ""
        self._counters = FrameCounters()
        self._report_once = OncePerCause(self.get_logger().warning)
        self._status = StatusWriter(self._counters)
        self._config = ParameterServer(
            self,
            DEPTH_MOTION_PARAMETERS,
            can_configure=lambda: self._state == _UNCONFIGURED,
            on_change=self._change,
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock: with use_sim_time nothing would be published until the first /clock.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        period = self._config["diagnostics_period"]
        self.create_timer(period, self._diagnose, clock=steady)
        self.create_timer(_FOLLOW_PERIOD, self._follow, clock=steady)
        for name, callback in (
            ("~/reset_odometry", self._on_reset_odometry),
            ("~/reload_weights", self._on_reload_weights),
            ("~/rollback", self._on_rollback),
            ("~/save", self._on_save),
        ):
            # A group each: an answer that takes its time must not keep the images out.
            group = MutuallyExclusiveCallbackGroup()
            self.create_service(Trigger, name, callback, callback_group=group)

    def begin(self) -> None:
        """Configure and activate, if the parameter autostart is true.

        Raises ParameterError where that fails: nothing would try again.
        """
        if not self._config["autostart"]:
            return
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                raise ParameterError(self._problem)

    def close(self) -> int:
        """Ends all threads. Returns the exit status."""
        self._drop_pipeline()
        self._bridge.close()
        return 0

    @property
    def _state(self) -> str:
        return str(self._state_machine.current_state[1])

    # Lifecycle. rclpy swallows what a callback raises, hence the guard around each.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._guarded("configure", self._configure, state, super().on_configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._guarded("activate", self._activate, state, super().on_activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._guarded("deactivate", self._deactivate, state, super().on_deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._guarded("clean up", self._drop_pipeline, state, super().on_cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._guarded("shut down", self._drop_pipeline, state, super().on_shutdown)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a broken engine or a defect: unconfigured, with nothing left behind.

        What was wrong stays in the diagnostics until a transition succeeds.
        """
        try:
            self._drop_pipeline()
        except Exception as error:
            # A broken engine may fail at its end, too; there is nothing left to keep.
            self.get_logger().error(f"cannot end what has failed: {error!r}")
        return super().on_error(state)

    def _guarded(
        self,
        what: str,
        action: Callable[[], None],
        state: LifecycleState,
        entities: Callable[[LifecycleState], TransitionCallbackReturn],
    ) -> TransitionCallbackReturn:
        try:
            action()
            self._problem = ""
            return entities(state)
        except _EXPECTED as error:
            self._problem = f"cannot {what}: {error}"
            self.get_logger().error(self._problem)
            return TransitionCallbackReturn.FAILURE
        except BrokenEngineError as error:
            self._problem = str(error)
            self.get_logger().error(self._problem)
            return TransitionCallbackReturn.ERROR
        except Exception as error:
            self._problem = f"cannot {what}: {error!r}"
            self.get_logger().error(f"{self._problem}\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR

    def _configure(self) -> None:
        self._pipeline = Pipeline(
            self, self._config.snapshot(), self._counters, self._report_once, self._build
        )
        about = self._pipeline.engine.describe()
        self.get_logger().info(
            f"{about.runtime} {about.runtime_version} on {about.device} in {about.precision}, "
            f"{about.architecture} {about.input_width}x{about.input_height}, weights "
            f"{about.weights_version!r}. {self._pipeline.engine.why}"
        )

    def _activate(self) -> None:
        assert self._pipeline is not None
        self._report_once.forget()
        self._pipeline.start()
        assert self._pipeline.inputs is not None
        self.get_logger().info(f"listening to {self._pipeline.inputs.image_topic}")

    def _deactivate(self) -> None:
        assert self._pipeline is not None
        self._pipeline.stop()
        broken = self._pipeline.perception.broken
        if broken:
            raise BrokenEngineError(f"{broken}; configure and activate the node: a new engine")

    def _drop_pipeline(self) -> None:
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.close()

    # Parameters, services and timers.

    def _change(self, config: Mapping[str, Value]) -> None:
        estimator_settings(config)
        if self._pipeline is not None:
            self._pipeline.change(config)

    async def _on_reset_odometry(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._pipeline is None:
            return self._not_configured(response)
        return await self._answer(
            response, self._pipeline.reset_odometry(), lambda _: "this is the origin of odom"
        )

    async def _on_reload_weights(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._pipeline is None:
            return self._not_configured(response)
        return await self._answer(
            response,
            self._pipeline.reload_weights(),
            lambda version: f"weights {version!r} are in use",
        )

    async def _on_rollback(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._pipeline is None:
            return self._not_configured(response)
        return await self._answer(
            response,
            self._pipeline.weights_inbox.rollback(),
            lambda version: (
                f"weights {version!r} are in use; none are accepted from the topic until "
                "~/reload_weights"
            ),
        )

    async def _on_save(
        self, _request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._pipeline is None:
            return self._not_configured(response)
        saved, path = self._pipeline.save_weights()
        return await self._answer(
            response, saved, lambda version: f"weights {version!r} are in {path}"
        )

    def _not_configured(self, response: Trigger.Response) -> Trigger.Response:
        response.success = False
        response.message = f"the node is {self._state}: configure it first"
        return response

    async def _answer(
        self, response: Trigger.Response, work: Future[Any], describe: Callable[[Any], str]
    ) -> Trigger.Response:
        """Wait for work on another thread without keeping the executor from its own."""
        bridge: RosFuture = RosFuture(executor=self.executor)
        # A callback of the future is what wakes the executor.
        bridge.add_done_callback(lambda _: None)
        work.add_done_callback(lambda _: bridge.set_result(None))
        await bridge
        error = None if work.cancelled() else work.exception()
        response.success = not work.cancelled() and error is None
        if work.cancelled():
            response.message = "superseded by a later request"
        else:
            response.message = str(error) if error is not None else describe(work.result())
        return response

    def _follow(self) -> None:
        if self._pipeline is None or self._pipeline.inputs is None:
            return
        if self._pipeline.perception.broken:
            # Ends in on_error, and so unconfigured: a lifecycle manager is notified.
            self.trigger_deactivate()
            return
        self._pipeline.inputs.follow()
        self._pipeline.weights_inbox.follow()

    def _diagnose(self) -> None:
        level, message, values = self._status.write(self._state, self._pipeline, self._problem)
        name = self.get_fully_qualified_name()
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(
            diagnostic_array(stamp, f"{name}: perception", name, level, message, values)
        )


def main(args: list[str] | None = None) -> int:
    """The ``depth_motion_node`` command."""
    return run_node(DepthMotionNode, DepthMotionNode.begin, DepthMotionNode.close, args)


if __name__ == "__main__":
    sys.exit(main())
