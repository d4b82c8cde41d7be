"""Runs Debian's nginx on loopback with a configuration of its own, as a child of this process.

One server, three ports: plain HTTP; HTTP that answers after a delay (Debian's echo module, a timer
inside nginx); and HTTPS that closes the connection after each answer.
"""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme

from measure import BenchError

HOST = "127.0.0.1"
ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
PACKAGES = ("nginx", "libnginx-mod-http-echo", "wrk", "curl")

_CONFIG = """
load_module {echo};
daemon off;
worker_processes {workers};
worker_rlimit_nofile 8192;
pid {work}/nginx.pid;
error_log {work}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type image/jpeg;
  types {{ image/jpeg jpg; }}
  root {root};
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path {work}/body;
  proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi;
  scgi_temp_path {work}/scgi;
  server {{ listen {host}:{plain} backlog=4096; }}
  server {{
    listen {host}:{slow} backlog=4096;
    location / {{ echo_sleep {delay}; echo_exec @photo; }}
    location @photo {{ }}
  }}
  server {{
    listen {host}:{tls} ssl backlog=4096;
    ssl_certificate {work}/server.pem;
    ssl_certificate_key {work}/server.pem;
    keepalive_timeout 0;
  }}
}}
"""


@dataclass(frozen=True)
class Server:
    """Where the server listens: base URLs, and the CA that its certificate is of."""

    plain: str
    slow: str
    tls: str
    authority: Path


@contextmanager
def serving(root: Path, work: Path, delay: float, workers: int = 2) -> Iterator[Server]:
    """Serve `root` until the block ends; `work` takes configuration, keys and logs."""
    work.mkdir(parents=True, exist_ok=True)
    authority = _certificates(work)
    plain, slow, tls = _free_ports(3)
    config = work / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            echo=ECHO_MODULE,
            workers=workers,
            work=work,
            root=root,
            host=HOST,
            plain=plain,
            slow=slow,
            tls=tls,
            delay=delay,
        ),
        encoding="utf-8",
    )
    command = ["nginx", "-p", str(work), "-c", str(config), "-e", str(work / "error.log")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _await(process, (plain, slow, tls), work)
        yield Server(
            f"http://{HOST}:{plain}", f"http://{HOST}:{slow}", f"https://{HOST}:{tls}", authority
        )
    finally:
        process.terminate()
        process.wait()


def ensure_tools() -> None:
    """Install Debian's nginx, wrk and curl where they are missing.

    Raises BenchError, with the command, when that needs another user.
    """
    if ECHO_MODULE.exists() and all(map(shutil.which, ("nginx", "wrk", "curl"))):
        return
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"run as root: {' '.join(command)}\n{done.stderr[-500:]}")
    subprocess.run(["service", "nginx", "stop"], capture_output=True, check=False)


def wrk_rate(url: str, connections: int, seconds: int = 3) -> float:
    """Answers a second that the server gives to a client that throws them away."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Requests/sec:\s*([0-9.]+)", done.stdout)
    if not found or "Non-2xx" in done.stdout:
        raise BenchError(f"wrk failed: {done.stdout}{done.stderr}")
    return float(found[1])


def _certificates(work: Path) -> Path:
    """Make a CA and a certificate for the loopback address; returns a file of all trusted CAs."""
    ca = trustme.CA()
    ca.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(work / "server.pem"))
    # Beside the usual ones, as it would be for a user: how often a downloader reads them counts.
    authority = work / "authority.pem"
    shutil.copyfile(certifi.where(), authority)
    ca.cert_pem.write_to_path(str(authority), append=True)
    return authority


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind((HOST, 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _await(process: subprocess.Popen[bytes], ports: tuple[int, ...], work: Path) -> None:
    until = time.monotonic() + 10
    for port in ports:
        while True:
            try:
                socket.create_connection((HOST, port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    raise BenchError(f"nginx does not start; see {work / 'error.log'}") from None
                time.sleep(0.05)
