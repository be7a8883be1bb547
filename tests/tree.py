"""The files of the checkout, as git sees them; for the tests about files rather than behaviour."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


@cache
def tree() -> tuple[Path, ...]:
    """Return the files that are, or could be, committed."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        named = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
        files = [ROOT / name for name in named.stdout.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # an archive, not a clone
        skipped = {"__pycache__", "dist", "build", "lecturepulse-out"}
        files = [
            file
            for file in ROOT.rglob("*")
            if not any(p in skipped or p.startswith(".") for p in file.relative_to(ROOT).parts)
        ]
    return tuple(sorted(file for file in files if file.is_file()))


def name(file: Path) -> str:
    """Return a file's path inside the checkout."""
    return file.relative_to(ROOT).as_posix()
