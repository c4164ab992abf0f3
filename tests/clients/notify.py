"""What a service tells systemd: notify.py SOCKET writes each message on a line, with `|` between its parts."""
import os
import socket
import sys

listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)  # as systemd's is: the service is not root
print("listening", flush=True)
while True:
    print(listener.recv(4096).decode().strip().replace("\n", "|"), flush=True)
