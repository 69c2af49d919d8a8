"""The panel of metrics."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from service.auth.api_keys import hash_of
from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import Visit, file, picture

TEXT = """# HELP resnet_ready 1 when the service takes images.
resnet_ready 1.0
resnet_build_info{version="9.8.7"} 1.0
resnet_http_requests_total{method="POST",route="/predict",status="200"} 90.0
resnet_http_requests_total{method="POST",route="/predict",status="503"} 8.0
resnet_http_requests_total{method="POST",route="/predict",status="500"} 2.0
resnet_http_requests_total{method="GET",route="/health/ready",status="503"} 4.0
resnet_http_requests_total{method="GET",route="/metrics",status="200"} 5000.0
resnet_grpc_requests_total{method="ModelInfer",status="OK"} 7.0
resnet_http_request_duration_seconds_bucket{le="0.1",route="/predict"} 40.0
resnet_http_request_duration_seconds_bucket{le="0.2",route="/predict"} 60.0
resnet_http_request_duration_seconds_bucket{le="0.3",route="/predict"} 90.0
resnet_http_request_duration_seconds_bucket{le="+Inf",route="/predict"} 100.0
resnet_http_request_duration_seconds_bucket{le="0.1",route="/metrics"} 5000.0
resnet_http_request_duration_seconds_bucket{le="+Inf",route="/metrics"} 5000.0
resnet_rejections_total{reason="queue_full"} 8.0
resnet_rejections_total{reason="draining"} 0.0
resnet_images_total{model="MODEL",result="ok"} 300.0
resnet_images_total{model="MODEL",result="failed"} 2.0
resnet_images_total{model="MODEL",result="dropped"} 0.0
resnet_images_total{model="of \\"another\\" {name}",result="ok"} 11.0
resnet_queue_depth{model="MODEL"} 1.0
resnet_queue_expected_wait_seconds{model="MODEL"} 0.25
resnet_batch_size_sum{model="MODEL"} 300.0
resnet_batch_size_count{model="MODEL"} 120.0
resnet_inference_seconds_sum{model="MODEL"} 12.0
resnet_inference_seconds_count{model="MODEL"} 120.0
process_resident_memory_bytes 2.5e+08
resnet_connections 3.0
""".replace("MODEL", MODEL_NAME)

ROUND_TRIP = "fetch('health/live').then((answer) => answer.status)"


def opened(visit: Visit) -> Locator:
    visit.button("Metrics").click()
    panel = visit.page.get_by_role("dialog", name="Metrics")
    expect(panel).to_be_visible()
    return panel


def figure(panel: Locator, name: str) -> Locator:
    head = panel.page.get_by_role("rowheader", name=name, exact=True)
    return panel.get_by_role("row").filter(has=head).get_by_role("cell")


def answered(visit: Visit, text: str, status: int = 200) -> None:
    def answer(route: Route) -> None:
        route.fulfill(status=status, body=text, headers={"Content-Type": "text/plain"})

    visit.page.route("**/metrics", answer)


def test_a_server_s_metrics_are_figures_with_names(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red"), picture("blue"), file("text.jpg", b"hello I am text"))
    expect(visit.overall).to_have_text("2 images classified, 1 could not be classified")
    panel = opened(visit)
    expect(figure(panel, "State")).to_have_text("Ready")
    expect(figure(panel, "Requests with images")).to_have_text("3")
    expect(figure(panel, "Images")).to_have_text("2 classified")
    expect(figure(panel, "Server errors")).to_have_text("0")
    expect(figure(panel, "Answered within")).to_have_text(
        re.compile(r"^[\d.]+\sms \(half of them\), [\d.]+\sms \(95 %\)$")
    )
    expect(figure(panel, MODEL_NAME).first).to_have_text("served")
    expect(figure(panel, MODEL_NAME).nth(1)).to_have_text("2 classified")
    raw = panel.get_by_role("link", name="All metrics, as text for Prometheus")
    raw.click()
    expect(visit.page.locator("body")).to_contain_text("resnet_http_requests_total{")


def test_every_figure_is_that_of_the_text(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    answered(visit, TEXT)
    panel = opened(visit)
    for name, value in {
        "State": "Ready",
        "Version": "9.8.7",
        "Requests with images": "100 over HTTP, 7 over gRPC",
        # Between 0.1 and 0.2 half of the way; the slowest are above the last bound.
        "Answered within": "150\u00a0ms (half of them), 300\u00a0ms (95 %)",
        "Requests refused": "8 queue full",
        "Server errors": "2",
        "Images": "311 classified, 2 failed",
        "Longest expected wait": "250\u00a0ms",
        "Memory": "250 MB",
        "Open connections": "3",
    }.items():
        expect(figure(panel, name)).to_have_text(value)
    expect(figure(panel, MODEL_NAME)).to_have_text(
        ["served", "300 classified, 2 failed", "1 image", "2.5", "100\u00a0ms a batch"]
    )


def test_nothing_seen_yet_is_said(service: Service, open_page: Open) -> None:
    panel = opened(open_page(service.app).open())
    expect(figure(panel, "Answered within")).to_have_text("none yet")
    expect(figure(panel, "Requests refused")).to_have_text("0")
    expect(figure(panel, "Longest expected wait")).to_have_text("none")


@pytest.mark.parametrize(("status", "said"), [(403, "here (status 403)"), (404, "(status 404)")])
def test_a_proxy_that_keeps_them_is_named(
    service: Service, open_page: Open, status: int, said: str
) -> None:
    visit = open_page(service.app).open()
    answered(visit, "<html>Forbidden</html>", status)
    panel = opened(visit)
    expect(panel).to_contain_text(said)
    expect(panel).to_contain_text("A proxy in front of the server may keep them")
    # It is no matter of API keys.
    expect(visit.page.locator("#access")).to_be_hidden()


def test_figures_change_and_the_focus_stays(service: Service, open_page: Open) -> None:
    visit = open_page(service.app)
    visit.page.clock.install()
    visit.open()
    answered(visit, TEXT)
    panel = opened(visit)
    expect(figure(panel, "Memory")).to_have_text("250 MB")
    link = panel.get_by_role("link")
    link.focus()
    answered(visit, TEXT.replace("2.5e+08", "4e+08"))
    visit.page.clock.run_for(6000)
    expect(figure(panel, "Memory")).to_have_text("400 MB")
    expect(link).to_be_focused()
    # Closed, it asks no more.
    asked: list[Any] = []
    visit.page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    # What was sent before has been told when this is answered.
    visit.page.evaluate(ROUND_TRIP)
    visit.page.on("request", lambda one: asked.append(one.url) if "metrics" in one.url else None)
    visit.page.clock.run_for(20_000)
    visit.page.evaluate(ROUND_TRIP)
    assert asked == []


def test_with_api_keys_the_panel_asks_as_the_others_do(
    serve: Serve, open_page: Open, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"{hash_of('alpha')} shop\n")
    visit = open_page(serve(api_keys_file=tmp_path / "keys").app).open()
    visit.page.get_by_label("This server asks for an API key").fill("alpha")
    visit.button("Use this key").click()
    panel = opened(visit)
    expect(figure(panel, "State")).to_have_text("Ready")
