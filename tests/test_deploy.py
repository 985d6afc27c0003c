"""What docs/deploy.md gives to copy, as it stands there: nginx in front, the systemd unit, the health check."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from served import Server, free_port, serving, toy_model

pytest.importorskip("uvicorn")
PAGE = (Path(__file__).parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one block of code in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def put(text: str, replaced: dict[str, str]) -> str:
    """The text with what stands for this machine in it."""
    for old, new in replaced.items():
        assert old in text, f"docs/deploy.md no longer says {old}"
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(toy_model(tmp_path_factory.mktemp("model")), "--max-batch", 4) as server:
        yield server


@contextmanager
def nginx(folder: Path, site: str) -> Iterator[None]:
    """nginx with this site, as a process of ours in a folder of its own."""
    kept = "\n".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\nhttp {{\n"
        f"access_log off;\n{kept}\n{site}\n}}\n"
    )
    process = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def certificate(folder: Path) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-keyout", folder / "key", "-out", folder / "pem"], check=True, capture_output=True
    )


def fetch(url: str, trusted: Path, patience: float = 20, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    context = ssl.create_default_context(cafile=str(trusted))
    context.check_hostname = False
    end = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), context=context) as answer:
                return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}
        except urllib.error.HTTPError as error:
            return error.code, error.read(), {}
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


@pytest.mark.skipif(not (shutil.which("nginx") and shutil.which("openssl")), reason="apt install nginx-light openssl")
def test_nginx_in_front(server: Server, tmp_path: Path) -> None:
    certificate(tmp_path)
    port = free_port()
    site = put(
        block("nginx"),
        {
            "127.0.0.1:8000": f"127.0.0.1:{server.port}",
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "/etc/ssl/pictures.example.org.pem": f"{tmp_path}/pem",
            "/etc/ssl/pictures.example.org.key": f"{tmp_path}/key",
        },
    )
    with nginx(tmp_path, site):
        url = f"https://127.0.0.1:{port}"
        status, body, headers = fetch(f"{url}/images?seed=1&n=4", tmp_path / "pem")
        assert (status, body[:4]) == (200, b"\x89PNG")
        assert body == fetch(f"{server.url}images?seed=1&n=4", tmp_path / "pem")[1]
        assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"]), "nginx's id is taken over"
        own = fetch(f"{url}/models", tmp_path / "pem", Origin=url)
        assert own[0] == 200, "the page's own calls pass"
        assert fetch(f"{url}/models", tmp_path / "pem", Origin="https://elsewhere.example")[0] == 403


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "ganforge"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "ganforge.service"
    unit.write_text(put(block("ini"), {"/opt/ganforge/bin/ganforge": str(program)}))
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    said = [line for line in checked.stderr.splitlines() if "ganforge.service" in line]
    assert (checked.returncode, said) == (0, []), checked.stderr


def test_the_container_s_health_check(server: Server) -> None:
    (code,) = re.findall(r'CMD \["python", "-c", "(.*?)"\]', block("dockerfile"))
    assert _health(put(code, {"127.0.0.1:8000": f"127.0.0.1:{server.port}"})) == 0
    assert _health(put(code, {"127.0.0.1:8000": f"127.0.0.1:{free_port()}"})) != 0


def _health(code: str) -> int:
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode
