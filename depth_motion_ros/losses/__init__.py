"""Photometric, consistency and regularising losses, and the objective that weighs them."""
