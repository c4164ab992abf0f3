"""A name server that knows one name: names.py ADDRESS NAME ANSWER. Writes each name that it is asked for."""
import socket
import sys


def answer(query, name, address):
    end = query.index(b"\0", 12) + 5
    question, labels = query[12:end], name.encode().split(b".")
    wanted = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    known = question[:-4].lower() == wanted
    is_a = question[-4:-2] == b"\0\1"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(address) if known and is_a else b""
    flags = b"\x85\x80" if known else b"\x85\x83"
    return query[:2] + flags + b"\0\1\0" + (b"\1" if record else b"\0") + b"\0\0\0\0" + question + record


def main():
    at, name, address = sys.argv[1:]
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((at, 53))
    print("ready", flush=True)
    while True:
        query, peer = server.recvfrom(512)
        print(query[12:].split(b"\0")[0].translate(bytes(c if c > 32 else 46 for c in range(256))).decode("ascii", "replace"), flush=True)
        server.sendto(answer(query, name, address), peer)


main()
