"""Readings of the paper that the fast engines compute."""

from __future__ import annotations

READINGS: list[dict[str, object]] = [
    {}, {"noise": "pixel"}, {"blurred": "child"}, {"border": "inside"}, {"normalise": False},
    {"refine_from": "parents"}, {"pairs": "distinct"}, {"explorers": 0}, {"refiners": 0},
]
