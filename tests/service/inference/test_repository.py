"""Loading, asking for and closing models."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from model_builder.errors import BuilderError
from service.errors import ModelNotFound, ModelNotReady, WorkerLost
from service.inference.model import Model, Prediction
from service.inference.repository import ModelRepository
from tests.service.conftest import MakeModel
from tests.service.fakes import WAIT_SECONDS, FakeEngine, eventually
from tests.service.images import plain


def loaded(make_model: MakeModel, *names: str, **hooks: Any) -> ModelRepository:
    ready = threading.Event()
    registry = ModelRepository(names, make_model, on_ready=ready.set, **hooks)
    registry.start()
    assert ready.wait(WAIT_SECONDS)
    return registry


def failed(load: Callable[[str], Model], *names: str) -> tuple[ModelRepository, str]:
    """And why."""
    reasons: list[str] = []
    registry = ModelRepository(
        names,
        load,
        on_ready=lambda: pytest.fail("nothing is ready"),
        on_failure=reasons.append,
    )
    registry.start()
    eventually(lambda: bool(reasons))
    (reason,) = reasons
    return registry, reason


def refuse(name: str) -> Model:
    raise BuilderError(f"No source gave {name}.")


def test_nothing_loads_before_the_start(make_model: MakeModel) -> None:
    registry = ModelRepository(["a"], make_model)
    assert registry.models == ()
    assert registry.problems() == ["loading a"]


def test_models_load_in_order_and_the_first_is_the_default(make_model: MakeModel) -> None:
    registry = loaded(make_model, "resnet18.a", "resnet18.b")
    assert [model.name for model in registry.models] == ["resnet18.a", "resnet18.b"]
    assert registry.get().name == "resnet18.a"
    assert registry.get("resnet18.b").name == "resnet18.b"
    assert registry.get("resnet18").name == "resnet18.a"
    assert registry.problems() == []


@pytest.mark.parametrize("name", ["resnet50", "resnet18.c", "a", ""])
def test_a_model_that_is_not_served(make_model: MakeModel, name: str) -> None:
    registry = loaded(make_model, "resnet18.a")
    with pytest.raises(ModelNotFound) as refusal:
        registry.get(name)
    assert f"does not serve {name!r}. It serves resnet18.a;" in str(refusal.value)


def test_while_the_second_model_loads_the_first_answers(make_model: MakeModel) -> None:
    go_on = threading.Event()

    def load(name: str) -> Model:
        if name == "resnet18.b":
            assert go_on.wait(WAIT_SECONDS)
        return make_model(name)

    ready = threading.Event()
    registry = ModelRepository(["resnet18.a", "resnet18.b"], load, on_ready=ready.set)
    registry.start()
    eventually(lambda: len(registry.models) == 1)
    assert registry.problems() == ["loading resnet18.b"]
    assert registry.get().name == "resnet18.a"
    with pytest.raises(ModelNotReady, match="still loading"):
        registry.get("resnet18.b")
    with pytest.raises(ModelNotFound):
        registry.get("resnet50")
    assert not ready.is_set()
    go_on.set()
    assert ready.wait(WAIT_SECONDS)
    assert registry.get("resnet18.b").name == "resnet18.b"


@pytest.mark.parametrize("expected", ["resnet18", "resnet18.a"])
@pytest.mark.parametrize("name", [None, "resnet18", "resnet18.a"])
def test_while_it_loads_every_name_of_a_model_is_known(
    make_model: MakeModel, name: str | None, expected: str
) -> None:
    registry = ModelRepository([expected], make_model)
    with pytest.raises(ModelNotReady):
        registry.get(name)
    with pytest.raises(ModelNotFound, match="nothing yet"):
        registry.get("resnet50")


def test_a_failure_that_the_builder_explains() -> None:
    registry, reason = failed(refuse, "resnet18.a", "resnet18.b")
    assert reason == "resnet18.a can't be served. No source gave resnet18.a."
    assert registry.problems() == [reason]
    with pytest.raises(ModelNotReady, match="No source gave"):
        registry.get()


def test_a_failure_that_nobody_foresaw(caplog: pytest.LogCaptureFixture) -> None:
    def load(_: str) -> Model:
        raise ZeroDivisionError("how odd")

    _, reason = failed(load, "a")
    assert reason == "a can't be served. ZeroDivisionError: how odd"
    assert "Traceback" in caplog.text


def test_the_same_model_twice_is_a_failure(make_model: MakeModel) -> None:
    registry, reason = failed(lambda _: make_model("resnet18.a"), "resnet18", "resnet18.a")
    assert reason == "resnet18.a can't be served. resnet18.a is served already."
    assert registry.problems() == [reason]


def engine_of(model: Model) -> FakeEngine:
    (engine,) = model.engines
    assert isinstance(engine, FakeEngine)
    return engine


def predict(model: Model) -> Prediction:
    deadline = time.monotonic() + WAIT_SECONDS
    return asyncio.run(model.predict(plain("red"), k=1, deadline=deadline))


def test_a_stuck_worker_is_a_problem_until_it_comes_back(make_model: MakeModel) -> None:
    registry = loaded(make_model, "resnet18.a", "resnet18.b")
    model = registry.get("resnet18.b")
    engine = engine_of(model)
    with ThreadPoolExecutor(1) as pool, engine.blocked():
        lost = pool.submit(predict, model)
        engine.wait_until_busy()
        model._batcher.fail_stuck_batches(0)
        with pytest.raises(WorkerLost):
            lost.result()
        assert registry.problems() == ["a worker of resnet18.b is stuck"]
        assert registry.checks() == {
            "models": "ok",
            "workers": "a worker of resnet18.b is stuck",
            "self_test": "ok",
            "serving": "ok",
        }
        assert predict(registry.get("resnet18.a")).predictions[0].label == "red"
    eventually(lambda: registry.problems() == [])


def test_told_to_end_it_is_not_ready_and_answers_on(make_model: MakeModel) -> None:
    registry = loaded(make_model, "resnet18.a")
    registry.drain()
    assert registry.problems() == ["shutting down"]
    assert predict(registry.get()).predictions[0].label == "red"


def test_closing_closes_every_model(make_model: MakeModel) -> None:
    registry = loaded(make_model, "resnet18.a", "resnet18.b")
    registry.close(WAIT_SECONDS)
    assert not any(model.alive for model in registry.models)
    assert registry.problems() == ["shutting down"]


def test_a_model_that_is_stuck_keeps_no_other_open(make_model: MakeModel) -> None:
    registry = loaded(make_model, "resnet18.a", "resnet18.b")
    model, other = registry.models
    engine = engine_of(model)
    with ThreadPoolExecutor(2) as pool, engine.blocked():
        under_way = pool.submit(predict, model)
        engine.wait_until_busy()
        closing = pool.submit(registry.close, 2 * WAIT_SECONDS)
        eventually(lambda: not other.alive)
        assert model.alive
        engine.release()
        assert under_way.result().predictions[0].label == "red"
        closing.result()
    assert not model.alive


def test_closing_says_which_model_did_not_finish(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    registry = loaded(make_model, "resnet18.a", "resnet18.b")
    model = registry.get("resnet18.a")
    engine = engine_of(model)
    with ThreadPoolExecutor(1) as pool, engine.blocked():
        under_way = pool.submit(predict, model)
        engine.wait_until_busy()
        registry.close(0.05)
        assert "resnet18.a did not finish within 0.05 s" in caplog.text
        eventually(lambda: not registry.get("resnet18.b").alive)
        engine.release()
        assert under_way.result().predictions[0].label == "red"


def test_a_model_that_comes_too_late_is_closed(make_model: MakeModel) -> None:
    go_on, models = threading.Event(), []

    def load(name: str) -> Model:
        assert go_on.wait(WAIT_SECONDS)
        models.append(make_model(name))
        return models[0]

    registry = ModelRepository(["a"], load, on_ready=lambda: pytest.fail("it is too late"))
    registry.start()
    registry.close(WAIT_SECONDS)
    go_on.set()
    eventually(lambda: len(models) == 1 and not models[0].alive)
    assert registry.problems() == ["shutting down"]


def test_trouble_is_what_the_workers_and_canaries_say(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is loading, or is to end, is not ready and has no need of a new process."""
    registry = loaded(make_model, "resnet18.a", "resnet18.b")
    registry.drain()
    assert registry.unrecoverable_problems() == []
    for model, problem in zip(registry.models, ("a worker died", "it is stuck"), strict=True):
        monkeypatch.setattr(model, "worker_problems", lambda problem=problem: [problem])
    monkeypatch.setattr(registry.models[1], "canary_problems", lambda: ["it is late"])
    assert registry.unrecoverable_problems() == ["a worker died; it is stuck", "it is late"]


def test_a_process_that_ends_does_not_wait_for_a_model() -> None:
    script = """
import time
from service.inference.repository import Registry
Registry(["a"], lambda _: time.sleep(3600)).start()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, timeout=WAIT_SECONDS
    )
