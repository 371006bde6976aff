"""Benchmarks of the package: run from a checkout, never installed.

``make bench WHAT=node`` runs ``python -m benchmarks.node``; WHAT is one of delivery, engine,
learner, node, odometry, simulate, soak and train. Every one of them takes ``--help`` and
``--json FILE``.
"""
