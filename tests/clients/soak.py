"""Sixteen clients that push, pull, log in and delete at a registry for a while, and look at its process meanwhile.

Arguments: host:port, ca, user:password (the users are user-0 and so on), process id, seconds, seconds to settle, tolerance in hundredths. Prints a line a minute and a
summary; ends with 1 when an answer is a 5xx, a transfer fails, an image is not whole at the end, memory grows beyond the tolerance after
settling, or descriptors grow.
"""

import base64
import hashlib
import http.client
import json
import os
import random
import ssl
import statistics
import sys
import threading
import time

ADDRESS, AUTHORITY, CREDENTIALS, PID = sys.argv[1:5]
SECONDS, SETTLING, TOLERANCE = (int(argument) for argument in sys.argv[5:8])
# By address: other suites rewrite the hosts file meanwhile.
HOST, PORT = "127.0.0.1", ADDRESS.rsplit(":", 1)[1]
ADDRESS = f"{HOST}:{PORT}"
CLIENTS = 16
PAUSE = 0.25  # seconds between two steps of a client: the registry is to be busy, the machine is to be shared
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
NAME, PASSWORD = CREDENTIALS.split(":", 1)

started = time.monotonic()
counts, faults, lock = {}, [], threading.Lock()


def count(what):
    with lock:
        counts[what] = counts.get(what, 0) + 1


def fault(text):
    with lock:
        faults.append(text)
        if len(faults) <= 20:
            print(f"  FAULT after {time.monotonic() - started:.0f} s: {text}", file=sys.stderr, flush=True)


class Refused(Exception):
    """An answer that the step did not hope for."""


class Client:
    """One client, from an address of its own."""

    def __init__(self, number):
        self.number, self.random = number, random.Random(number)
        self.images, self.connection = {}, None
        self.basic = "Basic " + base64.b64encode(f"{NAME}-{number}:{PASSWORD}".encode()).decode()

    def request(self, method, path, body=None, headers=None, authorization=None, hoped=(200, 201, 202)):
        # A new connection now and then, so that new certificates are seen.
        if self.connection is None or self.random.random() < 0.2:
            if self.connection is not None:
                self.connection.close()
            context = ssl.create_default_context(cafile=AUTHORITY)
            source = (f"127.0.2.{self.number + 1}", 0)
            self.connection = http.client.HTTPSConnection(HOST, int(PORT), timeout=60, context=context, source_address=source)
        headers = dict(headers or {}, Authorization=authorization or self.basic)
        try:
            self.connection.request(method, path, body, headers)
            answer = self.connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            raise
        count(f"{method} {answer.status}")
        if answer.status >= 500:
            fault(f"{method} {path}: {answer.status} {content[:300]}")
        if answer.status not in hoped:
            raise Refused(f"{method} {path}: {answer.status} {content[:200]}")
        return answer, content

    def blob(self, repository, content):
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        answer, _ = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        location = answer.headers["location"].split(ADDRESS, 1)[-1]
        half = len(content) // 2
        answer, _ = self.request("PATCH", location, content[:half], {"Content-Type": "application/octet-stream"})
        location = answer.headers["location"].split(ADDRESS, 1)[-1]
        self.request("PUT", f"{location}&digest={digest}", content[half:], {"Content-Type": "application/octet-stream"})
        return {"mediaType": "application/octet-stream", "digest": digest, "size": len(content)}

    def push(self):
        repository, tag = f"soak/{self.number}/{self.random.randrange(4)}", f"t{self.random.randrange(12)}"
        layers = [self.blob(repository, self.random.randbytes(self.random.choice([1_000, 40_000, 700_000]))) for _ in range(2)]
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": self.blob(repository, b"{}"), "layers": layers}
        manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json"
        content = json.dumps(manifest).encode()
        self.request("PUT", f"/v2/{repository}/manifests/{tag}", content, {"Content-Type": MANIFEST})
        self.images[repository, tag] = content

    def check(self, repository, tag, content):
        _, found = self.request("GET", f"/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST})
        if found != content:
            fault(f"{repository}:{tag} is another manifest than was pushed")
            return
        manifest = json.loads(found)
        for descriptor in [manifest["config"], *manifest["layers"]]:
            _, blob = self.request("GET", f"/v2/{repository}/blobs/{descriptor['digest']}")
            if "sha256:" + hashlib.sha256(blob).hexdigest() != descriptor["digest"]:
                fault(f"{repository}@{descriptor['digest']} is not whole")

    def pull(self):
        if self.images:
            (repository, tag), content = self.random.choice(list(self.images.items()))
            self.check(repository, tag, content)

    def login(self):
        scope = f"repository:soak/{self.number}/0:pull,push"
        _, content = self.request("GET", f"/auth/token?service=soak&scope={scope}")
        token = json.loads(content)["token"]
        self.request("GET", f"/v2/soak/{self.number}/0/tags/list", authorization=f"Bearer {token}", hoped=(200, 404))
        if self.random.random() < 0.1:
            wrong = "Basic " + base64.b64encode(b"soak:wrong").decode()
            self.request("GET", "/auth/token?service=soak", authorization=wrong, hoped=(401, 429))

    def delete(self):
        if len(self.images) < 8:
            return
        (repository, tag), content = self.random.choice(list(self.images.items()))
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        # Every tag of it goes with it.
        self.request("DELETE", f"/v2/{repository}/manifests/{digest}")
        self.images = {key: value for key, value in self.images.items() if not (key[0] == repository and value == content)}
        self.request("HEAD", f"/v2/{repository}/manifests/{tag}", hoped=(404,))

    def run(self, until):
        steps = [self.push, self.push, self.pull, self.pull, self.pull, self.login, self.delete]
        while time.monotonic() < until:
            step = self.random.choice(steps)
            try:
                step()
                count(step.__name__)
            except (Refused, OSError, http.client.HTTPException) as error:
                fault(f"{step.__name__}: {error!r}")
            # Busier at first, so that caches are full by the time from which memory is compared.
            is_settling = time.monotonic() - started < SETTLING
            time.sleep(self.random.uniform(0, 2 * PAUSE / (8 if is_settling else 1)))


def memory():
    with open(f"/proc/{PID}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


clients = [Client(number) for number in range(CLIENTS)]
until = started + SECONDS
threads = [threading.Thread(target=client.run, args=(until,)) for client in clients]
for thread in threads:
    thread.start()
samples, minute = [], 0
while time.monotonic() < until:
    time.sleep(1)
    samples.append((time.monotonic() - started, memory(), descriptors()))
    if samples[-1][0] // 60 > minute:
        minute = samples[-1][0] // 60
        print(f"  {minute:.0f} min: {samples[-1][1] // 1024} MiB, {samples[-1][2]} descriptors, {sum(counts.values())} answers and steps, "
              f"{len(faults)} faults", flush=True)
for thread in threads:
    thread.join()

whole = 0
for client in clients:
    for (repository, tag), content in client.images.items():
        try:
            client.check(repository, tag, content)
            whole += 1
        except (Refused, OSError, http.client.HTTPException) as error:
            fault(f"at the end, {repository}:{tag}: {error!r}")

window = min(60, (SECONDS - SETTLING) / 2)
early = [sample for sample in samples if SETTLING <= sample[0] < SETTLING + window]
late = [sample for sample in samples if sample[0] >= SECONDS - window]
before, after = (statistics.median(sample[1] for sample in part) for part in (early, late))
growth = 100 * (after - before) / before
open_before, open_after = (max(sample[2] for sample in part) for part in (early, late))
print(f"  {sum(value for name, value in counts.items() if ' ' in name)} answers: " + ", ".join(f"{name} {counts[name]}" for name in sorted(counts)))
print(f"  {whole} images whole at the end; memory {before / 1024:.1f} MiB after settling, {after / 1024:.1f} MiB at the end ({growth:+.1f} %); "
      f"descriptors at most {open_before}, then {open_after}")
if growth > TOLERANCE:
    fault(f"memory grew by {growth:.1f} %")
if open_after > open_before + CLIENTS:
    fault(f"descriptors grew from {open_before} to {open_after}")
sys.exit(1 if faults else 0)
