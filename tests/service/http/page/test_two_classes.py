"""A model with fewer classes than the page would show."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from model_builder.artifact.head import Head
from model_builder.artifact.manifest import Artifact
from tests.service.color_artifact import MODEL_NAME, write_color_artifact
from tests.service.conftest import Service
from tests.service.fakes import LABELS, color_head
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import picture


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    whole = write_color_artifact(tmp_path_factory.mktemp("two_classes") / MODEL_NAME)
    head = color_head()
    architecture = replace(whole.manifest.architecture, classes=2)
    return replace(
        whole,
        manifest=replace(whole.manifest, architecture=architecture),
        labels=LABELS[:2],
        head=Head(head.kernel[:, :2], head.bias[:2]),
    )


def test_it_is_shown_with_both(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("green"))
    expect(visit.card("green.png").locator(".label")).to_have_text(["green", "red"])
