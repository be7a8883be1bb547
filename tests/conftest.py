"""What holds for every test: a browser where there is one, and no error logged in silence."""

import os
import shutil

import pytest


def pytest_collection_modifyitems(items):
    """Skip browser tests where no Chromium is; on CI its absence is a failure of the set-up."""
    if shutil.which("chromium") or os.environ.get("CI") == "true":
        return
    reason = pytest.mark.skip(reason="no chromium on PATH (tools/browser.sh installs one)")
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(reason)


@pytest.fixture(autouse=True)
def _no_error_logged(caplog):
    """Fail a test during which lecturepulse logged an error: a fault of ours was swallowed."""
    yield
    errors = [
        record.getMessage()
        for phase in ("setup", "call")
        for record in caplog.get_records(phase)
        if record.name.startswith("lecturepulse") and record.levelname in ("ERROR", "CRITICAL")
    ]
    assert not errors
