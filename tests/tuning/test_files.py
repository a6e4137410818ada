"""Files: uploaded, listed, read and deleted, by the real SDK."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
from openai import OpenAI

from greenlight.testing.finetune import finetune_server
from greenlight.tuning import uploads
from tests.tuning import desk


def test_a_file_is_kept_byte_by_byte_until_it_is_deleted(service: OpenAI) -> None:
    """T2: what was uploaded can be found by its name before it is uploaded again."""
    content = desk.jsonl(desk.rows(12))
    made = service.files.create(file=("train-4be1c3f0.jsonl", content), purpose="fine-tune")
    assert (made.filename, made.bytes, made.purpose) == (
        "train-4be1c3f0.jsonl",
        len(content),
        "fine-tune",
    )
    assert service.files.retrieve(made.id) == made
    assert service.files.content(made.id).read() == content
    assert made in service.files.list(purpose="fine-tune").data
    assert made not in service.files.list(purpose="fine-tune-results").data
    assert service.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match=made.id):
        service.files.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        service.files.content(made.id)


def test_lists_come_in_pages(service: OpenAI) -> None:
    """The SDK asks for the next page by the last id of the one before."""
    made = [desk.upload(service, desk.rows(1), f"page-{number}.jsonl") for number in range(5)]
    page = service.files.list(limit=2, purpose="fine-tune")
    assert [file.id for file in page.data] == [made[4], made[3]]
    assert page.has_more
    newest_first = [file.id for file in page]  # goes on from page to page
    assert newest_first[:5] == made[::-1]
    oldest_first = service.files.list(order="asc", limit=3, purpose="fine-tune")
    assert [file.id for file in oldest_first] == newest_first[::-1]
    for id in made:
        service.files.delete(id)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b'{"messages": []}\nnot json\n', "line 2 is no JSON"),
        (b'{"messages": []}\n\n[1]\n', "line 3 is no JSON object"),
        (b'{"a": "\xff"}\n', "line 1 is no JSON"),
        (b"[" * 100_000 + b"\n", "line 1 is no JSON"),
    ],
)
def test_what_is_no_jsonl_is_refused_and_leaves_nothing(
    service: OpenAI, content: bytes, message: str
) -> None:
    """T6: a clear error that names the line."""
    before = [file.id for file in service.files.list()]
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        service.files.create(file=("bad.jsonl", content), purpose="fine-tune")
    assert caught.value.param == "file"
    assert [file.id for file in service.files.list()] == before


def test_other_purposes_and_fields_are_refused(service: OpenAI) -> None:
    """This server keeps files for fine-tuning alone."""
    file = ("train.jsonl", desk.jsonl(desk.rows(1)))
    with pytest.raises(openai.BadRequestError, match="purpose: 'vision'"):
        service.files.create(file=file, purpose="vision")
    with pytest.raises(openai.BadRequestError, match=r"expires_after\[anchor\]"):
        service.files.create(
            file=file,
            purpose="fine-tune",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({"content-type": "application/json"}, b"{}", "multipart/form-data"),
        ({"content-type": "multipart/form-data"}, b"", "boundary"),
        ({"content-type": "multipart/form-data; boundary=" + "b" * 257}, b"", "boundary"),
        ({"content-type": "multipart/form-data; boundary=b"}, b"no form", "cannot be read"),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--b--\r\n',
            "file: there is none",
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n',
            "no end",
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\n' + b"x" * 2000,
            "more than 1024 bytes",
        ),
    ],
)
def test_what_is_no_form_is_refused(
    url: str, headers: dict[str, str], body: bytes, message: str
) -> None:
    """E4: malformed input is the caller's fault, and told as such."""
    answer = httpx2.post(f"{url}/files", headers=headers, content=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_a_file_over_the_limit_is_refused(service: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API's limit of 512 MB, here lowered."""
    monkeypatch.setattr(uploads, "LARGEST", 1000)
    with pytest.raises(openai.APIStatusError, match="send less") as caught:
        desk.upload(service, desk.rows(50))
    assert caught.value.status_code == 413


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """T2: neither a file that can be listed nor bytes on the disk."""
    with finetune_server(tmp_path / "state") as url, desk.client(url) as service:
        begin_upload(url).close()
        files = tmp_path / "state" / "files"
        desk.until(lambda: not list(files.iterdir()))
        assert service.files.list().data == []


def begin_upload(url: str) -> socket.socket:
    """A connection on which an upload has begun, and a part of it has arrived."""
    place = urlsplit(url)
    connection = socket.create_connection((place.hostname or "", place.port or 0))
    head = (
        b"POST /v1/files HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100000\r\n"
        b"content-type: multipart/form-data; boundary=b\r\n\r\n"
    )
    part = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{"mess'
    connection.sendall(head + part)
    return connection
