"""The one error of this folder."""


class LaunchError(RuntimeError):
    """A launch cannot work; the message names the argument, its value and what to do."""
