"""Makes ``.venv`` from a lock: ``python tools/setup.py run|dev``; instant when up to date.

Standard library only, and nothing outside ``.venv`` is touched. The Makefile finds the Python.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TextIO

_ROOT = Path(__file__).resolve().parent.parent
_VENV = _ROOT / ".venv"
_PYTHON = _VENV / "bin" / "python"
_RUN = _ROOT / "requirements.lock"
_DEV = _ROOT / "requirements-dev.lock"
_PIP = (str(_PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input", "install")
_NAMED_FROM_MB = 50.0
_EVERY_S = 10.0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _key(*files: Path) -> str:
    """Return what an installation depends on: the files, the Python, and where the folder is."""
    digest = hashlib.sha256(f"{sys.version}\n{_VENV}\n".encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _make_venv() -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    try:
        import ensurepip  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import venv
    except ImportError:
        sys.exit(
            f"Python {version} is here, but without its modules venv and ensurepip.\n"
            "On Debian and Ubuntu, as root: apt-get install python3-venv"
        )
    _say(f"Making .venv with Python {version} ...")
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=True).create(_VENV)


class _Progress:
    """Turns pip's lines into a few for a person: one that is rewritten, or one now and then."""

    def __init__(self, total: int, out: TextIO) -> None:
        self._total = total
        self._out = out
        self._rewrites = out.isatty()
        self._seen = 0
        self._shown_at = time.monotonic()

    def show(self, line: str) -> None:
        if found := re.match(r"Collecting (\S+)==(\S+)", line):
            self._seen += 1
            self._put(f"{found[1]} {found[2]}", now=self._rewrites)
        elif line.startswith("Requirement already satisfied"):
            self._seen += 1
        elif found := re.match(r"\s+Downloading ([^-\s]+)-([^-]+)-\S+ \(([\d.]+) MB\)", line):
            large = float(found[3]) >= _NAMED_FROM_MB
            self._put(f"{found[1]} {found[2]} ({found[3]} MB)", now=large or self._rewrites)
        elif line.startswith("Installing collected packages"):
            self._put("all there; unpacking ...", now=True)

    def _put(self, text: str, *, now: bool) -> None:
        if not now and time.monotonic() - self._shown_at < _EVERY_S:
            return
        self._shown_at = time.monotonic()
        before, after = ("\r\033[K", "") if self._rewrites else ("", "\n")
        self._out.write(f"{before}  [{self._seen}/{self._total}] {text}{after}")
        self._out.flush()

    def close(self) -> None:
        if self._rewrites:
            self._out.write("\r\033[K")


def _compile() -> None:
    """Write the bytecode that pip would have written, on every core and without tests'."""
    where = sysconfig.get_path("purelib")
    command = (sys.executable, "-m", "compileall", "-qq", "-j0", "-x", r"/tests?/", where)
    # Files for other versions of Python do not compile, here as with pip; nobody imports them.
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)


def _install_packages(lock: Path) -> None:
    total = len(re.findall(r"^\S+==", lock.read_text(encoding="utf-8"), re.MULTILINE))
    _say(f"Installing {total} packages from {lock.name}: some minutes and 3 GB, this once ...")
    started = time.monotonic()
    # Wheels only: nothing is compiled here, and no package's own code runs while it is installed.
    # The lock is complete, so nothing is resolved: older pips do not accept a pinned 'sqlalchemy'
    # for a wanted 'sqlalchemy[asyncio]' unless it is the newest there is.
    strict = ("--only-binary=:all:", "--require-hashes", "--no-deps", "-r", str(lock))
    log = _VENV / "install.log"
    progress = _Progress(total, sys.stdout)
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(
            [*_PIP, "--progress-bar=off", "--no-compile", *strict],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        ) as pip,
    ):
        for line in pip.stdout or ():
            kept.write(line)
            progress.show(line)
    progress.close()
    if pip.returncode:
        lines = log.read_text(encoding="utf-8").splitlines()
        told = [line for line in lines if re.match(r"\s*(ERROR|WARNING)", line)] or lines
        sys.exit(
            "\n".join(told[-10:])
            + f"\n\nThe packages could not be installed; pip's whole log is {log}."
            + "\nIs there a network (or a package index in pip's configuration), and disk space?"
        )
    _compile()
    _say(f"Installed in {time.monotonic() - started:.0f} s.")


def _install_project() -> None:
    # The build backend is in the lock, so that this step needs no network.
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--editable", ".")
    if subprocess.run([*_PIP, *options], cwd=_ROOT, check=False).returncode:
        sys.exit("lecturepulse itself could not be installed into .venv; pip says why above.")


def _stamped(name: str, *keys: str) -> bool:
    stamp = _VENV / name
    return stamp.is_file() and stamp.read_text(encoding="utf-8") in keys


def _stamp(name: str, key: str) -> None:
    (_VENV / name).write_text(key, encoding="utf-8")


def main(kind: str) -> None:
    """Bring ``.venv`` up to date.

    Args:
        kind: ``run`` for what lecturepulse needs, ``dev`` for the tools of tests and checks too.
    """
    if Path(sys.prefix).resolve() != _VENV.resolve():
        _make_venv()
        os.execv(_PYTHON, [str(_PYTHON), __file__, kind])
    # The dev lock holds all of the other one, in the same versions.
    dev = _key(_RUN, _DEV)
    wanted, enough, lock = (dev, (), _DEV) if kind == "dev" else (_key(_RUN), (dev,), _RUN)
    if not _stamped("made-packages", wanted, *enough):
        _install_packages(lock)
        _stamp("made-packages", wanted)
    project = _key(_ROOT / "pyproject.toml")
    if not _stamped("made-project", project):
        _install_project()
        _stamp("made-project", project)


if __name__ == "__main__":
    main(sys.argv[1])
