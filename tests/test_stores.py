"""Object stores, against a local server that speaks as much of S3 as is needed to list and read."""

import gzip
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from ingesting import Lake, lines

from pipeline.errors import InputError, UsageError
from pipeline.ingest.follow import follow
from pipeline.ingest.sources import expand


class Bucket(BaseHTTPRequestHandler):
    """Answers ListObjectsV2, HEAD and GET with a range, for the bucket `logs`."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_HEAD(self) -> None:
        self._object(has_body=False)

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        if "list-type" in asked:
            self._listing(asked.get("prefix", [""])[0])
        else:
            self._object(has_body=True)

    def _object(self, *, has_body: bool) -> None:
        key = urlsplit(self.path).path.removeprefix("/logs").removeprefix("/")
        body = self.objects.get(key, b"" if not key else None)
        if body is None:
            self._answer(404, b"")
            return
        status, size = 200, len(body)
        if asked := self.headers.get("Range"):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            body, status = body[int(first) : int(last) + 1], 206
            self._answer(status, body, has_body=has_body, Content_Range=f"bytes {first}-{last}/{size}")
            return
        self._answer(status, body, has_body=has_body)

    def _listing(self, prefix: str) -> None:
        found = [(key, data) for key, data in sorted(self.objects.items()) if key.startswith(prefix)]
        contents = "".join(
            f"<Contents><Key>{quote(key)}</Key><Size>{len(data)}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, data in found
        )
        top = f"<Name>logs</Name><KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>"
        self._answer(200, f"<ListBucketResult>{top}{contents}</ListBucketResult>".encode())

    def _answer(self, status: int, body: bytes, *, has_body: bool = True, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", formatdate(0, usegmt=True))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if has_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def objects() -> dict[str, bytes]:
    return {
        "pods/shop_cart-v1-7d9f8c6b5-x2x4q_0123456789abcdef/istio-proxy/0.log": lines(20),
        "pods/shop_pay-v1-7d9f8c6b5-abcde_0123456789abcdef/istio-proxy/0.log.gz": gzip.compress(lines(30, 100)),
        "pods/README.md": b"no log\n",
        "other/a.log": lines(5, 500),
    }


@pytest.fixture
def url(objects: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A URL of the bucket's, to be formatted with a key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Served", (Bucket,), {"objects": objects}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield f"s3://key:very-secret@logs/{{}}?scheme=http&endpoint_override=127.0.0.1:{server.server_port}&region=eu-west-1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


def test_a_prefix_is_read_once(lake: Lake, url: str, objects: dict[str, bytes]) -> None:
    """Its objects are read like a folder's files, what they grew by and no more the next time; keys tell the pods."""
    summary = lake.take(url.format("pods"))
    assert (summary.counts.rows, summary.sources_failed) == (50, 0)
    assert summary.skipped == ("s3://logs/pods/README.md",)
    assert {row["pod"] for row in lake.rows()} == {"cart-v1-7d9f8c6b5-x2x4q", "pay-v1-7d9f8c6b5-abcde"}

    name = next(iter(objects))
    objects[name] += lines(3, 20)
    assert lake.take(url.format("pods")).counts.rows == 3


def test_no_secret_of_the_url_gets_into_the_lake(lake: Lake, url: str) -> None:
    """A source is named by bucket and key."""
    lake.take(url.format("other/a.log"))

    assert {row["source"] for row in lake.rows()} == {"s3://logs/other/a.log"}
    with pytest.raises(InputError) as caught:
        expand([url.format("nothing/here")])
    assert "very-secret" not in str(caught.value)


def test_stars_match_keys(url: str) -> None:
    """One star stays within a part of the key, two go down."""
    assert [source.name for source in expand([url.format("*/*.log")]).sources] == ["s3://logs/other/a.log"]
    assert len(expand([url.format("**/*.log")]).sources) == 2


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("nothing/here", InputError, r"^s3://logs/nothing/here: there is no such object or prefix\. Check the URL$"),
        ("*/*.nope", InputError, r"^s3://logs/\*/\*\.nope: no object matches\. Check the pattern$"),
    ],
)
def test_what_is_not_there_is_an_input_error(url: str, path: str, kind: type[Exception], message: str) -> None:
    """The message names the URL."""
    with pytest.raises(kind, match=message):
        expand([url.format(path)])


def test_an_unknown_store_and_a_follow_are_usage_errors(lake: Lake, url: str) -> None:
    """Neither waits for anything."""
    with pytest.raises(UsageError, match=r"^ftp://host/a: meshlog knows no such store\. Known are s3://, gs://"):
        expand(["ftp://host/a"])
    with pytest.raises(UsageError, match=r"s3://logs/other/a\.log: an object does not grow"):
        follow([url.format("other")], lake.root, every=1, has_to_stop=lambda: True, tell=print)
