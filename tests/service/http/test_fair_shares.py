"""One client's flood refuses that client and no other, over real sockets from several addresses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.auth.api_keys import hash_of
from service.batching.admission import Admission
from service.errors import Overloaded
from service.http.middleware.load_shedding import LoadSheddingMiddleware
from tests.service.conftest import MODEL_NAME, Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS, Array, FakeEngine, Pixels, eventually
from tests.service.http.opened_bodies import opened_bodies
from tests.service.images import encoded, noise, plain

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of this machine"
)

RED, GREEN = plain("red"), plain("green")
# More bytes than what is around it in a form.
DETAILED = encoded(noise(64, 64), "PNG")
FLOOD, HONEST = "127.0.0.2", "127.0.0.3"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is held while the queue fills, which takes its time on a busy machine."""
    monkeypatch.setattr("service.inference.model.MIN_STUCK_TIMEOUT_SECONDS", WAIT_SECONDS)


class Watching(FakeEngine):
    """greens: whether each batch begins with a green image."""

    def __init__(self, batch_sizes: tuple[int, ...]) -> None:
        super().__init__(batch_sizes=batch_sizes)
        self.greens: list[bool] = []

    def run(self, pixels: Pixels) -> Array:
        self.greens.append(bool(pixels[0, 0, 0, 1] > pixels[0, 0, 0, 0]))
        return super().run(pixels)


@contextmanager
def asking(service: Service) -> Iterator[Callable[..., httpx2.Response]]:
    """Sends an image, or several in one form, from an address."""
    with listening(service.app) as port:

        def ask(
            address: str, images: int = 1, image: bytes = RED, **headers: str
        ) -> httpx2.Response:
            files = [("file", ("image.png", image, "image/png"))] * images
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            with httpx2.Client(
                transport=httpx2.HTTPTransport(local_address=address),
                base_url=f"http://127.0.0.1:{port}",
                timeout=WAIT_SECONDS,
            ) as client:
                response: httpx2.Response = client.post("/predict", files=files, headers=given)
            return response

        yield ask


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def waiting(
    service: Service, ask: Callable[[], Future[httpx2.Response]]
) -> list[Future[httpx2.Response]]:
    """Requests of one image each that the device does not take: one there, and a full share."""
    futures = [ask()]
    service.engine.wait_until_busy()
    for number in range(1, 15):
        futures.append(ask())
        eventually(lambda number=number: service.model.queue_depth == number)  # type: ignore[misc]
    return futures


def test_one_address_fills_its_share_and_another_is_served_in_turn(
    serve: Serve, pool: ThreadPoolExecutor
) -> None:
    engine = Watching(batch_sizes=(1,))
    service = serve(engine, queue_limit=16)
    engine.greens.clear()
    with asking(service) as ask, service.engine.blocked():
        flood = waiting(service, lambda: pool.submit(ask, FLOOD))
        refused = ask(FLOOD)
        assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
        assert "14 of them of this client, which may have 14" in refused.json()["detail"]
        honest = pool.submit(ask, HONEST, image=GREEN)
        eventually(lambda: service.model.queue_depth == 15)
        assert service.model.admission.client_wait_seconds(HONEST) < service.model.wait_seconds
        service.engine.release()
        assert honest.result().status_code == 200
        assert {one.result().status_code for one in flood} == {200}
    assert service.sample("resnet_rejections_total", reason="client_share") == 1
    assert service.sample("resnet_rejections_total", reason="queue_full") == 0
    # One of the flood's was on the device, and one had its turn.
    assert engine.greens == [False, False, True, *[False] * 13]


def test_a_form_that_will_find_no_room_is_refused_before_it_is_read(
    serve: Serve, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the client's last form had: 9 of 14 places are taken, and 8 are needed."""
    service = serve(FakeEngine(batch_sizes=(1,)), queue_limit=16)
    opened = opened_bodies(monkeypatch)
    with asking(service) as ask, service.engine.blocked():
        waiting = [pool.submit(ask, FLOOD)]
        service.engine.wait_until_busy()
        waiting.append(pool.submit(ask, FLOOD, 8, DETAILED))
        eventually(lambda: service.model.queue_depth == 8)
        waiting.append(pool.submit(ask, HONEST))
        eventually(lambda: service.model.queue_depth == 9)
        opened.clear()
        refused = ask(FLOOD, 8, DETAILED)
        assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
        assert not opened
        # Fewer images are fewer bytes.
        waiting.append(pool.submit(ask, FLOOD, 4, DETAILED))
        eventually(lambda: service.model.queue_depth == 13)
        assert opened
        service.engine.release()
        assert {one.result().status_code for one in waiting} == {200}


def test_keys_behind_one_address_are_clients_of_their_own(
    serve: Serve,
    pool: ThreadPoolExecutor,
    tmp_path: Path,
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{hash_of('alpha')} shop\n{hash_of('gamma')} bank\n{hash_of('off')} old off\n")
    service = serve(FakeEngine(batch_sizes=(1,)), queue_limit=16, api_keys_file=keys)
    with asking(service) as ask, service.engine.blocked():
        flood = waiting(service, lambda: pool.submit(ask, FLOOD, X_API_Key="alpha"))
        assert ask(FLOOD, X_API_Key="alpha").json()["code"] == "queue_full"
        assert ask(FLOOD, Authorization="Bearer alpha").json()["code"] == "queue_full"
        # Load shedding refused them: it is outside the access log.
        lines = log_lines()
        assert "POST /predict 503" not in [line["message"] for line in lines]
        (line,) = [line for line in lines if line["logger"].endswith("load_shedding")]
        assert line["message"].startswith("1 refused; the last one: 14 of at most 16 images are")
        assert line["client"] == "shop"
        assert ask(FLOOD).status_code == 401
        assert ask(FLOOD, X_API_Key="off").status_code == 403
        honest = pool.submit(ask, FLOOD, X_API_Key="gamma")
        eventually(lambda: service.model.queue_depth == 15)
        service.engine.release()
        assert [one.result().status_code for one in [*flood, honest]] == [200] * 16
    assert service.sample("resnet_rejections_total", reason="client_share") == 2


def test_where_no_client_would_be_admitted_every_key_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{hash_of('alpha')} shop\n")
    service = serve(queue_wait_limit_seconds=50, api_keys_file=keys)
    asked = []

    def refusal(_: Admission, *about: Any) -> Overloaded:
        asked.append(about[3])
        return Overloaded("The wait is 100 s.", retry_after_seconds=50.0)

    monkeypatch.setattr(Admission, "_refusal", refusal)
    with asking(service) as ask:
        assert ask(FLOOD, X_API_Key="wrong").status_code == 503
        assert asked == [None]
        assert ask(FLOOD, X_API_Key="alpha").status_code == 503
        assert asked == [None, "shop", None]
        monkeypatch.setattr(LoadSheddingMiddleware, "_error", lambda *_: None)
        assert ask(FLOOD, X_API_Key="alpha").status_code == 503
        assert asked[3] == "shop"


def test_a_form_is_as_many_as_its_images(serve: Serve, pool: ThreadPoolExecutor) -> None:
    service = serve(FakeEngine(batch_sizes=(1,)), queue_limit=16)
    with asking(service) as ask, service.engine.blocked():
        first = pool.submit(ask, FLOOD)
        service.engine.wait_until_busy()
        form = pool.submit(ask, FLOOD, 12)
        eventually(lambda: service.model.queue_depth == 12)
        assert ask(FLOOD, 3).status_code == 503
        assert ask(HONEST, 5).status_code == 503
        honest = pool.submit(ask, HONEST, 4)
        eventually(lambda: service.model.queue_depth == 16)
        service.engine.release()
        assert [one.result().status_code for one in (first, form, honest)] == [200] * 3
    assert service.sample("resnet_images_total", model=MODEL_NAME, result="ok") == 17
