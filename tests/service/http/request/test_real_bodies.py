"""Bodies as programs send them: names, compression, line ends, preambles and methods."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import httpx2
import pytest

from tests.service.conftest import Service, listening
from tests.service.images import encoded, noise, plain

RED = plain("red")
FORM = "multipart/form-data; boundary=edge"
UPLOAD = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + RED
UPLOAD += b"\r\n--edge--\r\n"


@pytest.fixture
def client(service: Service) -> Iterator[httpx2.Client]:
    with (
        listening(service.app) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        yield client


def color_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["predictions"][0]["label"])


def posted(client: httpx2.Client, content: bytes, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer: httpx2.Response = client.post("/predict", content=content, headers=named)
    return answer


@pytest.mark.parametrize(
    "name",
    ["file", "files", "file[]", "files[]", "image", "images", "image[]", "images[]", "data"],
)
def test_names_of_an_image(client: httpx2.Client, name: str) -> None:
    assert color_of(client.post("/predict", files={name: ("a.png", RED)})) == "red"


def test_several_names_in_one_form(client: httpx2.Client) -> None:
    files = [("file", ("a", RED)), ("image", ("b", plain("blue")))]
    answer = client.post("/predict", files=files).json()
    colors = [one["predictions"][0]["label"] for one in answer["results"]]
    assert colors == ["red", "blue"]


def test_another_name_is_refused_with_the_one_that_works(client: httpx2.Client) -> None:
    answer = client.post("/predict", files={"photo": ("a.png", RED)})
    assert answer.status_code == 400
    assert "The form has 'photo'. Send multipart/form-data with a part named 'file'" in answer.text


def test_text_under_such_a_name_is_refused(client: httpx2.Client) -> None:
    answer = client.post("/predict", files={"image": (None, b"x")})
    assert answer.status_code == 400
    assert "The part 'image' is text: it has no file name." in answer.text


def test_a_file_name_that_is_encoded_only(client: httpx2.Client) -> None:
    content = UPLOAD.replace(b'filename="a"', b"filename*=UTF-8''caf%C3%A9.png")
    assert color_of(posted(client, content, Content_Type=FORM)) == "red"


def test_text_before_the_first_boundary(client: httpx2.Client) -> None:
    content = b"This is a message in MIME format.\r\n" + UPLOAD
    assert color_of(posted(client, content, Content_Type=FORM)) == "red"


@pytest.mark.parametrize("preamble", [b"", b"A preamble.\n"])
def test_lines_that_end_with_lf_are_named(client: httpx2.Client, preamble: bytes) -> None:
    content = preamble + UPLOAD.replace(b"\r\n", b"\n")
    answer = posted(client, content, Content_Type=FORM)
    assert answer.status_code == 400
    assert "The form's lines end with LF: they have to end with CR and LF." in answer.text


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate"])
@pytest.mark.parametrize("kind", ["image/png", FORM, "application/octet-stream"])
def test_a_compressed_body_is_inflated(client: httpx2.Client, kind: str, encoding: str) -> None:
    content = UPLOAD if kind == FORM else RED
    packed = zlib.compress(content) if encoding == "deflate" else gzip.compress(content)
    answer = posted(client, packed, Content_Type=kind, Content_Encoding=encoding)
    assert color_of(answer) == "red"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_another_compression_is_named(client: httpx2.Client, encoding: str) -> None:
    answer = posted(client, RED, Content_Type="image/png", Content_Encoding=encoding)
    assert answer.status_code == 415
    assert f"compressed by gzip or deflate. Received: '{encoding}'" in answer.json()["detail"]


@pytest.mark.parametrize("cut", [slice(-9), slice(1, None)])
def test_a_broken_compression_is_named(client: httpx2.Client, cut: slice) -> None:
    packed = gzip.compress(encoded(noise(50, 50)))[cut]
    answer = posted(client, packed, Content_Type="image/png", Content_Encoding="gzip")
    assert answer.status_code == 400
    assert "The body is not gzip, or breaks off." in answer.text


@pytest.mark.parametrize("kind", ["image/png", FORM])
def test_a_body_that_inflates_to_too_much_is_refused(client: httpx2.Client, kind: str) -> None:
    packed = gzip.compress(bytes(200 * 2**20))
    answer = posted(client, packed, Content_Type=kind, Content_Encoding="gzip")
    assert answer.status_code in (400, 413)


def test_a_browser_at_predict_is_told_how_images_are_sent(client: httpx2.Client) -> None:
    answer = client.get("/predict")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.json()["detail"] == (
        "GET /predict: Method Not Allowed. Images are sent by POST: "
        "curl -F file=@photo.jpg http://HOST:PORT/predict"
    )


@pytest.mark.parametrize("path", ["/predict", "/photo.jpg"])
def test_put_is_refused_with_the_line_that_works(client: httpx2.Client, path: str) -> None:
    """`curl -T photo.jpg` sends it, to the path that is given or to the file's name behind it."""
    answer = client.put(path, content=RED)
    assert answer.status_code == (405 if path == "/predict" else 404)
    assert answer.json()["detail"].endswith(
        "Images are sent by POST: curl -F file=@photo.jpg http://HOST:PORT/predict"
    )


def test_no_content_type_is_refused_with_a_hint(client: httpx2.Client) -> None:
    answer = posted(client, RED)
    assert answer.status_code == 415
    assert "a Content-Type such as image/jpeg. Received: no Content-Type" in answer.text
