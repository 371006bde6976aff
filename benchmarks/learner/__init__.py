"""The learner: what perception loses beside it, and what adaptation gains and withstands."""
