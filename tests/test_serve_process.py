"""The server as a process: what it prints, how it stops, and clients that behave badly."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import command
import numpy as np
import pytest
from command import refused
from served import Server, _address, serving, toy_model

from ganforge.serve.lines import Lines

pytest.importorskip("uvicorn")

BODY = json.dumps(
    {"inputs": [{"name": "z", "shape": [16, 6], "datatype": "FP32", "data": np.zeros(96).tolist()}]}
).encode()
INFER = "/v2/models/toy/infer"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def strict(model: Path) -> Iterator[Server]:
    """A server with little patience and room for few."""
    with serving(model, "--read-timeout", 0.3, "--max-connections", 8) as server:  # whose log nobody reads
        yield server


def talk(server: Server, *pieces: bytes, pause: float = 0) -> bytes:
    """All that comes back for these bytes until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause)
        received = b""
        while data := connection.recv(65536):
            received += data
        return received


def healthy(server: Server) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST", INFER, BODY)
    return connection.getresponse().status == 200


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never happened")


def test_what_it_says_and_how_it_ends(model: Path) -> None:
    with serving(model) as server:
        assert healthy(server)
        out, err = server.stop()
    assert out == "stopped; every request accepted was answered\n"
    (line,) = [json.loads(line) for line in err.splitlines()]
    assert (line["method"], line["path"], line["status"]) == ("POST", INFER, 200)


def test_ctrl_c_is_a_stop(model: Path) -> None:
    with serving(model, "--no-log") as server:
        server.process.send_signal(signal.SIGINT)
        out, err = server.process.communicate(timeout=60)
    assert (server.process.returncode, out, err) == (0, "stopped; every request accepted was answered\n", "")


def test_a_stop_under_load_loses_nothing(model: Path) -> None:
    """Clients that keep their connections and ask without a pause: each ends with an answer, then a refusal."""
    answered, lost, running = [], [], threading.Event()

    def client(port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            try:
                connection.connect()
            except OSError:
                return  # refused: it was never accepted
            fresh = True
            while connection.sock:
                try:
                    connection.request("POST", INFER, BODY)
                    reply = connection.getresponse()
                    reply.read()
                except (http.client.HTTPException, OSError) as error:
                    # A connection that the system had taken but the server never saw was not accepted.
                    if not fresh:
                        lost.append(error)
                    connection.close()
                    break
                answered.append(reply.status)
                fresh = False
                if len(answered) > 100:
                    running.set()

    with serving(model, "--no-log") as server:
        threads = [threading.Thread(target=client, args=(server.port,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert running.wait(60)
        server.stop()
        for thread in threads:
            thread.join(60)
    assert lost == []
    assert set(answered) == {200}


def test_files_are_loaded_again_on_sighup(model: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.onnx").write_bytes(model.read_bytes())
    with serving(tmp_path) as server:

        def models() -> list[str]:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            connection.request("GET", "/models")
            return [one["name"] for one in json.loads(connection.getresponse().read())]

        assert models() == ["toy"]
        (tmp_path / "more.onnx").write_bytes(model.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        until(lambda: models() == ["toy", "more"])


def writing(fifo: Path) -> int:
    """The end to write to, once a server has begun to read there."""
    return os.open(fifo, os.O_WRONLY)


def test_a_stop_while_models_load(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "toy.onnx")
    process = command.start("serve", tmp_path / "toy.onnx", "--port", 0)
    held = writing(tmp_path / "toy.onnx")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    os.close(held)


def test_sighup_while_models_load(model: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "toy.onnx")
    process = command.start("serve", tmp_path, "--port", 0)
    held = writing(tmp_path / "toy.onnx")
    process.send_signal(signal.SIGHUP)
    (tmp_path / "next").write_bytes(model.read_bytes())
    (tmp_path / "next").rename(tmp_path / "toy.onnx")
    (tmp_path / "more.onnx").write_bytes(model.read_bytes())
    with os.fdopen(held, "wb") as end:
        end.write(model.read_bytes())
    server = Server(process, _address(process))
    until(lambda: b'"name":"more"' in talk(server, b"GET /models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    server.stop()


def test_a_head_that_never_ends(strict: Server) -> None:
    assert talk(strict, b"GET /v2 HTTP/1.1\r\nHost: x\r\n").startswith(b"HTTP/1.1 408 ")
    assert talk(strict) == b""  # nothing was asked, so nothing is said
    assert talk(strict, b"\r\n").startswith(b"HTTP/1.1 408 ")
    assert talk(strict, b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\nGET /v2 HT").startswith(b"HTTP/1.1 200 ")
    assert healthy(strict)


def test_a_head_that_is_too_long(strict: Server) -> None:
    assert talk(strict, b"GET /v2 HTTP/1.1\r\n" + b"a: b\r\n" * 20_000).startswith(b"HTTP/1.1 431 ")
    assert healthy(strict)


def test_a_body_that_never_comes(strict: Server) -> None:
    head = b"POST /v2/models/toy/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    reply = talk(strict, head)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"the body did not arrive within 0.3 s" in reply


def test_chunks(strict: Server) -> None:
    head = b"POST /v2/models/toy/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:10], BODY[10:])]
    assert talk(strict, head, *chunks, b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert b"408" in talk(strict, head, *chunks)[:20]  # the last chunk never comes


def test_what_is_no_http(strict: Server) -> None:
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        assert talk(strict, nonsense)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 408", b"HTTP/1.1 404", b"HTTP/1.1 405"), (
            nonsense
        )
    assert healthy(strict)


def test_one_connection_too_many(model: Path) -> None:
    with serving(model, "--max-connections", 4, "--no-log") as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(4)]
        until(lambda: talk(server).startswith(b"HTTP/1.1 503 "))
        reply = talk(server)
        assert b"retry-after: 1" in reply
        assert b"there are too many connections" in reply
        for connection in idle:
            connection.close()
        until(lambda: not talk_briefly(server).startswith(b"HTTP/1.1 503 "))


def talk_briefly(server: Server) -> bytes:
    return talk(server, b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


def test_a_client_that_takes_nothing(model: Path) -> None:
    """It asks and asks without reading, and is let go once what is meant for it has piled up."""
    with serving(model, "--read-timeout", 0.3, "--no-log") as server:
        ask = b"GET /images?n=256&seed=1 HTTP/1.1\r\nHost: x\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

            def ended() -> bool:
                try:
                    connection.sendall(ask)
                except OSError:
                    return True
                return False

            until(ended)
        assert healthy(server)


def test_memory_does_not_grow(strict: Server) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{strict.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if sys.platform != "linux":
        pytest.skip("reads /proc")

    def some() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", strict.port, timeout=20)
        for _ in range(300):
            connection.request("POST", INFER, BODY)
            assert connection.getresponse().read()
        connection.close()

    some()
    before = resident()
    some()
    some()
    assert resident() - before < 4 * 2**20


# What the command refuses.


def test_mistakes(model: Path, tmp_path: Path) -> None:
    assert refused("serve", tmp_path / "no.onnx").endswith("no.onnx: No such file or directory")
    assert refused("serve", tmp_path).startswith("there is no model to serve in ")
    assert "there is no device 'tpu'; there is auto, cpu, cuda" in refused("serve", model, "--device", "tpu")
    assert refused("serve", model, "--api-key", " ") == "the API key is empty; leave it out, or give one"
    assert refused("serve", model, "--host", "no.such.host.invalid").startswith(
        "there is no host 'no.such.host.invalid'"
    )
    assert refused("serve", model, "--host", "127.0.0..1").startswith("there is no host '127.0.0..1'")
    assert refused("serve", model, "--max-batch", "0").startswith("Invalid value for '--max-batch'")


def test_no_gpu(model: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert "finds no working CUDA GPU here; use cpu or auto" in refused("serve", model, "--device", "cuda")


def test_a_port_that_is_taken(model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert re.fullmatch(
            rf"cannot listen at 127\.0\.0\.1, port {port}: .+; choose another with --port",
            refused("serve", model, "--port", port),
        )


def test_without_the_extra(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert (
        refused("serve", model, "--port", 0)
        == "this needs uvicorn, which is not installed: pip install 'ganforge[serve]'"
    )


def test_the_key_comes_from_the_environment(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANFORGE_API_KEY", "secret\n")  # as from a file
    with serving(model) as server:
        assert talk_briefly(server).startswith(b"HTTP/1.1 401 ")
        with_key = b"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer secret\r\n\r\n"
        assert talk(server, with_key).startswith(b"HTTP/1.1 200 ")


def test_a_server_that_anyone_can_reach_says_so(model: Path) -> None:
    with serving(model, "--host", "0.0.0.0") as server:
        _, err = server.stop()
    assert err.startswith("warning: everybody who can reach 0.0.0.0 may use these models; set GANFORGE_API_KEY")


def test_no_torch_in_a_serving_process(model: Path) -> None:
    """All that a request touches, in a fresh interpreter."""
    probe = f"""
import asyncio, sys
from pathlib import Path
from ganforge.serve.app import Access, App
from ganforge.serve.limits import Limits
from ganforge.serve.repository import Repository
import ganforge.serve.connection, ganforge.serve.server
app = App(Repository([Path({str(model)!r})], Limits(), device="cpu"), Limits(), Access())
sys.path.insert(0, {str(Path(__file__).parent)!r})
async def main():
    sent = []
    async def send(message): sent.append(message)
    asked = iter([{{"type": "http.request", "body": b""}}])
    async def receive(): return next(asked, None) or await asyncio.Event().wait()
    scope = {{"method": "GET", "path": "/images", "query_string": b"n=2", "headers": [], "client": None}}
    await app(scope, receive, send)
    assert sent[0]["status"] == 200, sent
asyncio.run(main())
print(",".join(sorted({{"torch", "onnx", "scipy", "typer", "ganforge.core.loop"}} & set(sys.modules))))
"""
    paths = [str(command.ROOT / root) for root in ("core", "serve")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", probe], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    end, start = os.pipe()
    lines = Lines(start, most=2000)
    for n in range(10_000):
        lines(json.dumps({"n": n, "pad": "x" * 100}))
    read, left = b"", 2000
    lines.close(patience=0)
    while left > 0:
        read += (piece := os.read(end, 65536))
        left -= piece.count(b"\n")
    assert [json.loads(line)["n"] for line in read.splitlines()[:2000]] == list(range(2000))
    os.close(end)
