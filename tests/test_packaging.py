"""The wheel: built without a network, installed away from the checkout, and used there."""

import os
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

from tests.tree import ROOT, name, tree

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(folder)]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as content:
        return set(content.namelist())


@dataclass(frozen=True)
class Installation:
    """The wheel, unpacked far from the checkout, with this environment's other packages."""

    folder: Path
    elsewhere: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        # The folder comes before the checkout, which an editable install puts on the path.
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        return subprocess.run(
            command, cwd=self.elsewhere, env=environment, capture_output=True, text=True
        )

    def lecturepulse(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.folder / "bin" / "lecturepulse"), *words)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Installation:
    folder = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(folder)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Installation(folder, tmp_path_factory.mktemp("elsewhere"))


def committed(*folders: str) -> set[str]:
    inside = tuple(f"{folder}/" for folder in folders)
    return {name(file) for file in tree() if name(file).startswith(inside)}


def test_it_holds_the_packages_and_their_assets_and_nothing_else(names):
    code = committed("fer_core", "flows")
    templates = {file.removeprefix("reports/") for file in committed("reports/templates")}
    assets = {f"fer_core/_assets/{file}" for file in templates | committed("models")}
    assert {n for n in names if ".dist-info/" not in n} == code | assets
    assert "fer_core/_assets/models/manifest.toml" in names


def test_it_brings_its_licence_and_asks_for_what_the_project_asks_for(wheel, names):
    (info,) = {PurePosixPath(n).parts[0] for n in names if ".dist-info/" in n}
    assert f"{info}/licenses/LICENSE" in names
    with zipfile.ZipFile(wheel) as content:
        metadata = HeaderParser().parsestr(content.read(f"{info}/METADATA").decode())
    wanted = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra, lines in PROJECT["optional-dependencies"].items():
        wanted += [Requirement(f"{line}; extra == '{extra}'") for line in lines]
    assert {Requirement(line) for line in metadata.get_all("Requires-Dist", [])} == set(wanted)
    assert metadata["Requires-Python"] == "<3.13,>=3.11"


def test_its_command_knows_its_version(installed):
    said = installed.lecturepulse("--version")
    assert said.returncode == 0, said.stderr
    assert PROJECT["version"] in said.stdout


def test_it_finds_its_assets_inside_itself(installed):
    code = "from fer_core import assets; print(assets.templates(), assets.model().path, sep='\\n')"
    said = installed.run(sys.executable, "-c", code)
    assert said.returncode == 0, said.stderr
    inside = installed.folder / "fer_core" / "_assets"
    for found in said.stdout.splitlines():
        assert Path(found).is_relative_to(inside)
        assert Path(found).exists()


def test_its_doctor_finds_nothing_wrong(installed):
    said = installed.lecturepulse("doctor")
    assert said.returncode == 0, said.stdout + said.stderr
    told = said.stdout + said.stderr
    assert not [room for room in ("fer_core", "models", "reports") if str(ROOT / room) in told]


def test_its_flows_can_be_imported_where_no_checkout_is(installed):
    code = "import flows.nightly; print(flows.nightly.__file__)"
    said = installed.run(sys.executable, "-W", "ignore", "-c", code)
    assert said.returncode == 0, said.stderr
    assert Path(said.stdout.strip()).is_relative_to(installed.folder)
