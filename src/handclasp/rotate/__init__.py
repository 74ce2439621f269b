"""Rotation: when new material is whole, what may replace what, and the steps of the change. Pure."""
