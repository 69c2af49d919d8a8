"""Downloads by the hub's library, from a local server with the hub's responses.

Each fetch runs in a new process: the library reads its environment variables on import.
"""

from __future__ import annotations

import hashlib
import signal
import subprocess
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from model_builder.checkpoints.download.config import DownloadConfig
from model_builder.checkpoints.download.fetch import fetch
from model_builder.checkpoints.download.sources.hub import HubSource
from model_builder.errors import FetchFailed, VerificationFailed
from tests.conftest import MakeServer
from tests.model_builder.checkpoints.download.fetch_process import (
    QUICK,
    Job,
    Outcome,
    begin,
    checkpoint,
    end,
    wait_for,
)
from tests.model_builder.faulty_server import (
    COMMIT,
    Asked,
    Fault,
    FaultyServer,
    Redirect,
    publish_on_hub,
)

CONTENT = bytes(range(256)) * 1000
OTHER = bytes(reversed(CONTENT))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SOURCE = HubSource("someone/resnet18.test_in1k", "model.safetensors", "torch")
RESOLVE = "/someone/resnet18.test_in1k/resolve/main/model.safetensors"
CONFIG = DownloadConfig(retry_policy=QUICK)
PLAIN = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_TOKEN": ""}


@dataclass(frozen=True)
class Hub:
    """The hub, its CDN, and a folder with the two caches. name: of the repository."""

    api: FaultyServer
    cdn: FaultyServer
    machine: Path
    name: str = "resnet18.test_in1k"

    def begin(self, *jobs: Job, **variables: str) -> subprocess.Popen[str]:
        home = str(self.machine / "hf")
        environment = {**PLAIN, "HF_ENDPOINT": self.api.url, "HF_HOME": home, **variables}
        return begin(*jobs, environment=environment)

    def fetch(
        self, source: HubSource = SOURCE, config: DownloadConfig = CONFIG, **variables: str
    ) -> Outcome:
        (outcome,) = end(self.begin(Job(source, self.machine / "ours", config), **variables))
        return outcome

    @property
    def repository(self) -> Path:
        return self.machine / "hf" / "hub" / f"models--someone--{self.name}"

    @property
    def snapshot(self) -> Path:
        return self.repository / "snapshots" / COMMIT / "model.safetensors"

    def blobs(self) -> list[str]:
        """The files' names in the cache, `.incomplete` ones too."""
        return sorted(path.name for path in (self.repository / "blobs").glob("*"))


@pytest.fixture
def hub(make_server: MakeServer, tmp_path: Path) -> Hub:
    hub = Hub(make_server(), make_server(), tmp_path)
    publish_on_hub(hub.api, hub.cdn, CONTENT)
    return hub


def fill_cache(hub: Hub, content: bytes, *, name: str = SHA256) -> None:
    """Writes a file into the cache in the library's layout."""
    for folder in (hub.repository / "blobs", hub.repository / "refs", hub.snapshot.parent):
        folder.mkdir(parents=True)
    (hub.repository / "blobs" / name).write_bytes(content)
    (hub.repository / "refs" / "main").write_text(COMMIT)
    hub.snapshot.symlink_to(f"../../blobs/{name}")


def test_a_file_is_fetched_into_the_hub_s_cache(hub: Hub) -> None:
    outcome = hub.fetch()
    assert outcome.path == hub.snapshot, outcome.error
    assert outcome.path.read_bytes() == CONTENT
    assert hub.blobs() == [SHA256]
    assert {(asked.method, asked.path) for asked in hub.api.asked} == {("HEAD", RESOLVE)}
    assert hub.cdn.ranges_asked() == [None]
    assert "Fetching resnet18.test_in1k from the hub (0.3 MB)" in outcome.log


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_a_cached_file_needs_no_request(hub: Hub, revision: str) -> None:
    source = replace(SOURCE, revision=revision)
    job = Job(source, hub.machine / "ours", CONFIG)
    first, second = end(hub.begin(job, job))
    assert first == second
    assert first.path == hub.snapshot, first.error
    assert (len(hub.api.asked), len(hub.cdn.asked)) == (2, 1)


def test_a_cache_that_others_filled_is_used(hub: Hub) -> None:
    fill_cache(hub, CONTENT)
    assert hub.fetch(HF_HUB_OFFLINE="1").path == hub.snapshot
    assert hub.api.asked == hub.cdn.asked == []


def test_the_cache_has_its_own_variable(hub: Hub) -> None:
    outcome = hub.fetch(HF_HUB_CACHE=str(hub.machine / "elsewhere"))
    assert outcome.path is not None, outcome.error
    assert outcome.path.is_relative_to(hub.machine / "elsewhere")


@pytest.mark.parametrize("where", ["variable", "file"])
def test_the_token_is_sent_to_the_hub_only(hub: Hub, where: str) -> None:
    if where == "file":
        (hub.machine / "hf").mkdir()
        (hub.machine / "hf" / "token").write_text("hf_secret")
    outcome = hub.fetch(HF_TOKEN="hf_secret" if where == "variable" else "")
    assert outcome.path is not None, outcome.error
    assert {asked.token for asked in hub.api.asked} == {"Bearer hf_secret"}
    assert {asked.token for asked in hub.cdn.asked} == {None}


@pytest.mark.parametrize(
    ("variables", "config", "reason"),
    [
        ({"HF_HUB_OFFLINE": "1"}, CONFIG, "HF_HUB_OFFLINE is set"),
        ({}, DownloadConfig(offline=True), "RESNET_OFFLINE is set"),
    ],
)
def test_offline_sends_no_request(
    hub: Hub, variables: dict[str, str], config: DownloadConfig, reason: str
) -> None:
    outcome = hub.fetch(SOURCE, config, **variables)
    assert outcome.error is not None
    assert f"- {hub.api.url}{RESOLVE}: not asked: {reason}" in outcome.error.splitlines()
    assert hub.api.asked == hub.cdn.asked == []


@dataclass(frozen=True)
class Met:
    """Faults that a fetch recovers from. asked: the Range of each request to the CDN."""

    head: tuple[Fault, ...] = ()
    get: tuple[Fault, ...] = ()
    asked: tuple[str | None, ...] = (None,)


@dataclass(frozen=True)
class Refused:
    """Faults that it does not recover from. says: in the error. asked: requests to hub and CDN."""

    says: str
    asked: tuple[int, int]
    head: tuple[Fault, ...] = ()
    get: tuple[Fault, ...] = ()
    sha256: str | None = None
    deadline_seconds: float = 60.0


def no(status: int, code: str) -> Fault:
    return Fault(status=status, headers={"X-Error-Code": code, "X-Repo-Commit": COMMIT})


MET = {
    "the hub answers 500 and 503": Met(head=(Fault(status=500), Fault(status=503))),
    "the hub answers 429": Met(head=(Fault(status=429, headers={"Retry-After": "0"}),)),
    "the CDN answers 500": Met(get=(Fault(status=500),), asked=(None, None)),
    "the CDN hangs up": Met(get=(Fault(sends=0.5),), asked=(None, None)),
    "the CDN falls silent": Met(get=(Fault(sends=0.5, silent=True),), asked=(None, None)),
    "the CDN sends wrong bytes once": Met(get=(Fault(body=OTHER),), asked=(None, None)),
}
REFUSED = {
    "no such repository": Refused("Repository Not Found", (1, 0), (no(401, "RepoNotFound"),)),
    "a gated repository": Refused("Cannot access gated repo", (1, 0), (no(403, "GatedRepo"),)),
    "no such revision": Refused("Revision Not Found", (1, 0), (no(404, "RevisionNotFound"),)),
    "no such file": Refused("Entry Not Found", (1, 0), (no(404, "EntryNotFound"),)),
    "the hub answers 500 always": Refused(
        "the hub answered 500: ", (3, 0), (Fault(status=500),) * 3
    ),
    "the hub answers 429 for an hour": Refused(
        "asks for a wait of 3600 s; the deadline of 60 s leaves no time",
        (1, 0),
        (Fault(status=429, headers={"Retry-After": "3600"}),),
    ),
    "the hub is not HTTP": Refused("RemoteProtocolError: ", (3, 0), (Fault(garbage=True),) * 3),
    "the hub states no sha256": Refused(
        "the hub states no sha256 of model.safetensors, nor does the catalog. Received: ETag abc",
        (1, 0),
        (Fault(status=200, headers={"X-Repo-Commit": COMMIT, "ETag": '"abc"'}),),
    ),
    "the hub has another file": Refused(
        f"the hub has another model.safetensors: expected sha256 {'0' * 64}. Received: {SHA256}",
        (1, 0),
        sha256="0" * 64,
    ),
    "the CDN answers 403": Refused("the hub answered 403: ", (2, 1), get=(Fault(status=403),)),
    "the CDN sends wrong bytes always": Refused(
        f"expected sha256 {SHA256}. Received: ", (3, 2), get=(Fault(body=OTHER),) * 2
    ),
    "the CDN sends a page to log in": Refused(
        "Consistency check failed: file should be of size 256000 but has size 3",
        (2, 1),
        get=(Fault(body=b"no!"),),
    ),
    "the CDN is too slow": Refused(
        "the file was not received when the deadline of 1.5 s passed",
        (2, 1),
        get=(Fault(trickles=0.2),),
        deadline_seconds=1.5,
    ),
}


@dataclass(frozen=True)
class Seen:
    """The outcome of a case, its requests to the hub and the CDN, and the files in the cache."""

    outcome: Outcome
    api: list[Asked]
    cdn: list[Asked]
    blobs: list[str]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """Every case with its own repository, fetched by one process."""
    hub = Hub(FaultyServer(), FaultyServer(), tmp_path_factory.mktemp("hub"))
    hub.api.start()
    hub.cdn.start()
    cases: dict[str, Met | Refused] = {**MET, **REFUSED}
    jobs, paths = [], []
    for number, case in enumerate(cases.values()):
        repository = f"someone/case{number}"
        main, stored = publish_on_hub(hub.api, hub.cdn, CONTENT, repository=repository)
        hub.api.faults_at["HEAD", main] = deque(case.head)
        hub.cdn.faults_at["GET", stored] = deque(case.get)
        source, config = replace(SOURCE, repository=repository), CONFIG
        if isinstance(case, Refused):
            source = replace(source, sha256=case.sha256)
            config = replace(CONFIG, deadline_seconds=case.deadline_seconds)
        jobs.append(Job(source, hub.machine / "ours", config))
        paths.append((main, stored))
    try:
        outcomes = end(hub.begin(*jobs))
    finally:
        hub.api.close()
        hub.cdn.close()
    return {
        name: Seen(
            outcome,
            [asked for asked in hub.api.asked if asked.path == main],
            [asked for asked in hub.cdn.asked if asked.path == stored],
            replace(hub, name=f"case{number}").blobs(),
        )
        for number, (name, outcome, (main, stored)) in enumerate(
            zip(cases, outcomes, paths, strict=True)
        )
    }


@pytest.mark.parametrize("name", MET)
def test_faults_that_a_fetch_recovers_from(seen: dict[str, Seen], name: str) -> None:
    case = seen[name]
    assert case.outcome.path is not None, case.outcome.error
    assert case.outcome.path.read_bytes() == CONTENT
    assert tuple(asked.range for asked in case.cdn) == MET[name].asked
    assert case.blobs == [SHA256]


@pytest.mark.parametrize("name", REFUSED)
def test_faults_that_end_a_fetch(seen: dict[str, Seen], name: str) -> None:
    case = seen[name]
    assert case.outcome.error is not None
    assert REFUSED[name].says in case.outcome.error
    assert (len(case.api), len(case.cdn)) == REFUSED[name].asked
    assert SHA256 not in case.blobs


def test_the_library_s_log_records_are_logged_once(seen: dict[str, Seen]) -> None:
    log = seen["the CDN hangs up"].outcome.log
    broken = sum(
        isinstance(case, Met) and any(f.sends < 1 for f in case.get) for case in MET.values()
    )
    assert log.count("Trying to resume download") == broken == 2


def test_a_large_file_is_resumed(hub: Hub) -> None:
    """In the library's steps of 10 MiB."""
    content = CONTENT * 90
    _, stored = publish_on_hub(hub.api, hub.cdn, content)
    hub.cdn.faults.append(Fault(sends=0.9))
    outcome = hub.fetch()
    assert outcome.path is not None, outcome.error
    assert hashlib.sha256(outcome.path.read_bytes()).hexdigest() == stored.rsplit("/", 1)[1]
    assert hub.cdn.ranges_asked() == [None, f"bytes={10 << 20}-"]


def test_redirects_in_a_circle(hub: Hub) -> None:
    hub.api.redirects[RESOLVE] = Redirect(RESOLVE)
    outcome = hub.fetch()
    assert outcome.error is not None
    assert "TooManyRedirects: Exceeded 20 redirects while resolving" in outcome.error


def test_connection_refused(hub: Hub) -> None:
    closed = FaultyServer()
    closed.server_close()
    outcome = hub.fetch(HF_ENDPOINT=closed.url)
    assert outcome.error is not None
    assert "ConnectError: [Errno 111] Connection refused (3 attempts)" in outcome.error


def test_damaged_caches_are_logged_and_replaced(hub: Hub) -> None:
    """The library would return them all, the last one without a request."""
    damages = {"other": OTHER, "half": CONTENT[:-1], "empty": b"", "pinned": OTHER}
    jobs = []
    for name, content in damages.items():
        publish_on_hub(hub.api, hub.cdn, CONTENT, repository=f"someone/{name}")
        fill_cache(replace(hub, name=name), content)
        revision = COMMIT if name == "pinned" else "main"
        source = replace(SOURCE, repository=f"someone/{name}", revision=revision)
        jobs.append(Job(source, hub.machine / "ours", CONFIG))
    outcomes = end(hub.begin(*jobs))
    for name, outcome in zip(damages, outcomes, strict=True):
        assert outcome.path == replace(hub, name=name).snapshot, outcome.error
        assert outcome.path.read_bytes() == CONTENT
    told = "The cached file is damaged and is fetched again: model.safetensors is not"
    assert outcomes[0].log.count(told) == len(damages)


@pytest.mark.parametrize("content", [CONTENT, OTHER], ids=["whole", "damaged"])
def test_a_file_that_was_copied_into_our_own_cache(tmp_path: Path, content: bytes) -> None:
    """As on a machine without access to the hub."""
    path = tmp_path / "resnet18.test_in1k" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(content)
    row = checkpoint(replace(SOURCE, repository="someone/nowhere", sha256=SHA256))
    offline = DownloadConfig(offline=True)
    if content == CONTENT:
        assert fetch(row, tmp_path, config=offline).path == path
        return
    with pytest.raises(FetchFailed) as raised:
        fetch(row, tmp_path, config=offline)
    assert "- the cache: model.safetensors is not the published file" in str(raised.value)
    assert str(raised.value).endswith("The hub's cache can be copied too: see HF_HOME.")
    assert path.read_bytes() == OTHER


def test_a_damaged_file_without_a_link_is_replaced(hub: Hub) -> None:
    """The library would link to it and return it unverified."""
    fill_cache(hub, OTHER)
    hub.snapshot.unlink()
    outcome = hub.fetch()
    assert outcome.path is not None, outcome.error
    assert outcome.path.read_bytes() == CONTENT
    assert "The hub's file is damaged and is fetched again" in outcome.log


def test_a_damaged_cache_is_not_used_offline(hub: Hub) -> None:
    fill_cache(hub, OTHER)
    outcome = hub.fetch(config=DownloadConfig(offline=True))
    assert outcome.error is not None
    assert (
        f"- the cache: model.safetensors is not the published file: expected sha256 {SHA256}"
        in (outcome.error)
    )
    assert hub.snapshot.read_bytes() == OTHER
    assert hub.api.asked == hub.cdn.asked == []


def test_a_cache_without_links_is_verified_against_the_hub_s_etag(hub: Hub) -> None:
    """As on Windows: no file name states the hash, so that the hub must."""
    job = Job(SOURCE, hub.machine / "ours", CONFIG)
    first, second = end(hub.begin(job, job, HF_HUB_DISABLE_SYMLINKS="1"))
    assert first.path == second.path == hub.snapshot, first.error
    assert not hub.snapshot.is_symlink()
    assert len(hub.cdn.asked) == 1
    hub.snapshot.write_bytes(OTHER)
    third = hub.fetch(HF_HUB_DISABLE_SYMLINKS="1")
    assert third.path == hub.snapshot, third.error
    assert hub.snapshot.read_bytes() == CONTENT


def test_two_processes_fetch_once(hub: Hub) -> None:
    hub.cdn.faults.append(Fault(sends=0.5, silent=True))
    long_timeout = {"HF_HUB_DOWNLOAD_TIMEOUT": "60"}
    job = Job(SOURCE, hub.machine / "ours", CONFIG)
    first = hub.begin(job, **long_timeout)
    assert hub.cdn.stopped.wait(60)
    second = hub.begin(job, **long_timeout)
    hub.cdn.go_on.set()
    for outcome in end(first) + end(second):
        assert outcome.path == hub.snapshot, outcome.error
    # Both are of the first process: its connection was closed when it was released.
    assert hub.cdn.ranges_asked() == [None, None]


def test_a_killed_process_leaves_the_cache_usable(hub: Hub) -> None:
    """The library starts again, and ignores the incomplete file."""
    hub.cdn.faults.append(Fault(sends=0.5, silent=True))
    process = hub.begin(Job(SOURCE, hub.machine / "ours", CONFIG))
    assert hub.cdn.stopped.wait(60)
    wait_for(lambda: len(hub.blobs()) == 1)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    outcome = hub.fetch()
    assert outcome.path == hub.snapshot, outcome.error
    assert outcome.path.read_bytes() == CONTENT
    assert hub.cdn.ranges_asked() == [None, None]
    assert SHA256 in hub.blobs()


def test_a_file_is_verified_by_the_catalog_or_by_its_name(tmp_path: Path) -> None:
    plain, named = tmp_path / "model.safetensors", tmp_path / SHA256
    plain.write_bytes(CONTENT)
    named.write_bytes(CONTENT)
    replace(SOURCE, sha256=SHA256).verify(plain)
    SOURCE.verify(named)
    assert SOURCE.digest(named) == f"sha256-{SHA256}"
    named.write_bytes(OTHER)
    for path, source in ((named, SOURCE), (plain, replace(SOURCE, sha256="0" * 64))):
        with pytest.raises(VerificationFailed, match="is not the published file"):
            source.verify(path)


def test_a_given_file_without_a_published_hash_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "model.safetensors"
    given.write_bytes(CONTENT)
    with pytest.raises(VerificationFailed, match=r"can't be verified: the catalog"):
        fetch(checkpoint(SOURCE), tmp_path / "cache", given=given)
