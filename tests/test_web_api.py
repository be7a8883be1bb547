"""The API against its own OpenAPI document: whatever the document allows, and more, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests import lectures
from tests.factories import examples
from tests.sites import REPO, Site, class_picture, encoded, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OPERATIONS = (
    ("POST", "/api/v1/image", 25),
    ("POST", "/api/v1/videos", 15),
    ("GET", "/api/v1/videos/{job_id}", 15),
    ("DELETE", "/api/v1/videos/{job_id}", 10),
    ("GET", "/api/v1/videos/{job_id}/events", 10),
    ("GET", "/api/v1/recordings", 25),
    ("GET", "/api/v1/runs", 3),
    ("GET", "/api/v1/night", 3),
    ("POST", "/api/v1/query", 6),
    ("POST", "/api/v1/live", 3),
    ("DELETE", "/api/v1/live/{view}", 10),
    ("POST", "/api/v1/live/{view}/pictures", 15),
    ("POST", "/api/v1/live/{view}/recording", 15),
    ("DELETE", "/api/v1/live/{view}/recording", 10),
    ("GET", "/api/v1/live/recordings/{recording_id}", 10),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("api")
    lectures.write_lectures(home / "out")
    with serving(
        home, "--jurisdiction", "IN", WEB__REQUESTS_PER_MINUTE="10000", WEB__QUERY_S="2"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def schema(site: Site):
    return schemathesis.openapi.from_dict(site.client.get("/api/v1/openapi.json").json())


def quick(number: int) -> hypothesis.settings:
    return hypothesis.settings(
        examples(number),
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


def test_every_operation_is_asked(schema):
    documented = {
        (found.ok().method.upper(), found.ok().path) for found in schema.get_all_operations()
    }
    assert documented == {operation[:2] for operation in OPERATIONS}


@pytest.mark.parametrize(("method", "path", "number"), OPERATIONS)
def test_answers_are_as_documented(site: Site, schema, method: str, path: str, number: int):
    operation = schema[path][method]

    @quick(number)
    @hypothesis.given(case=operation.as_strategy())
    def ask(case: Case):
        answer = case.call(base_url=site.address)
        # That bytes are a picture, or a text SQL, no schema can say.
        opaque = [positive_data_acceptance] if method == "POST" else []
        case.validate_response(answer, excluded_checks=opaque)
        told = answer.text
        assert "Traceback" not in told
        assert str(REPO) not in told and str(site.out) not in told
        assert lectures.SECRET_FOLDER not in told

    ask()


def test_what_is_meant_to_work_is_as_documented(site: Site, schema, tmp_path: Path):
    picture = encoded(class_picture(), ".jpg")
    case = schema["/api/v1/image"]["POST"].Case(body=picture, media_type="image/jpeg")
    answer = case.call(base_url=site.address)
    case.validate_response(answer)
    assert answer.status_code == 200 and len(answer.json()["faces"]) == 9

    begun = schema["/api/v1/live"]["POST"].Case().call(base_url=site.address)
    view = {"view": begun.json()["view"]}
    case = schema["/api/v1/live/{view}/pictures"]["POST"].Case(
        path_parameters=view, query={"captured_s": 1.5}, body=picture, media_type="image/jpeg"
    )
    answer = case.call(base_url=site.address)
    case.validate_response(answer)
    assert answer.status_code == 200 and len(answer.json()["faces"]) == 9
    case = schema["/api/v1/live/{view}/recording"]["POST"].Case(
        path_parameters=view, body={"consent": True}, media_type="application/json"
    )
    answer = case.call(base_url=site.address)
    case.validate_response(answer)
    assert answer.status_code == 201

    sql = {"sql": "select second, clock, p_happy from seconds limit 3"}
    case = schema["/api/v1/query"]["POST"].Case(body=sql, media_type="application/json")
    answer = case.call(base_url=site.address)
    case.validate_response(answer)
    assert answer.status_code == 200 and len(answer.json()["rows"]) == 3
