"""Floods of requests that ask for all that an answer may have."""

from __future__ import annotations

import base64
import json

from tests.attacks.attackers.config import AttackerConfig, Findings
from tests.attacks.attackers.flood import CONNECTIONS, IMAGES, flood
from tests.attacks.attackers.requests import FORM, form_of, post

EVERYTHING = "?outputs=predictions,embedding,logits,class_activation_map&top_k=5&overlay=true"


async def maps(config: AttackerConfig) -> Findings:
    """Heat maps of five classes of each photo, and 100 000 numbers as text."""
    body = form_of(config.photo, IMAGES)
    return await flood(config, post(body, FORM, query=EVERYTHING), CONNECTIONS)


async def embeddings(config: AttackerConfig) -> Findings:
    url = f"data:image/jpeg;base64,{base64.b64encode(config.photo).decode()}"
    body = json.dumps({"input": [url] * IMAGES}).encode()
    request = post(body, b"application/json").replace(b"/predict", b"/v1/embeddings", 1)
    return await flood(config, request, CONNECTIONS)
