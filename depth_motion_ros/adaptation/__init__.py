"""Learning on the robot."""
