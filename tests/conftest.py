"""What holds for every test: every page is sound, and no error is logged in silence."""

import os
import shutil

import pytest

from fer_core import report
from tests import pages


def pytest_collection_modifyitems(items):
    """Skip browser tests where no Chromium is; on CI its absence is a failure of the set-up."""
    if shutil.which("chromium") or os.environ.get("CI") == "true":
        return
    reason = pytest.mark.skip(reason="no chromium on PATH (tools/browser.sh installs one)")
    for item in items:
        if "browser" in item.keywords:
            item.add_marker(reason)


@pytest.fixture(autouse=True, scope="session")
def _every_page_is_checked():
    """Check every page that any test renders in its own process, whatever the test is about."""
    render = report._render

    def checked(*arguments):
        html = render(*arguments)
        pages.check(html)
        return html

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report, "_render", checked)
        yield


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
