"""What the OpenAPI document promises, tried with whatever it allows, and with what it does not."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from tests.service.conftest import Service, listening

schemathesis = pytest.importorskip("schemathesis")

EXAMPLES = 40
MODES = schemathesis.GenerationMode


def test_every_answer_is_one_that_was_promised(service: Service) -> None:
    """No 5xx but for a deadline of the request's own, no status or media type that is not
    documented, no body that breaks its schema.
    """
    no_5xx = schemathesis.checks.not_a_server_error
    checks = [
        getattr(schemathesis.checks, name)
        for name in (
            "status_code_conformance",
            "content_type_conformance",
            "response_headers_conformance",
            "response_schema_conformance",
        )
    ]
    tried = []
    with listening(service.app) as port:
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        for operation, mode in itertools.product(operations, (MODES.POSITIVE, MODES.NEGATIVE)):
            tried.append(operation.label)

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            def promised(case: Any) -> None:
                response = case.call()
                timed = "X-Request-Timeout-Ms" in (case.headers or {})
                too_late = timed and response.status_code in (503, 504)
                case.validate_response(response, checks if too_late else [no_5xx, *checks])

            # An operation that takes nothing can't be given anything wrong.
            with contextlib.suppress(Unsatisfiable):
                promised()
    assert "POST /predict" in tried
    assert "GET /models" in tried
    assert "POST /v2/models/{name}/infer" in tried
    assert "POST /v1/models/{name}:predict" in tried
    assert "GET /models/{name}/labels" in tried
    assert "POST /v1/embeddings" in tried
