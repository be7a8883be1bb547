"""The error tree: exit codes, the drawing of it, and the way across process borders."""

import copy
import pickle
import re

import pytest

from fer_core import errors
from fer_core.errors import LecturePulseError

# From the plan of the house: 1 some recordings failed, 2 usage or configuration, 3 environment.
EXIT_CODES = {
    "LecturePulseError": 1,
    "ConfigError": 2,
    "PolicyError": 2,
    "EnvironmentProblem": 3,
    "AssetMissing": 3,
    "AssetCorrupt": 3,
    "InputError": 1,
    "Gone": 1,
    "QuestionError": 2,
    "TransientError": 1,
    "Unseen": 1,
    "Busy": 1,
    "StoreError": 3,
}


def family(kind: type[LecturePulseError]) -> list[type[LecturePulseError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in family(child))]


KINDS = [kind for kind in family(LecturePulseError) if kind.__module__ == errors.__name__]


def drawn() -> dict[str, tuple[str | None, int | None]]:
    """Read the drawing: name → (parent, exit code)."""
    found: dict[str, tuple[str | None, int | None]] = {}
    branch: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        node = re.match(r" {4}([ │├└─]*)([A-Z]\w+) ", line)
        if not node:
            continue
        depth = len(node[1])
        branch = [above for above in branch if above[0] < depth]
        code = re.search(r"exit (\d)$", line)
        found[node[2]] = (branch[-1][1] if branch else None, int(code[1]) if code else None)
        branch.append((depth, node[2]))
    return found


def test_the_drawing_shows_exactly_the_classes_there_are():
    assert set(drawn()) == {kind.__name__ for kind in KINDS} == set(EXIT_CODES)


def test_the_drawing_shows_parents_and_exit_codes():
    for kind in KINDS:
        parent, code = drawn()[kind.__name__]
        assert parent == (None if kind is LecturePulseError else kind.__base__.__name__)
        assert code in (None, kind.exit_code)


def test_exit_codes_are_those_of_the_plan():
    assert {kind.__name__: kind.exit_code for kind in KINDS} == EXIT_CODES


def test_every_error_has_a_code_of_its_own_and_a_docstring():
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert all(kind.__doc__ for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "carry", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_nothing_is_lost_on_the_way_across_a_process_border(kind, carry):
    error = kind("It broke: 'ü\n'.", hint="Mend it.")
    error.path = "a.mp4"
    error.add_note("while reading")

    carried = carry(error)

    assert type(carried) is kind
    assert (carried.message, carried.hint, str(carried)) == (
        "It broke: 'ü\n'.",
        "Mend it.",
        "It broke: 'ü\n'.",
    )
    assert (carried.exit_code, carried.code) == (kind.exit_code, kind.code)
    assert carried.path == "a.mp4"
    assert carried.__notes__ == ["while reading"]
    assert carried.args == error.args


def test_the_hint_can_be_given_by_name_only():
    with pytest.raises(TypeError):
        LecturePulseError("message", "hint")
    assert LecturePulseError("message").hint == ""


def test_a_subclass_with_extras_survives_too():
    error = Picky("no", hint="yes", segment=3)
    carried = pickle.loads(pickle.dumps(error))
    assert (carried.segment, carried.hint) == (3, "yes")


class Picky(errors.InputError):
    """An error that takes one more word by name, which need not be given again."""

    def __init__(self, message: str, *, hint: str = "", segment: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.segment = segment
