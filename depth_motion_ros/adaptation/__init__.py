"""Online adaptation: a learner on the robot's own images, and gates that keep it harmless."""
