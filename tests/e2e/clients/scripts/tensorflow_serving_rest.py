"""TensorFlow Serving's REST API, as its users send it by requests: URL MODEL PHOTO PIXELS."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import numpy as np
import requests

URL, MODEL = sys.argv[1:3]
with open(sys.argv[3], "rb") as file:
    B64 = {"b64": base64.b64encode(file.read()).decode()}
PIXELS = np.load(sys.argv[4])
MODEL_URL = f"{URL}/v1/models/{MODEL}"
TIMEOUT_SECONDS = 60


def post(method: str, body: Any, path: str = MODEL_URL) -> Any:
    # As in TensorFlow Serving's guide: text, without a Content-Type.
    response = requests.post(path + method, data=json.dumps(body), timeout=TIMEOUT_SECONDS)
    return response.json() | {"status": response.status_code}


def classes(rows: Any) -> list[int]:
    return [int(np.argmax(row)) for row in rows]


def main() -> None:
    rows = PIXELS.tolist()
    found = {
        "model": requests.get(MODEL_URL, timeout=TIMEOUT_SECONDS).json(),
        "metadata": requests.get(f"{MODEL_URL}/metadata", timeout=TIMEOUT_SECONDS).json(),
        "b64": classes(post(":predict", {"instances": [B64, B64]})["predictions"]),
        "named": classes(
            post(":predict", {"instances": [{"image_bytes": B64}, {"image": B64}]})["predictions"]
        ),
        "rows": classes(post(":predict", {"instances": rows})["predictions"]),
        "columns": classes(post(":predict", {"inputs": rows})["outputs"]),
        "named columns": classes(
            post(":predict", {"inputs": {"image_bytes": [B64, B64]}})["outputs"]
        ),
        "signature": classes(
            post(":predict", {"signature_name": "serving_default", "instances": [B64]})[
                "predictions"
            ]
        ),
        "version": classes(post("/versions/1:predict", {"instances": [B64]})["predictions"]),
        "label": classes(post("/labels/stable:predict", {"instances": [B64]})["predictions"]),
        "classify": post(":classify", {"examples": [{"image": B64}]})["results"][0][0],
        "unknown": post(":predict", {"instances": [B64]}, f"{URL}/v1/models/nope"),
        "missing": post(":predict", {}),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
