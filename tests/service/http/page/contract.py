"""Embeddings and heat maps as POST /predict?outputs= has them, for a server that has none yet."""

from __future__ import annotations

import base64
import io
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
from PIL import Image
from playwright.sync_api import APIResponse, Page, Route

NEW = ("outputs", "classes", "overlay", "encoding_format")


def install(page: Page) -> None:
    page.route("**/predict*", _answer)


def fetch(route: Route) -> APIResponse:
    """What the server says without what it does not know."""
    url = urlsplit(route.request.url)
    known = {name: values[-1] for name, values in parse_qs(url.query).items() if name not in NEW}
    return route.fetch(url=url._replace(query=urlencode(known)).geturl())


def _answer(route: Route) -> None:
    response = fetch(route)
    if response.status == 200:
        query = parse_qs(urlsplit(route.request.url).query)
        body: dict[str, Any] = response.json()
        outputs = query.get("outputs", ["predictions"])[0].split(",")
        if "embedding" in outputs:
            body["embedding"] = _embedding(body["predictions"])
        if "class_activation_map" in outputs:
            body["class_activation_maps"] = [
                _map(int(one)) for one in query["classes"][0].split(",")
            ]
        if "predictions" not in outputs:
            del body["predictions"]
        route.fulfill(response=response, json=body)
    else:
        route.fulfill(response=response)


def _embedding(predictions: list[dict[str, Any]]) -> str:
    values = np.zeros(5, "<f4")
    for one in predictions:
        values[one["class_id"]] = one["probability"]
    return base64.b64encode(values.tobytes()).decode()


def _map(class_id: int) -> dict[str, Any]:
    file = io.BytesIO()
    Image.new("RGBA", (40, 40), (200, 40 * class_id, 0, 120)).save(file, "PNG")
    overlay = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"class_id": class_id, "shape": [2, 2], "overlay": overlay}
