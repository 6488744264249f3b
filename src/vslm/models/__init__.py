"""The architecture: what vslm is about. Roots, attention, normalizers, feedforward, blocks, and paths through them.

Specs (frozen values) build modules; modules take plain arguments and never see a spec.

Not for: logging, measuring, counting time, knowing about devices, or reading files.
"""
