"""A collector of OTLP over HTTP: writes each body that is posted to /v1/traces to a file. Arguments: port, directory."""

import http.server
import sys

port, directory = int(sys.argv[1]), sys.argv[2]
count = 0


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global count
        body = self.rfile.read(int(self.headers["content-length"]))
        ending = "json" if "json" in self.headers["content-type"] else "protobuf"
        with open(f"{directory}/{count}.{ending}", "wb") as file:
            file.write(body)
        count += 1
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.send_header("content-type", self.headers["content-type"])
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Collector).serve_forever()
