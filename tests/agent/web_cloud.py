"""A cloud that gives one answer to whatever it is asked, over HTTP or, by an authority of a test's own, over HTTPS."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.certificates import Authority


class WebCloud(ThreadingHTTPServer):
    """`asked` is how often."""

    def __init__(self, body: bytes, authority: Authority | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.status = body, 200
        self.asked = 0
        self.url = f"{'https' if authority else 'http'}://127.0.0.1:{self.server_port}"
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.sign("cloud"))
            self.socket = context.wrap_socket(self.socket, server_side=True)


@contextmanager
def a_web_cloud(body: bytes, authority: Authority | None = None) -> Iterator[WebCloud]:
    with WebCloud(body, authority) as cloud:
        serving = threading.Thread(target=cloud.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield cloud
        finally:
            cloud.shutdown()
            serving.join()


class _Handler(BaseHTTPRequestHandler):
    server: WebCloud

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None: ...
