"""Online adaptation: a learner that hears what the robot sees, and gates that keep it harmless."""
