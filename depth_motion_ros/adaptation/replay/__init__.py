"""Pairs kept for training: the replay buffer and the rehearsal set."""
