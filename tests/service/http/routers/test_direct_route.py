"""A route whose requests without parameters do not pass FastAPI's solving of them."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.dependencies.utils import solve_dependencies
from fastapi.testclient import TestClient

from service.http.routers.direct_route import DirectRoute


async def endpoint(
    request: Request,
    least: Annotated[int, Query(ge=1)] = 5,
    wait: Annotated[float | None, Header(alias="X-Wait-Ms", gt=0)] = None,
) -> Response:
    return Response(f"{request.method} {least} {wait}")


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The query of each request whose parameters FastAPI solved."""
    queries: list[str] = []

    async def counted(*, request: Request, **given: Any) -> Any:
        queries.append(request.url.query)
        return await solve_dependencies(request=request, **given)

    monkeypatch.setattr("fastapi.routing.solve_dependencies", counted)
    return queries


@pytest.fixture
def client() -> TestClient:
    router = APIRouter(route_class=DirectRoute)
    router.post("/there")(endpoint)
    app = FastAPI()
    app.include_router(router)
    return TestClient(app)


def test_a_request_without_parameters_goes_to_the_endpoint(
    client: TestClient, solved: list[str]
) -> None:
    assert client.post("/there", headers={"X-Other": "1"}).text == "POST 5 None"
    assert solved == []


def test_parameters_of_the_query_are_solved(client: TestClient, solved: list[str]) -> None:
    assert client.post("/there?least=7").text == "POST 7 None"
    assert client.post("/there?least=0").status_code == 422
    assert solved == ["least=7", "least=0"]


@pytest.mark.parametrize("name", ["X-Wait-Ms", "x-wait-ms"])
def test_so_are_those_of_the_header(client: TestClient, solved: list[str], name: str) -> None:
    assert client.post("/there", headers={name: "2.5"}).text == "POST 5 2.5"
    assert client.post("/there", headers={name: "-1"}).status_code == 422
    assert solved == ["", ""]


def test_it_is_described(client: TestClient) -> None:
    (operation,) = client.get("/openapi.json").json()["paths"]["/there"].values()
    assert [one["name"] for one in operation["parameters"]] == ["least", "X-Wait-Ms"]
