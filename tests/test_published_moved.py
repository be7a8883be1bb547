"""A working copy whose address changed, or whose storage is another one: nothing here is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fer_core import audit, config, published, retention
from fer_core.errors import StoreError
from fer_core.settings import Settings
from fer_core.store import Store
from tests import s3
from tests.conftest import Command
from tests.s3 import copy_of
from tests.test_retention import keep

__all__ = ["server", "storage"]

server, storage = s3.server, s3.bucket

ONE, OTHER, THIRD = "a" * 16, "b" * 16, "c" * 16


def at(address: str, tmp_path: Path, machine: str = "one", **more: Any) -> Settings:
    flags = {"out": str(copy_of(tmp_path / machine)), "publish_to": address, **more}
    return config.load(None, flags).settings


@pytest.fixture
def kept(storage: str, tmp_path: Path) -> Settings:
    """Return the settings of a dataset of two lectures that is published to ``old``."""
    settings = at(f"{storage}/old", tmp_path)
    for number, recording_id in enumerate((ONE, OTHER)):
        keep(settings.out, recording_id, 9 + number)
    audit.note(settings.out, "exported", of="one")
    publish(settings)
    return settings


def publish(settings: Settings) -> None:
    with published.writing(settings):
        pass


def here(settings: Settings) -> set[str]:
    return {*Store(settings.out).places()}


def there(address: str) -> set[str]:
    found = s3.objects(address)
    return {n.split("/")[-1][:16] for n in found if n.startswith("tables/recordings/")}


def events(address: str) -> list[str]:
    parts = [data for name, data in s3.objects(address).items() if name.startswith("audit/")]
    return [line for part in parts for line in part.decode().splitlines()]


def noted(settings: Settings) -> dict[str, Any]:
    return json.loads((settings.out / ".published" / "known.json").read_text())


def test_a_new_address_gets_everything_and_costs_nothing_here(
    kept: Settings, storage: str, tmp_path: Path
) -> None:
    new = at(f"{storage}/new/", tmp_path)
    published.reading(new)
    assert here(new) == {ONE, OTHER}
    publish(new)
    assert here(new) == there(f"{storage}/new") == there(f"{storage}/old") == {ONE, OTHER}
    assert events(f"{storage}/new") == events(f"{storage}/old") != []
    assert noted(new)["url"] == f"{storage}/new"
    # The same address, written otherwise.
    before = s3.objects(f"{storage}/new")
    publish(at(f"{storage}/new", tmp_path))
    assert s3.objects(f"{storage}/new") == before
    # And back again.
    publish(kept)
    assert here(kept) == there(f"{storage}/old") == {ONE, OTHER}


def test_a_new_address_that_holds_others_has_both(
    kept: Settings, storage: str, tmp_path: Path
) -> None:
    others = at(f"{storage}/new", tmp_path, "two")
    keep(others.out, THIRD, 11)
    publish(others)
    new = at(f"{storage}/new", tmp_path)
    publish(new)
    assert here(new) == there(f"{storage}/new") == {ONE, OTHER, THIRD}
    published.reading(others)
    assert here(others) == {ONE, OTHER, THIRD}


@pytest.mark.parametrize("name", ["old", "new"])
def test_what_was_noted_without_an_address(
    kept: Settings, storage: str, tmp_path: Path, name: str
) -> None:
    told = noted(kept)
    del told["url"]
    (kept.out / ".published" / "known.json").write_text(json.dumps(told))
    # Removed by another machine: here it goes if this is the address, and only then.
    two = at(f"{storage}/old", tmp_path, "two")
    with published.writing(two):
        store = Store(two.out)
        retention.purge(store, [retention.one(store, ONE)], two, "asked")
    settings = at(f"{storage}/{name}", tmp_path)
    publish(settings)
    stand = {OTHER} if name == "old" else {ONE, OTHER}
    assert here(settings) == there(f"{storage}/{name}") == stand
    assert noted(settings)["url"] == f"{storage}/{name}"


@pytest.mark.parametrize("below", ["old", "old/tables"])
def test_where_everything_went_at_once_nothing_follows(
    kept: Settings, storage: str, command: Command, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    s3.client().rm(f"{storage}/{below}", recursive=True)
    for act in (publish, published.reading):
        with pytest.raises(StoreError, match="is there any more") as raised:
            act(kept)
        assert raised.value.exit_code == 3
        assert str(kept.out / ".published" / "known.json") in raised.value.hint
        assert here(kept) == {ONE, OTHER}
    # As the hint says.
    (kept.out / ".published" / "known.json").unlink()
    publish(kept)
    assert here(kept) == there(f"{storage}/old") == {ONE, OTHER}


def test_the_only_one_does_not_follow_an_emptied_bucket(storage: str, tmp_path: Path) -> None:
    settings = at(f"{storage}/old", tmp_path)
    keep(settings.out, ONE, 9)
    publish(settings)
    s3.client().rm(f"{storage}/old", recursive=True)
    with pytest.raises(StoreError, match="is there any more"):
        publish(settings)
    assert here(settings) == {ONE}


def test_all_that_another_machine_deleted_on_purpose_goes_here_too(
    kept: Settings, storage: str, tmp_path: Path
) -> None:
    two = at(f"{storage}/old", tmp_path, "two")
    with published.writing(two):
        store = Store(two.out)
        purged = [retention.one(store, recording_id) for recording_id in (ONE, OTHER)]
        retention.purge(store, purged, two, "asked")
    publish(kept)
    assert here(kept) == there(f"{storage}/old") == set()


def test_a_question_to_an_emptied_bucket_ends_with_3(
    kept: Settings,
    storage: str,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    s3.client().rm(f"{storage}/old", recursive=True)
    monkeypatch.setenv("LECTUREPULSE_PUBLISH_TO", f"{storage}/old")
    (tmp_path / "out").symlink_to(kept.out)
    code, said = command("query", "select count(*) from recordings")
    assert code == 3, said
    assert "nothing was deleted here" in said
    assert here(kept) == {ONE, OTHER}


def test_duckdb_reads_it_as_documented(
    kept: Settings, storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[1] / "docs" / "operation.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    s3.forget()  # as in a program of its own
    exec(code.replace("s3://school/pulse", f"{storage}/old"), {})
    assert re.search(r"\b2\b", capsys.readouterr().out)
