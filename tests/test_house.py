"""The rules of the house that no other tool checks; read from the files, nothing is imported."""

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tree import ROOT, name, tree

PACKAGES = ("fer_core", "flows")

MOST_LINES = 400
# path: why it may be longer
LONG_FILES: dict[str, str] = {}

MOST_BYTES = 20_000_000

# Not counted when names are compared.
SHARED_NAMES = {
    "main",  # every program has one
    "app",  # every group of commands
    "blueprint",  # every room of the web interface
}
COMMANDS = "fer_core/cli.py"  # its functions are named as the commands a person types

# Written so that this file does not match itself.
REGISTRY_HOST = re.compile(
    r"(?:pypi|pythonhosted|npmjs|yarnpkg|crates|anaconda|proxy\.golang|(?:deb|security)\.debian"
    r"|archive\.ubuntu)\.(?:org|com|io)\b"
)
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(?:root|work|home|Users|tmp/w)/\w")


def python_files(*folders: str) -> list[Path]:
    return [f for f in tree() if f.suffix == ".py" and f.relative_to(ROOT).parts[0] in folders]


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Return name and text of every file that is text."""
    found: list[tuple[str, str]] = []
    for file in tree():
        content = file.read_bytes()
        if b"\0" not in content[:8000]:
            found.append((name(file), content.decode("utf-8", errors="replace")))
    return tuple(found)


def names_of(node: ast.stmt) -> list[str]:
    """Return the names that a statement defines: a function's, a class's, a constant's."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign():
            targets = node.targets
        case ast.AnnAssign():
            targets = [node.target]
        case _:
            return []
    parts = (part for target in targets for part in ast.walk(target))
    # In `Image.MAX_IMAGE_PIXELS = 1` the name is only looked up.
    return [p.id for p in parts if isinstance(p, ast.Name) and isinstance(p.ctx, ast.Store)]


def matches(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{file}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}"
        for file, text in texts()
        for found in pattern.finditer(text)
    ]


def nothing(found: Iterable[str]):
    """Fail with one line for each thing found; pytest would shorten a list."""
    if lines := list(found):
        pytest.fail("\n".join(lines), pytrace=False)


def test_a_public_name_is_defined_in_one_module_only():
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for file in python_files(*PACKAGES):
        for node in parsed(file).body:
            if name(file) == COMMANDS and isinstance(node, ast.FunctionDef):
                continue
            for defined in names_of(node):
                homes[defined].add(name(file))
    nothing(
        f"{public} is defined in {' and '.join(sorted(files))}"
        for public, files in sorted(homes.items())
        if len(files) > 1 and not public.startswith("_") and public not in SHARED_NAMES
    )


def test_files_stay_short_enough_to_read():
    lengths = {name(f): len(f.read_bytes().splitlines()) for f in tree() if f.suffix == ".py"}
    nothing(
        f"{file} has {length} lines; {MOST_LINES} are allowed"
        for file, length in lengths.items()
        if length > MOST_LINES and file not in LONG_FILES
    )
    nothing(
        f"{file} needs no exception in LONG_FILES"
        for file in LONG_FILES
        if lengths.get(file, 0) <= MOST_LINES
    )


def test_every_module_says_what_lives_in_it():
    nothing(
        f"{name(f)} has no docstring"
        for f in python_files(*PACKAGES, "tools")
        if not ast.get_docstring(parsed(f))
    )


def test_every_module_has_its_place_in_the_import_direction():
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (layers,) = [c["layers"] for c in linter["importlinter"]["contracts"] if "layers" in c]
    placed = set(re.findall(r"[\w.]+", " ".join(layers)))
    rooms = {
        f"fer_core.{file.relative_to(ROOT / 'fer_core').parts[0].removesuffix('.py')}"
        for file in python_files("fer_core")
    }
    nothing(
        f"{room} stands in no layer of pyproject.toml"
        for room in sorted(rooms - placed - {"fer_core.__init__"})
    )


def test_our_own_python_is_started_in_one_way():
    """With ``-P`` and this package first: else a child imports what lies in the working folder."""
    nothing(
        f"{name(file)}: use process.our_python"
        for file in python_files(*PACKAGES)
        if name(file) != "fer_core/process.py"
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable"
    )


def test_no_file_is_too_large_for_a_repository():
    nothing(
        f"{name(f)} has {f.stat().st_size} bytes" for f in tree() if f.stat().st_size > MOST_BYTES
    )


def test_no_text_names_a_package_registry():
    nothing(matches(REGISTRY_HOST))


def test_no_text_names_a_place_on_someones_machine():
    nothing(matches(MACHINE_PATH))


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (REGISTRY_HOST, "see pypi" + ".org/p", True),
        (REGISTRY_HOST, "on PyPI", False),
        (MACHINE_PATH, "open /home" + "/ann/x", True),
        (MACHINE_PATH, "open ~/x, $HOME/work/x, /srv/x", False),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern, text, found):
    assert bool(pattern.search(text)) is found


def locked(lock: str) -> dict[str, str]:
    """Return name: version of a lock, whose every entry must have a hash."""
    entries = re.split(r"\n(?=\S)", (ROOT / lock).read_text(encoding="utf-8").strip())
    nothing(f"{lock}: {e} has no hash" for e in entries if "--hash=sha256:" not in e)
    pairs = [re.match(r"([\w.-]+)==([^\s;]+)", entry) for entry in entries]
    return {canonicalize_name(pair[1]): pair[2] for pair in pairs if pair}


def test_the_locks_hold_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    run = [*project["project"]["dependencies"], *groups["build"]]
    for lock, asked in (
        ("requirements.lock", run),
        ("requirements-dev.lock", [*run, *groups["test"], *groups["check"]]),
    ):
        versions = locked(lock)
        for wanted in map(Requirement, asked):
            found = versions.get(canonicalize_name(wanted.name), "nothing")
            assert wanted.specifier.contains(found), f"{lock}: {wanted}; run `make lock`"


def test_tests_run_with_the_versions_that_people_get():
    assert locked("requirements.lock").items() <= locked("requirements-dev.lock").items()


def test_the_tests_named_in_the_documents_are_there():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(?:(test_\w+\.py))?::(test_\w+)`", text)
    assert len(named) > 10
    file = ""
    for given, test in named:
        file = given or file
        code = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {test}(" in code, f"{file} has no {test}"
