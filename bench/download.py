"""How fast is the download stage on one fast host, compared with curl and img2dataset?"""

import contextlib
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import certifi
import trustme

import photos
from downloaders import IMG2DATASET, Job, curl, img2dataset, ours
from harness import WNIDS, BenchError, Report, installed, main, ratios, running

CONFIG = """
daemon off;
worker_processes 2;
worker_rlimit_nofile 8192;
pid {work}/pid;
error_log {work}/log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  types {{ image/jpeg jpg; }}
  root {root};
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path {work}/a; proxy_temp_path {work}/b; fastcgi_temp_path {work}/c;
  uwsgi_temp_path {work}/d; scgi_temp_path {work}/e;
  server {{ listen 127.0.0.1:{plain} backlog=4096; }}
  server {{
    listen 127.0.0.1:{tls} ssl backlog=4096;
    ssl_certificate {work}/server.pem;
    ssl_certificate_key {work}/server.pem;
    keepalive_timeout 0;
  }}
}}
"""


def measure(report: Report, folder: Path) -> None:
    """Fetch the same photos with each: over HTTP, and with a new TLS connection for each photo."""
    options, run = report.options, folder / "run"
    if not (shutil.which("nginx") and shutil.which("curl")):
        raise BenchError("run as root: apt-get install nginx curl")
    program = installed(options.cache, "img2dataset", IMG2DATASET) / "img2dataset"
    made = photos.made(options.cache, WNIDS, 60 if options.quick else 300)
    root = Path(shutil.copytree(made, folder / "www"))
    with nginx(root, folder / "nginx") as (plain, tls):
        job = _job(root, plain, {})
        mine, by_curl, other = report.turns(
            "HTTP",
            lambda: ours(job, run, options.scripts),
            lambda: curl(job, run),
            lambda: img2dataset(job, run, program),
        )
        authority = str(folder / "nginx/authority.pem")
        secure = _job(root, tls, {"SSL_CERT_FILE": authority, "CURL_CA_BUNDLE": authority})
        mine_tls, other_tls = report.turns(
            "TLS",
            lambda: ours(secure, run, options.scripts),
            lambda: img2dataset(secure, run, program),
        )
        one = Job({WNIDS[0]: job.urls[WNIDS[0]][:1]}, 1)
        starts = [ours(one, run, options.scripts).cpu for _ in range(5)]
    report.target("HTTP: rate / curl's", ratios(mine, by_curl), 0.7)
    report.target("HTTP: rate / img2dataset's", ratios(mine, other), 4)
    report.target("TLS: rate / img2dataset's", ratios(mine_tls, other_tls), 10)
    report.target("start-up: CPU s for one photo", starts, 0.3, False)
    peak = max(each.peak_mb for each in (*mine, *mine_tls))
    report.target("peak MB of the largest process", [peak], 200, False)


def _job(root: Path, base: str, environment: dict[str, str]) -> Job:
    files = {wnid: sorted((root / wnid).iterdir()) for wnid in WNIDS}
    urls = {w: [f"{base}/{w}/{path.name}" for path in paths] for w, paths in files.items()}
    sizes = [path.stat().st_size for paths in files.values() for path in paths]
    return Job(urls, len(sizes), sum(sizes), environment=environment)


@contextlib.contextmanager
def nginx(root: Path, work: Path) -> Iterator[tuple[str, str]]:
    """Serve a folder over HTTP and HTTPS; yield their base URLs."""
    work.mkdir()
    ca = trustme.CA()
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(work / "server.pem")
    shutil.copyfile(certifi.where(), work / "authority.pem")  # its size counts as for a user
    ca.cert_pem.write_to_path(work / "authority.pem", append=True)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        plain, tls = one.getsockname()[1], two.getsockname()[1]
    text = CONFIG.format(work=work, root=root, plain=plain, tls=tls)
    (work / "nginx.conf").write_text(text, encoding="utf-8")
    command = ["nginx", "-p", work, "-c", work / "nginx.conf", "-e", work / "log"]
    with running(command, "127.0.0.1", tls):
        yield f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}"


if __name__ == "__main__":
    sys.exit(main(str(__doc__), measure))
