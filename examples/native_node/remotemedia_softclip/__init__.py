"""SoftClip: limits samples without the edges of a hard limit."""

from remotemedia_softclip.node import SoftClip

__all__ = ["SoftClip"]
