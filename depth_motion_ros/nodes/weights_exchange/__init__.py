"""Weights on their way from the learner to a running node."""
