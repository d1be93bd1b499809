"""The download Job's script, as rendered, against a real HTTPS server: resumes, checks sums, sends the header, leaves nothing half."""
import hashlib
import http.server
import os
import pathlib
import random
import socket
import socketserver
import ssl
import subprocess
import threading

import pytest
from chart import RELEASE, named, render, value_set

pytestmark = pytest.mark.skipif(not pathlib.Path("/usr/bin/curl").exists(), reason="needs curl")
SEED = int(os.environ.get("HEADROOM_TEST_SEED", random.randrange(1 << 30)))


class Server:
    """Serves a dictionary over TLS; remembers requests; may break a file's first answer off in the middle."""

    def __init__(self, folder):
        self.files, self.requests, self.break_once = {}, [], set()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
                if self.path == "/moved":
                    self.send_response(302)
                    self.send_header("Location", server.redirect)
                    self.end_headers()
                    return
                data = server.files.get(self.path)
                if data is None:
                    self.send_error(404)
                    return
                begin = int(self.headers["Range"].removeprefix("bytes=").split("-")[0]) if self.headers.get("Range") else 0
                if begin >= len(data):
                    self.send_error(416)
                    return
                self.send_response(206 if begin else 200)
                if begin:
                    self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
                self.send_header("Content-Length", str(len(data) - begin))
                self.end_headers()
                end = len(data) // 2 if self.path in server.break_once else len(data)
                server.break_once.discard(self.path)
                self.wfile.write(data[begin:end])

            def log_message(self, *_):
                pass

        self.certificate, key = folder / "server.pem", folder / "server.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost", "-keyout", key, "-out", self.certificate], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def url(self, path):
        return f"https://localhost:{self.http.server_address[1]}{path}"

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path)
    yield one
    one.close()


def download(server, folder, files, header=None, extras=None):
    """files: [(path, url, data)]. Renders the Job, puts the test's port into the list, and runs its command. extras: of model.download; what they mount at
    /etc/ca is the server's folder."""
    values = value_set("download")
    values["model"]["download"] |= extras or {}
    values["model"]["download"]["headerSecret"] = "hub" if header else ""
    values["model"]["download"]["files"] = [{"path": path, "url": f"https://localhost{url}", "sha256": hashlib.sha256(data).hexdigest()}
                                            for path, url, data in files]
    objects = render(values)
    for name, text in named(objects, "ConfigMap", f"{RELEASE}-headroom-download")["data"].items():
        (folder / name).write_text(text.replace("https://localhost/", server.url("/")))
    (folder / "header").write_text(header or "")
    container = named(objects, "Job", f"{RELEASE}-headroom-download")["spec"]["template"]["spec"]["containers"][0]
    command = [one.replace("/etc/download-secret", str(folder)).replace("/etc/download", str(folder)).replace("/models", str(folder / "models"))
               for one in container["command"] + container.get("args", [])]
    environment = {"PATH": os.environ["PATH"]} | ({} if extras else {"CURL_CA_BUNDLE": str(server.certificate), "no_proxy": "*"})
    environment |= {one["name"]: one["value"].replace("/etc/ca", str(server.certificate.parent)) for one in container.get("env", [])}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    return result, folder / "models" / "MiniCPM-V-2_6"


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy that answers CONNECT, and remembers where to."""

    class Handler(socketserver.StreamRequestHandler):
        # Called by: socketserver, for each connection.
        def handle(self):
            target = self.rfile.readline().split()[1].decode()
            while self.rfile.readline().strip():
                pass
            self.server.asked.append(target)
            host, port = target.split(":")
            with socket.create_connection((host, int(port))) as upstream:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=self.copy, args=(upstream, self.connection))
                back.start()
                self.copy(self.connection, upstream)
                back.join()

        @staticmethod
        def copy(source, sink):
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.asked = []
        threading.Thread(target=self.serve_forever).start()


def test_through_a_proxy_with_a_ca_of_ones_own(server, tmp_path):
    """What extraEnv and extraVolumes are for: without the CA file nothing is fetched, without the proxy's variable it is not asked."""
    data = contents(200_000)
    server.files = {"/model": data}
    variables = [{"name": "CURL_CA_BUNDLE", "value": "/etc/ca/server.pem"}]
    ca = {"extraVolumes": [{"name": "ca", "configMap": {"name": "company-ca"}}], "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}]}
    with Proxy() as proxy:
        try:
            variables.append({"name": "HTTPS_PROXY", "value": f"http://127.0.0.1:{proxy.server_address[1]}"})
            result, model = download(server, tmp_path, [("model.safetensors", "/model", data)], extras=ca | {"extraEnv": variables[1:]})
            assert result.returncode != 0 and "certificate" in result.stderr and server.requests == []
            asked = len(proxy.asked)
            assert asked > 0
            result, model = download(server, tmp_path, [("model.safetensors", "/model", data)], extras=ca | {"extraEnv": variables})
            assert result.returncode == 0, result.stderr
            assert (model / "model.safetensors").read_bytes() == data
            assert proxy.asked[asked:] == [f"localhost:{server.http.server_address[1]}"]
        finally:
            proxy.shutdown()


def contents(size):
    print("seed", SEED)
    return random.Random(SEED + size).randbytes(size)


def test_fetches_and_does_not_fetch_again(server, tmp_path):
    files = [("config.json", "/config.json", b"{}"), ("sub/model.safetensors", "/m/model", contents(3_000_000))]
    server.files = {url: data for _, url, data in files}
    result, model = download(server, tmp_path, files)
    assert result.returncode == 0, result.stderr
    assert all((model / path).read_bytes() == data for path, _, data in files)
    assert sorted(path.name for path in model.rglob("*") if path.is_file()) == ["config.json", "model.safetensors"]
    asked = len(server.requests)
    assert all(authorization is None for _, _, authorization in server.requests)
    result, _ = download(server, tmp_path, files)
    assert result.returncode == 0 and len(server.requests) == asked
    assert result.stdout.count("present") == 2


def test_goes_on_where_it_stopped(server, tmp_path):
    data = contents(2_000_000)
    server.files = {"/model": data}
    server.break_once = {"/model"}
    result, model = download(server, tmp_path, [("model.safetensors", "/model", data)])
    assert result.returncode == 0, result.stderr
    assert (model / "model.safetensors").read_bytes() == data
    assert [range_ for _, range_, _ in server.requests] == [None, "bytes=1000000-"]


def test_a_part_that_is_too_long_is_thrown_away(server, tmp_path):
    data = contents(50_000)
    server.files = {"/model": data}
    part = tmp_path / "models" / "MiniCPM-V-2_6" / "model.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(data + b"rubbish")
    download(server, tmp_path, [("model.safetensors", "/model", data)])
    # At the latest the Job's next pod begins anew.
    result, model = download(server, tmp_path, [("model.safetensors", "/model", data)])
    assert result.returncode == 0, result.stderr
    assert (model / "model.safetensors").read_bytes() == data and not part.exists()


def test_wrong_sum_leaves_nothing(server, tmp_path):
    data = contents(100_000)
    server.files = {"/model": data[:-1] + bytes([data[-1] ^ 1])}
    result, model = download(server, tmp_path, [("model.safetensors", "/model", data)])
    assert result.returncode != 0
    assert "SHA-256 is" in result.stderr
    assert list(model.iterdir()) == []
    # A damaged file under its own name is replaced.
    (model / "model.safetensors").write_bytes(b"damaged")
    server.files = {"/model": data}
    result, model = download(server, tmp_path, [("model.safetensors", "/model", data)])
    assert result.returncode == 0 and (model / "model.safetensors").read_bytes() == data


def test_missing_file_fails(server, tmp_path):
    result, model = download(server, tmp_path, [("a", "/nothing", b"x")])
    assert result.returncode != 0 and not (model / "a").exists()


def test_the_header_goes_to_the_host_and_not_into_the_log(server, tmp_path):
    canary = "Bearer canary-5f1c"
    server.files = {"/a": b"one"}
    result, _ = download(server, tmp_path, [("a", "/a", b"one")], header=f"Authorization: {canary}\n")
    assert result.returncode == 0, result.stderr
    assert server.requests[0][2] == canary
    assert "canary" not in result.stdout + result.stderr


def test_redirects_keep_to_https_and_drop_the_header(server, tmp_path):
    (tmp_path / "other").mkdir()
    other = Server(tmp_path / "other")
    try:
        other.files = {"/real": b"two"}
        bundle = server.certificate.read_text() + other.certificate.read_text()
        server.redirect = other.url("/real")
        server.certificate = tmp_path / "both.pem"
        server.certificate.write_text(bundle)
        result, model = download(server, tmp_path, [("a", "/moved", b"two")], header="Authorization: Bearer x\n")
        assert result.returncode == 0, result.stderr
        assert (model / "a").read_bytes() == b"two"
        # Another port is another origin.
        assert other.requests == [("/real", None, None)]
    finally:
        other.close()
    server.redirect = "http://localhost:9/real"
    result, _ = download(server, tmp_path, [("b", "/moved", b"three")])
    assert result.returncode != 0 and "rotocol" in result.stderr
