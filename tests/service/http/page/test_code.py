"""The lines for a shell and for Python do what the page did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from service.auth.api_keys import hash_of
from tests.service.conftest import Serve, listening
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import picture
from tests.service.images import plain

NAMES = ('it\'s red; "really".png', "blue.png")


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "RESNET_API_KEY": "alpha", "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("with_keys", [False, True], ids=["open", "with a key"])
def test_both_run(serve: Serve, open_page: Open, tmp_path: Path, with_keys: bool) -> None:
    (tmp_path / "keys").write_text(f"{hash_of('alpha')} shop\n")
    settings = {"api_keys_file": tmp_path / "keys"} if with_keys else {}
    with listening(serve(**settings).app) as port:
        visit = open_page(f"http://127.0.0.1:{port}").open()
        if with_keys:
            visit.page.get_by_label("This server asks for an API key").fill("alpha")
            visit.button("Use this key").click()
        for name in NAMES:
            visit.choose(picture("blue" if "blue" in name else "red", name))
        expect(visit.overall).to_have_text("2 images classified")
        visit.button("curl and Python").click()
        curl, python = visit.page.locator("pre").all_text_contents()
        assert "alpha" not in curl + python
        for name in NAMES:
            (tmp_path / name).write_bytes(plain("blue" if "blue" in name else "red"))
        answer = json.loads(run(["sh", "-c", f"{curl} --silent --show-error"], tmp_path))
        labels = [one["predictions"][0]["label"] for one in answer["results"]]
        assert labels == ["red", "blue"]
        printed = run([sys.executable, "-c", python], tmp_path).splitlines()
        assert [line.split()[-2] for line in printed] == ["red", "blue"]
        assert [line.startswith(name) for line, name in zip(printed, NAMES, strict=True)]


def test_many_files_are_not_all_named(serve: Serve, open_page: Open) -> None:
    visit = open_page(serve().app).open()
    visit.choose(*(picture("red", f"{number}.png") for number in range(20)))
    expect(visit.overall).to_have_text("20 images classified")
    visit.button("curl and Python").click()
    dialog = visit.page.get_by_role("dialog")
    expect(dialog).to_contain_text("The first 16 of 20 files are named.")
    expect(dialog.locator("pre").first).to_contain_text("15.png")
    expect(dialog.locator("pre").first).not_to_contain_text("16.png")
