"""Holds many downloads open over TLS, each reading a little now and then. Arguments: host:port, ca, path, count, and a fifo.

Prints `ready` when every download has begun; then takes one line from the fifo, reads a little from each, and says `read N`, N
being how many are still open, and so on.
"""

import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

address, authority, path, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
host, port = address.rsplit(":", 1)
context = ssl.create_default_context(cafile=authority)
request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()


def begin(_):
    secured = context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host)
    secured.sendall(request)
    head = secured.recv(4096)
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"no download: {head[:200]}")
    return secured


with ThreadPoolExecutor(32) as pool:
    downloads = list(pool.map(begin, range(count)))
print("ready", flush=True)
for _ in open(sys.argv[5], encoding="ascii"):
    still = 0
    for download in downloads:
        download.settimeout(30)
        try:
            still += bool(download.recv(4096))
        except (OSError, ssl.SSLError):
            pass
    print("read", still, flush=True)
