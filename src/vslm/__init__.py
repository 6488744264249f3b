"""vslm: a laboratory for ideas about very small language models."""

__version__ = "0.1.0"
