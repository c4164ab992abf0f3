#!/usr/bin/env python3
"""Deactivates an ACME account, as its owner could from anywhere: RFC 8555, section 7.3.6.

Arguments: the account.json of the registry, the address of the ACME directory, the authority of its certificate.
"""

import base64
import json
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sign(pkcs8, message):
    """ES256: openssl writes the two numbers in DER, JWS wants them side by side."""
    with tempfile.NamedTemporaryFile() as key:
        key.write(pkcs8)
        key.flush()
        command = ["openssl", "dgst", "-sha256", "-keyform", "DER", "-sign", key.name]
        der = subprocess.run(command, input=message, capture_output=True, check=True).stdout
    numbers, at = [], 2
    for _ in range(2):
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2 : at + 2 + length], "big").to_bytes(32, "big"))
        at += 2 + length
    return b"".join(numbers)


def main():
    path, directory, authority = sys.argv[1:]
    with open(path) as file:
        account = json.load(file)["credentials"]
    context = ssl.create_default_context(cafile=authority)

    def send(address, data=None, method=None):
        headers = {"Content-Type": "application/jose+json"}
        return urllib.request.urlopen(urllib.request.Request(address, data, headers, method=method), context=context)

    addresses = json.load(send(directory))
    for _ in range(20):  # pebble refuses some nonces at random
        nonce = send(addresses["newNonce"], method="HEAD").headers["Replay-Nonce"]
        head = {"alg": "ES256", "kid": account["id"], "nonce": nonce, "url": account["id"]}
        head, body = encode(json.dumps(head).encode()), encode(b'{"status": "deactivated"}')
        signature = encode(sign(decode(account["key_pkcs8"]), f"{head}.{body}".encode()))
        request = json.dumps({"protected": head, "payload": body, "signature": signature}).encode()
        try:
            answer = json.load(send(account["id"], request))
        except urllib.error.HTTPError as error:
            if "badNonce" in (text := error.read().decode()):
                continue
            sys.exit(f"{error.code}: {text}")
        return print(answer["status"]) if answer["status"] == "deactivated" else sys.exit(f"the account is {answer['status']}")
    sys.exit("no nonce is taken")


main()
