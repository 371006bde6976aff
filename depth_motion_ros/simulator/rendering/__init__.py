"""Rays, shapes and shading."""
