"""Searches of a STAC API that runs on this machine."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest

from geoseg.catalog.look_up import look_up
from geoseg.config import SceneSettings
from geoseg.errors import SceneError, UnreachableError
from geoseg.mosaic_settings import MosaicSettings, SearchSettings

REMOTE = SceneSettings(remote=True, allow_private_hosts=True)
PAGE = 100


class Api(BaseHTTPRequestHandler):
    """A STAC API with ``found`` Items, in pages of `PAGE`; ``status`` is the answer to a search."""

    found: ClassVar[int] = 250
    status: ClassVar[int] = 200
    searches: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        root = f"http://{self.headers['Host']}"
        links = [
            {"rel": "self", "href": root},
            {"rel": "search", "href": f"{root}/search", "method": "POST", "type": "application/geo+json"},
        ]
        conforms = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
        catalog = {"type": "Catalog", "id": "api", "description": "-", "stac_version": "1.0.0"}
        self.send({**catalog, "links": links, "conformsTo": conforms}, 200)

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.searches.append(wanted)
        start = wanted.get("token", 0)
        stop = min(self.found, start + PAGE)
        root = f"http://{self.headers['Host']}"
        items = [item(f"{root}/items/{index}") for index in range(start, stop)]
        body = {**wanted, "token": stop}
        follow = {"rel": "next", "method": "POST", "href": f"{root}/search", "body": body}
        links = [follow] if stop < self.found else []
        self.send({"type": "FeatureCollection", "features": items, "links": links}, self.status)

    def send(self, content: dict[str, Any], status: int) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def item(url: str) -> dict[str, Any]:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": url.rpartition("/")[2],
        "geometry": None,
        "links": [{"rel": "self", "href": url}],
        "properties": {"datetime": "2024-06-21T10:00:00Z"},
        "assets": {"red": {"href": "./red.tif"}},
    }


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GDAL_HTTP_MAX_RETRY", "0")
    monkeypatch.setattr(Api, "searches", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wanted(api: str, **options: Any) -> SearchSettings:
    given = {"id": "m", "items": [{"search": api, "collections": ["s2"], **options}]}
    entry = MosaicSettings.model_validate(given).items[0]
    assert isinstance(entry, SearchSettings)
    return entry


def test_all_pages_are_read_and_the_conditions_sent(api: str) -> None:
    conditions = {"bbox": [8, 49, 9, 50], "datetime": "2024-06-01/2024-06-30", "query": {"eo:cloud_cover": {"lt": 20}}}
    found = look_up([wanted(api, **conditions)], REMOTE)
    assert [one.id for one in found if not isinstance(one, str)] == list(map(str, range(250)))
    assert len(Api.searches) == 3
    asked = Api.searches[0]
    assert asked["collections"] == ["s2"]
    assert asked["bbox"] == [8, 49, 9, 50]
    assert asked["query"] == {"eo:cloud_cover": {"lt": 20}}
    assert asked["datetime"].startswith("2024-06-01T00:00:00")
    limited = look_up([wanted(api, max_items=7)], REMOTE)
    assert len(limited) == 7


def test_hosts_obey_the_rules_of_scenes(api: str) -> None:
    with pytest.raises(SceneError, match=r"scene\.remote=false"):
        look_up([wanted(api)])
    with pytest.raises(SceneError, match=r"would be read unencrypted|not a public host"):
        look_up([wanted(api)], SceneSettings(remote=True))


def test_failures_are_one_message_each(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Api, "found", 0)
    with pytest.raises(SceneError, match=r"The search of http.* finds no Item\. Widen it"):
        look_up([wanted(api)], REMOTE)
    monkeypatch.setattr(Api, "status", 400)
    with pytest.raises(SceneError, match="refuses the search"):
        look_up([wanted(api)], REMOTE)
    monkeypatch.setattr(Api, "status", 503)
    with pytest.raises(UnreachableError, match="Run the same command again"):
        look_up([wanted(api)], REMOTE)
    with pytest.raises(UnreachableError, match="Run the same command again"):
        look_up([wanted("http://127.0.0.1:1")], REMOTE)
