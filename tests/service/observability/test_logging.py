"""Log lines on the process's stderr."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

PRELUDE = """
import logging
from service.observability.logging import configure_logging, request_id
logger = logging.getLogger("service.test")
"""


def stderr_of(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout == ""
    return done.stderr


def json_lines(code: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr_of(code).splitlines()]


def test_a_line_is_a_json_object_with_the_request_id() -> None:
    before, within = json_lines("""
configure_logging("info", "json")
logger.info("before")
request_id.set("abc-123")
logger.warning("%s took %d ms", "it", 7, extra={"status": 200})
""")
    assert (before["message"], before["request_id"]) == ("before", None)
    assert within["request_id"] == "abc-123"
    assert within["message"] == "it took 7 ms"
    assert within["level"] == "WARNING"
    assert within["logger"] == "service.test"
    assert within["status"] == 200
    assert within["time"][10] == "T"
    assert list(within)[:5] == ["time", "level", "logger", "message", "request_id"]


@pytest.mark.parametrize("separator", [r"\\n", r"\\r\\n", r"\\u2028", r"\\x85"])
def test_no_message_can_forge_a_line(separator: str) -> None:
    forged = '{"level": "ERROR", "message": "forged"}'
    (line,) = json_lines(
        f"""
configure_logging("info", "json")
logger.info("%s", 'a name{separator}{forged}')
""".replace("\\\\", "\\")
    )
    assert line["level"] == "INFO"
    assert line["message"].endswith(forged)
    assert line["message"].startswith("a name")


def test_a_traceback_stays_on_its_line() -> None:
    (line,) = json_lines("""
configure_logging("info", "json")
try:
    raise ValueError("one\\ntwo")
except ValueError:
    logger.exception("It failed")
""")
    assert line["message"] == "It failed"
    assert "ValueError: one\ntwo" in line["exc_info"]


def test_warnings_are_log_lines_too() -> None:
    (line,) = json_lines("""
import warnings
configure_logging("info", "json")
warnings.warn("an odd image", RuntimeWarning)
""")
    assert line["level"] == "WARNING"
    assert "RuntimeWarning: an odd image" in line["message"]


def test_the_level_applies_and_other_libraries_are_quieter() -> None:
    lines = json_lines("""
configure_logging("info", "json")
logger.debug("too fine")
logger.info("fine")
for name in ("PIL", "httpx2", "tensorflow", "asyncio"):
    logging.getLogger(name).info("chatter")
logging.getLogger("uvicorn.error").info("started")
""")
    assert [line["message"] for line in lines] == ["fine", "started"]


def test_auto_is_json_where_stderr_is_not_a_terminal() -> None:
    (line,) = json_lines('configure_logging("info", "auto")\nlogger.info("here")')
    assert line["message"] == "here"


def test_text_is_for_people() -> None:
    text = stderr_of('configure_logging("info", "text")\nlogger.info("here")')
    assert text.endswith("INFO    here\n")


def test_configuring_twice_logs_each_record_once() -> None:
    lines = json_lines("""
configure_logging("info", "text")
configure_logging("info", "json")
logger.info("once")
""")
    assert [line["message"] for line in lines] == ["once"]


def test_text_has_the_request_id_and_the_fields_too() -> None:
    text = stderr_of(
        'configure_logging("info", "text")\n'
        "from service.observability.logging import request_id\n"
        'request_id.set("mine")\n'
        'logger.info("here", extra={"status": 200})'
    )
    assert "INFO    here" in text
    assert "request_id=mine" in text
    assert "status=200" in text


def test_text_obeys_nothing_in_a_message_and_no_line_of_it_is_forged() -> None:
    text = stderr_of(r"""
configure_logging("info", "text")
name = "a\x1b[2Kname\u202e\udcff\r\n12:00:00 INFO    forged"
logger.info("%s", name, extra={"file": name})
try:
    raise ValueError(name)
except ValueError:
    logger.exception("It failed")
""")
    assert text.isascii()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", text)
    assert text.count(r"a\x1b[2Kname\u202e\udcff\r") == 3
    beginnings = {line[:2] for line in text.splitlines() if "forged" in line}
    assert beginnings == {"  "}
