"""Input subscriptions that adapt to what the publishers offer, and report a mismatch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

__all__ = ["LATCHED", "InputSubscription", "PublisherEventCallbacks", "common_reliability"]

AUTO, RELIABLE, BEST_EFFORT = "auto", "reliable", "best_effort"
# The executor empties the queue at once into a slot of one; this is for its own hiccups.
_DEPTH = 5
# Of a topic whose newest message late joiners get, too.
LATCHED = QoSProfile(
    depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
)
_POLICIES = {RELIABLE: ReliabilityPolicy.RELIABLE, BEST_EFFORT: ReliabilityPolicy.BEST_EFFORT}


def common_reliability(offered: list[ReliabilityPolicy]) -> ReliabilityPolicy | None:
    """The strictest reliability that matches every publisher, None without publishers.

    A reliable subscription receives only reliable publishers; a best-effort one receives all.
    """
    if not offered:
        return None
    if all(policy == ReliabilityPolicy.RELIABLE for policy in offered):
        return ReliabilityPolicy.RELIABLE
    return ReliabilityPolicy.BEST_EFFORT


class InputSubscription:
    """A subscription whose reliability is ``auto``, ``reliable`` or ``best_effort``.

    With ``auto`` it starts with what the known publishers offer (reliable, if there are none) and
    is replaced when that changes, by ``follow`` or by the middleware's notice of a mismatch. With a
    fixed reliability a mismatch is reported with its remedy.

    report: called as ``report(cause, message)``; the caller logs each cause once.
    """

    def __init__(
        self,
        node: Node,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        reliability: str,
        report: Callable[[str, str], None],
    ) -> None:
        self._node = node
        self._type = message_type
        self._topic = topic
        self._callback = callback
        self._auto = reliability == AUTO
        self._report = report
        self._mismatch = False
        self._subscription: Subscription | None = None
        self._policy = _POLICIES.get(reliability, ReliabilityPolicy.RELIABLE)
        if self._auto:
            name = node.resolve_topic_name(topic)
            self._policy = common_reliability(self._offered(name)) or self._policy
        self._subscribe()

    @property
    def topic(self) -> str:
        """The full name, after namespace and remapping."""
        assert self._subscription is not None
        return str(self._subscription.topic_name)

    @property
    def reliability(self) -> str:
        """``reliable`` or ``best_effort``, as it is now."""
        return RELIABLE if self._policy == ReliabilityPolicy.RELIABLE else BEST_EFFORT

    def follow(self) -> None:
        """Adopt what the publishers offer now. Call it now and then from the executor thread."""
        if not self._auto:
            if self._mismatch:
                self._mismatch = False
                self._explain_mismatch()
            return
        policy = common_reliability(self._offered(self.topic))
        if self._mismatch and policy is None:
            policy = ReliabilityPolicy.BEST_EFFORT
        self._mismatch = False
        if policy is not None and policy != self._policy:
            self._destroy()
            self._policy = policy
            self._subscribe()
            self._node.get_logger().info(
                f"{self.topic}: subscribed as {self.reliability}, as its publishers offer"
            )

    def close(self) -> None:
        self._destroy()

    def _offered(self, topic: str) -> list[ReliabilityPolicy]:
        infos = self._node.get_publishers_info_by_topic(topic)
        return [info.qos_profile.reliability for info in infos]

    def _subscribe(self) -> None:
        self._subscription = self._node.create_subscription(
            self._type,
            self._topic,
            self._callback,
            QoSProfile(depth=_DEPTH, history=HistoryPolicy.KEEP_LAST, reliability=self._policy),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=self._on_incompatible, use_default_callbacks=False
            ),
        )

    def _destroy(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _on_incompatible(self, _event: Any) -> None:
        # A subscription cannot be destroyed inside its own event: `follow` does it.
        self._mismatch = True

    def _explain_mismatch(self) -> None:
        self._report(
            f"qos mismatch on {self.topic}",
            f"a publisher of {self.topic} offers best_effort, this node asks for reliable: "
            "nothing will arrive from it. Set the parameter qos to auto or best_effort",
        )
