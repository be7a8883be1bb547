"""What this machine's processor multiplies by itself: numbers of 8 bits, and bfloat16."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

_INT8: Final = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"}
_BFLOAT16: Final = {"amx_bf16", "avx512_bf16"}
_LINUX: Final = Path("/proc/cpuinfo")


@cache
def multiplies_int8(told: Path = _LINUX) -> bool:
    """Return whether it has instructions for neural networks of 8 bits.

    Args:
        told: what Linux says of it. Where there is no such file, Macs mostly, the answer is yes:
            every Mac that our dependencies have wheels for has them.
    """
    words = _words(told)
    return words is None or not _INT8.isdisjoint(words)


def multiplies_bfloat16(told: Path = _LINUX) -> bool:
    """Return whether it has instructions for bfloat16 (AMX, AVX-512).

    Args:
        told: what Linux says of it; without such a file the answer is no.
    """
    return not _BFLOAT16.isdisjoint(_words(told) or ())


def _words(told: Path) -> list[str] | None:
    try:
        return told.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return None
