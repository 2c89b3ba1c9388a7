"""A local hub of test sets."""

import http.server
import threading
from contextlib import contextmanager
from functools import partial


@contextmanager
def served_hub(root):
    """Serve a folder under the addresses of the hub; yields the endpoint. A file `.gated` requires a token."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def translate_path(self, path):
            return super().translate_path(path.replace("/resolve/main/", "/"))

        def do_GET(self):
            wanted = "Bearer secret" if (root / ".gated").exists() else None
            if wanted and self.headers["Authorization"] != wanted:
                return self.send_error(401)
            return super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=root))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
