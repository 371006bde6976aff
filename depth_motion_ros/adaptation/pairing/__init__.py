"""Which pairs of frames the learner may train on."""
