"""A dataset put in order: strays and damage found, set aside, and made anew."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from fer_core import repair
from fer_core.store import Store
from tests import clips
from tests.conftest import Command

NIGHT = ("run", "inbox", "--jurisdiction", "IN", "--no-prefect")


@pytest.fixture
def out(command: Command, tmp_path: Path) -> Path:
    inbox = tmp_path / "inbox" / "maths"
    inbox.mkdir(parents=True)
    clips.write_clip(inbox / "good.mp4", clips.steady(Fraction(5), 4))
    (inbox / "broken.mp4").write_bytes(b"no video")
    command(*NIGHT)
    return tmp_path / "out"


def contents(out: Path) -> dict[str, bytes]:
    kinds = (out / "tables").rglob("*.parquet"), (out / "reports").glob("*/*.html")
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for kind in kinds
        for path in kind
        if "tables/runs" not in path.as_posix()
    }


def done(out: Path) -> str:
    rows = Store(out).all("recordings")
    return str(rows[rows["status"] == "done"]["recording_id"].iloc[0])


def table(out: Path, name: str) -> Path:
    (path,) = (out / "tables" / name).rglob(f"{done(out)}.parquet")
    return path


def test_a_dataset_in_order_is_left_alone(command: Command, out: Path) -> None:
    before = contents(out)

    assert repair.find_faults(Store(out)) == []
    code, said = command("doctor", "--repair")

    assert code == 0
    assert "Nothing had to be set aside." in said
    assert contents(out) == before
    assert not (out / "set-aside").exists()


def test_an_empty_folder_is_in_order(tmp_path: Path) -> None:
    assert repair.find_faults(Store(tmp_path / "nothing")) == []


@pytest.mark.parametrize("name", ["seconds", "moments", "marks", "runs", "recordings"])
@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_damaged_table_is_set_aside_and_made_anew(
    command: Command, out: Path, name: str, damage: str
) -> None:
    before = contents(out)
    path = table(out, name)
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-20], "empty": b"", "noise": b"PAR1" + bytes(99)}[damage])

    code, said = command("doctor")
    assert code == 3
    assert "doctor --repair" in said
    code, said = command("doctor", "--repair")
    assert code == 0, said
    assert f"tables/{name}/" in said
    command(*NIGHT)

    assert contents(out) == before
    assert repair.find_faults(Store(out)) == []


def test_a_missing_table_is_noticed(command: Command, out: Path) -> None:
    before = contents(out)
    table(out, "seconds").unlink()

    assert command("doctor", "--repair")[0] == 0
    command(*NIGHT)

    assert contents(out) == before


def test_strays_are_set_aside_and_nothing_is_deleted(command: Command, out: Path) -> None:
    before = contents(out)
    stray = "f" * 16
    seconds = table(out, "seconds")
    files = {
        seconds.with_name(f"{stray}.parquet"): seconds.read_bytes(),
        seconds.with_name(f".{stray}.parquet.part"): b"half",
        out / "tables/marks/course=x/month=unknown" / table(out, "marks").name: b"moved",
        out / "reports" / "maths" / f"{stray}.html": b"<html>",
        out / "logs" / f"{stray}.log": b"log",
    }
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    found = repair.find_faults(Store(out))
    assert {fault.path for fault in found} == set(files)
    assert command("doctor", "--repair")[0] == 0

    assert contents(out) == before
    (aside,) = (out / "set-aside").iterdir()
    kept = {p.relative_to(aside): p.read_bytes() for p in aside.rglob("*") if p.is_file()}
    assert kept == {path.relative_to(out): data for path, data in files.items()}


def test_nothing_is_repaired_while_somebody_writes(command: Command, out: Path) -> None:
    with Store(out).writing():
        code, said = command("doctor", "--repair")
    assert code == 3
    assert "Another run is writing" in said
