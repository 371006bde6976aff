"""Nodes and helpers behind the demo and the doctor."""
