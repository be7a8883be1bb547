"""Everything ffmpeg; what the pictures show is not known here.

Finding the program, probing a recording, planning its segments, and sampling pictures by
presentation time.
"""

from fer_core.video.header import probe
from fer_core.video.program import Ffmpeg, bare_decode, find_ffmpeg
from fer_core.video.sampler import Sampler
from fer_core.video.timeline import has_more, is_cut_short, plan_segments

__all__ = [
    "Ffmpeg",
    "Sampler",
    "bare_decode",
    "find_ffmpeg",
    "has_more",
    "is_cut_short",
    "plan_segments",
    "probe",
]
