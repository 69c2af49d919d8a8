"""Loading, asking for and closing models."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from model_builder.errors import (
    BuilderError,
    CalibrationFailed,
    ConversionFailed,
    FetchFailed,
    InvalidArtifact,
    UnknownModel,
    VerificationFailed,
)
from service.errors import ModelNotFound, ModelNotReady, WorkerLost
from service.inference.model import Model
from service.inference.repository import AmbiguousName, ModelRepository
from tests.service.conftest import MakeModel
from tests.service.fakes import WAIT_SECONDS, FakeEngine, eventually


def loaded(make_model: MakeModel, *names: str, **hooks: Any) -> ModelRepository:
    ready = threading.Event()
    repository = ModelRepository(names, make_model, on_ready=ready.set, **hooks)
    repository.start()
    assert ready.wait(WAIT_SECONDS)
    return repository


def failed(load: Callable[[str], Model], *names: str) -> tuple[ModelRepository, str]:
    """And why."""
    reasons: list[str] = []
    repository = ModelRepository(
        names,
        load,
        on_ready=lambda: pytest.fail("nothing is ready"),
        on_failure=reasons.append,
    )
    repository.start()
    eventually(lambda: bool(reasons))
    (reason,) = reasons
    return repository, reason


def refuse(name: str) -> Model:
    raise BuilderError(f"No source gave {name}.")


def test_nothing_loads_before_the_start(make_model: MakeModel) -> None:
    repository = ModelRepository(["a"], make_model)
    assert repository.models == ()
    assert repository.health().problems == ["loading a"]


def test_models_load_in_order_and_the_first_is_the_default(make_model: MakeModel) -> None:
    repository = loaded(make_model, "resnet18.a", "resnet18.b")
    assert [model.name for model in repository.models] == ["resnet18.a", "resnet18.b"]
    assert repository.get().name == "resnet18.a"
    assert repository.get("resnet18.b").name == "resnet18.b"
    assert repository.health().problems == []


@pytest.mark.parametrize("name", ["resnet50", "resnet18.c", "a", ""])
def test_a_model_that_is_not_served(make_model: MakeModel, name: str) -> None:
    repository = loaded(make_model, "resnet18.a")
    with pytest.raises(ModelNotFound) as refusal:
        repository.get(name)
    assert f"does not serve {name!r}. It serves resnet18.a;" in str(refusal.value)


def test_while_the_second_model_loads_the_first_answers(make_model: MakeModel) -> None:
    go_on = threading.Event()

    def load(name: str) -> Model:
        if name == "resnet18.b":
            assert go_on.wait(WAIT_SECONDS)
        return make_model(name)

    ready = threading.Event()
    repository = ModelRepository(["resnet18.a", "resnet18.b"], load, on_ready=ready.set)
    repository.start()
    eventually(lambda: len(repository.models) == 1)
    assert repository.health().problems == ["loading resnet18.b"]
    assert repository.get().name == "resnet18.a"
    with pytest.raises(ModelNotReady, match="still loading"):
        repository.get("resnet18.b")
    with pytest.raises(ModelNotFound):
        repository.get("resnet50")
    assert not ready.is_set()
    go_on.set()
    assert ready.wait(WAIT_SECONDS)
    assert repository.get("resnet18.b").name == "resnet18.b"


@pytest.mark.parametrize("served", ["resnet18", "resnet18.a1_in1k"])
@pytest.mark.parametrize("name", [None, "resnet18", "resnet18.a1_in1k"])
def test_every_name_of_a_model_is_known_before_and_after_it_is_loaded(
    make_model: MakeModel, name: str | None, served: str
) -> None:
    """A bare depth stands for the depth's default checkpoint."""
    go_on = threading.Event()

    def load(_: str) -> Model:
        assert go_on.wait(WAIT_SECONDS)
        return make_model("resnet18.a1_in1k")

    repository = ModelRepository([served], load)
    repository.start()
    with pytest.raises(ModelNotReady):
        repository.get(name)
    with pytest.raises(ModelNotFound, match="nothing yet"):
        repository.get("resnet50")
    go_on.set()
    eventually(lambda: bool(repository.models))
    assert repository.get(name).name == "resnet18.a1_in1k"


@pytest.mark.parametrize("served", [("flowers", "resnet50"), ("resnet50", "flowers")])
def test_a_bare_depth_is_never_answered_by_another_model_of_that_depth(
    make_model: MakeModel, served: tuple[str, ...]
) -> None:
    """`flowers` is a ResNet-50 too; every model here has depth 18, whatever its name is."""
    named = {"flowers": "flowers", "resnet50": "resnet50.keras_in1k"}
    ready = threading.Event()
    repository = ModelRepository(served, lambda name: make_model(named[name]), on_ready=ready.set)
    repository.start()
    assert ready.wait(WAIT_SECONDS)
    assert repository.get("resnet50").name == "resnet50.keras_in1k"
    assert repository.get("flowers").name == "flowers"
    assert repository.get().name == named[served[0]]


def test_a_bare_depth_whose_default_is_not_served_is_not_found(make_model: MakeModel) -> None:
    repository = loaded(make_model, "resnet18.a")
    with pytest.raises(ModelNotFound):
        repository.get("resnet18")


@pytest.mark.parametrize("version", [None, "1"])
def test_every_model_has_one_version(make_model: MakeModel, version: str | None) -> None:
    repository = loaded(make_model, "resnet18.a")
    assert repository.get("resnet18.a", version).name == "resnet18.a"
    with pytest.raises(ModelNotFound, match=r"'resnet18\.a', version '2'"):
        repository.get("resnet18.a", "2")


def test_a_failure_that_the_builder_explains() -> None:
    repository, reason = failed(refuse, "resnet18.a", "resnet18.b")
    assert reason == (
        "resnet18.a can't be served. No source gave resnet18.a.; "
        "resnet18.b can't be served. No source gave resnet18.b."
    )
    first, second = (entry.incident for entry in repository.entries)
    assert first != second
    assert repository.health().problems == [
        f"resnet18.a can't be served: {first}. The log has the cause.; "
        f"resnet18.b can't be served: {second}. The log has the cause."
    ]
    with pytest.raises(ModelNotReady, match=rf"^resnet18.a can't be served: {first}"):
        repository.get()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BuilderError("at 10.0.0.7"), "load_failed"),
        (FetchFailed("https://mirror.internal/x"), "fetch_failed"),
        (VerificationFailed("/secret/x"), "verification_failed"),
        (ConversionFailed("/secret/x"), "conversion_failed"),
        (CalibrationFailed("/secret/x"), "calibration_failed"),
        (InvalidArtifact("/secret/x"), "invalid_artifact"),
        (UnknownModel("/secret/x"), "unknown_model"),
        (OSError("/secret/x"), "load_failed"),
    ],
)
def test_clients_are_told_a_code_and_where_to_look_and_the_log_the_rest(
    error: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    def load(_: str) -> Model:
        raise error

    repository, cause = failed(load, "/secret/folder")
    assert str(error) in cause
    (entry,) = repository.entries
    assert re.fullmatch(rf"{code}, incident [0-9a-f]{{8}}", entry.incident)
    expected = f"artifact folder 1 can't be served: {entry.incident}. The log has the cause."
    assert repository.health().problems == [expected]
    assert repository.pending == {"/secret/folder": expected}
    with pytest.raises(ModelNotReady) as refusal:
        repository.get()
    assert str(refusal.value) == expected
    (line,) = [one.getMessage() for one in caplog.records if entry.incident in one.getMessage()]
    assert line == f"/secret/folder can't be served. {cause.partition('. ')[2]} ({entry.incident})"


def test_a_folder_is_called_by_its_number_and_then_by_its_models_name(
    make_model: MakeModel,
) -> None:
    repository = ModelRepository(
        ["resnet18.a", "/secret/folder"],
        lambda asked: make_model("resnet18.b" if asked.startswith("/") else asked),
    )
    assert repository.health().problems == ["loading resnet18.a; loading artifact folder 2"]
    repository.start()
    eventually(lambda: len(repository.models) == 2)
    assert [entry.title for entry in repository.entries] == ["resnet18.a", "resnet18.b"]


def test_a_failure_that_nobody_foresaw(caplog: pytest.LogCaptureFixture) -> None:
    def load(_: str) -> Model:
        raise ZeroDivisionError("how odd")

    _, reason = failed(load, "a")
    assert reason == "a can't be served. ZeroDivisionError: how odd"
    assert "Traceback" in caplog.text


def test_one_model_under_two_names_is_an_error_at_once(make_model: MakeModel) -> None:
    with pytest.raises(AmbiguousName, match=r"resnet18 and resnet18.a1_in1k have one name"):
        ModelRepository(["resnet18", "resnet18.a1_in1k"], make_model)


@pytest.mark.parametrize("name", ["resnet18.a", "resnet50.keras_in1k"])
def test_a_folder_that_has_the_name_of_another_model_is_an_error_at_start(
    make_model: MakeModel, name: str
) -> None:
    """An artifact folder tells its name only when it is read."""
    other = "resnet50" if name.startswith("resnet50") else name
    named = {"/artifacts/folder": name, other: name}
    reasons: list[str] = []
    repository = ModelRepository(
        [other, "/artifacts/folder"],
        lambda asked: make_model(named[asked]),
        on_ready=lambda: pytest.fail("a name means two models"),
        on_failure=reasons.append,
    )
    repository.start()
    eventually(lambda: bool(reasons))
    assert f"means {other} and /artifacts/folder ({name})" in reasons[0]


def test_a_model_that_fails_does_not_end_the_others(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    ready = threading.Event()
    repository = ModelRepository(
        ["resnet18.a", "broken", "resnet18.b"],
        lambda name: refuse(name) if name == "broken" else make_model(name),
        on_ready=ready.set,
        on_failure=lambda _: pytest.fail("two models can be served"),
    )
    repository.start()
    assert ready.wait(WAIT_SECONDS)
    assert [entry.state for entry in repository.entries] == ["ready", "failed", "ready"]
    assert repository.health().problems == []
    assert list(repository.pending) == ["broken"]
    assert "broken can't be served. No source gave broken. (load_failed, incident" in caplog.text
    with pytest.raises(ModelNotReady, match="broken can't be served: load_failed"):
        repository.get("broken")
    assert repository.get("resnet18.b").name == "resnet18.b"
    repository.drain()
    assert [entry.state for entry in repository.entries] == ["draining", "failed", "draining"]


def engine_of(model: Model) -> FakeEngine:
    (engine,) = model.engines
    assert isinstance(engine, FakeEngine)
    return engine


def predict(model: Model) -> str:
    """The class that the model names for a red image."""
    size = model.artifact.manifest.preprocessing.crop_size
    red = np.zeros((size, size, 3), np.uint8)
    red[..., 0] = 255
    future = model.submit(red, outputs=(), deadline=time.monotonic() + WAIT_SECONDS)
    row = future.result(WAIT_SECONDS).output
    return model.artifact.labels[int(row.logits.argmax())].name


def test_a_stuck_worker_is_a_problem_until_it_comes_back(make_model: MakeModel) -> None:
    repository = loaded(make_model, "resnet18.a", "resnet18.b")
    model = repository.get("resnet18.b")
    engine = engine_of(model)
    with ThreadPoolExecutor(1) as pool, engine.blocked():
        lost = pool.submit(predict, model)
        engine.wait_until_busy()
        model._batcher.fail_stuck_batches(0)
        with pytest.raises(WorkerLost):
            lost.result()
        assert repository.health().problems == ["a worker of resnet18.b is stuck"]
        assert repository.health().checks == {
            "models": "ok",
            "workers": "a worker of resnet18.b is stuck",
            "self_test": "ok",
            "serving": "ok",
        }
        assert predict(repository.get("resnet18.a")) == "red"
    eventually(lambda: repository.health().problems == [])


def test_told_to_end_it_is_not_ready_and_answers_on(make_model: MakeModel) -> None:
    repository = loaded(make_model, "resnet18.a")
    repository.drain()
    assert repository.health().problems == ["shutting down"]
    assert predict(repository.get()) == "red"


def test_closing_closes_every_model(make_model: MakeModel) -> None:
    repository = loaded(make_model, "resnet18.a", "resnet18.b")
    repository.close(WAIT_SECONDS)
    assert not any(model.alive for model in repository.models)
    assert repository.health().problems == ["shutting down"]


def test_a_model_that_is_stuck_keeps_no_other_open(make_model: MakeModel) -> None:
    repository = loaded(make_model, "resnet18.a", "resnet18.b")
    model, other = repository.models
    engine = engine_of(model)
    with ThreadPoolExecutor(2) as pool, engine.blocked():
        under_way = pool.submit(predict, model)
        engine.wait_until_busy()
        closing = pool.submit(repository.close, 2 * WAIT_SECONDS)
        eventually(lambda: not other.alive)
        assert model.alive
        engine.release()
        assert under_way.result() == "red"
        closing.result()
    assert not model.alive


def test_closing_says_which_model_did_not_finish(
    make_model: MakeModel, caplog: pytest.LogCaptureFixture
) -> None:
    repository = loaded(make_model, "resnet18.a", "resnet18.b")
    model = repository.get("resnet18.a")
    engine = engine_of(model)
    with ThreadPoolExecutor(1) as pool, engine.blocked():
        under_way = pool.submit(predict, model)
        engine.wait_until_busy()
        repository.close(0.05)
        assert "resnet18.a did not finish within 0.05 s" in caplog.text
        eventually(lambda: not repository.get("resnet18.b").alive)
        engine.release()
        assert under_way.result() == "red"


def test_a_model_that_comes_too_late_is_closed(make_model: MakeModel) -> None:
    go_on, models = threading.Event(), []

    def load(name: str) -> Model:
        assert go_on.wait(WAIT_SECONDS)
        models.append(make_model(name))
        return models[0]

    repository = ModelRepository(["a"], load, on_ready=lambda: pytest.fail("it is too late"))
    repository.start()
    repository.close(WAIT_SECONDS)
    go_on.set()
    eventually(lambda: len(models) == 1 and not models[0].alive)
    assert repository.health().problems == ["shutting down"]


def test_trouble_is_what_the_workers_and_canaries_say(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is loading, or is to end, is not ready and has no need of a new process."""
    repository = loaded(make_model, "resnet18.a", "resnet18.b")
    repository.drain()
    assert repository.unrecoverable_problems() == []
    for model, problem in zip(repository.models, ("a worker died", "it is stuck"), strict=True):
        monkeypatch.setattr(model, "worker_problems", lambda problem=problem: [problem])
    monkeypatch.setattr(repository.models[1], "self_test_problems", lambda: ["it is late"])
    assert repository.unrecoverable_problems() == ["a worker died; it is stuck", "it is late"]


def test_a_process_that_ends_does_not_wait_for_a_model() -> None:
    script = """
import time
from service.inference.repository import ModelRepository
ModelRepository(["a"], lambda _: time.sleep(3600)).start()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, timeout=WAIT_SECONDS
    )


def test_a_served_name_stands_for_the_default_model(make_model: MakeModel) -> None:
    repository = ModelRepository(["resnet18.a", "resnet18.b"], make_model, served_name="my-net")
    assert repository.entry("my-net").state == "loading"
    repository._load_all()
    assert repository.get("my-net").name == repository.get("resnet18.a").name == "resnet18.a"
    assert repository.get("my-net", "1").name == "resnet18.a"
    with pytest.raises(ModelNotFound):
        repository.get("")


def test_a_served_name_of_another_model_is_an_error_at_once(make_model: MakeModel) -> None:
    with pytest.raises(AmbiguousName, match=r"resnet18.b have one name"):
        ModelRepository(["resnet18.a", "resnet18.b"], make_model, served_name="resnet18.b")
