"""Kills a registry in the middle of pushes, and looks at what it left.

After each restart: every blob and manifest that was acknowledged is whole, and every tag points to a whole image: to the one
acknowledged last, or to one that was being pushed when the registry died.

Usage: crash.py PROGRAM CONFIG HOST:PORT CA USER:PASSWORD
"""

import base64
import hashlib
import http.client
import json
import os
import random
import ssl
import subprocess
import sys
import threading
import time

PROGRAM, CONFIG, ADDRESS, CA, LOGIN = sys.argv[1:]
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "100"))
SEED = os.environ.get("CRASH_SEED", "20260726")
PUSHERS = 6
REPOSITORIES = ["one", "two/deep"]
TAGS = 3  # of each pusher, in each repository
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
HEADERS = {"Authorization": "Basic " + base64.b64encode(LOGIN.encode()).decode()}
TLS = ssl.create_default_context(cafile=CA)


class Client:
    """One connection."""

    def __init__(self) -> None:
        self.connection = http.client.HTTPSConnection(ADDRESS, context=TLS, timeout=20)

    def call(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, str]:
        """Status, body and Location."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body or None, {**HEADERS, **named, "Content-Length": str(len(body))})
        response = self.connection.getresponse()
        return response.status, response.read(), response.headers.get("Location", "")


class Pusher(threading.Thread):
    """Pushes images until the registry is gone, and keeps account of what was acknowledged."""

    def __init__(self, number: int, rng: random.Random) -> None:
        super().__init__()
        self.number, self.rng = number, rng
        self.blobs: set[tuple[str, str]] = set()
        self.manifests: dict[tuple[str, str], list[str]] = {}  # to the blobs of each
        self.tags: dict[tuple[str, str], str] = {}
        self.pending: tuple[str, str, str] | None = None  # the tag whose push has no answer
        self.trouble = ""

    def run(self) -> None:
        try:
            client = Client()
            while not self.trouble:
                self.push(client)
        except (OSError, http.client.HTTPException):
            pass  # killed

    def push(self, client: Client) -> None:
        repository = self.rng.choice(REPOSITORIES)
        tag = f"t{self.number}-{self.rng.randrange(TAGS)}"
        contents = [self.rng.randbytes(self.rng.randrange(1, 60_000)) for _ in range(3)]
        blobs = [{"mediaType": "application/octet-stream", "digest": self.upload(client, repository, content), "size": len(content)} for content in contents]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": blobs[0], "layers": blobs[1:]}).encode()
        name = digest_of(manifest)
        self.pending = (repository, tag, name)
        if self.expect(client.call("PUT", f"/v2/{repository}/manifests/{tag}", manifest, Content_Type=MANIFEST), 201):
            self.manifests[repository, name] = [blob["digest"] for blob in blobs]
            self.tags[repository, tag] = name
        self.pending = None

    def upload(self, client: Client, repository: str, content: bytes) -> str:
        digest = digest_of(content)
        status, body, location = client.call("POST", f"/v2/{repository}/blobs/uploads/")
        self.expect((status, body, location), 202)
        location = location.removeprefix(f"https://{ADDRESS}")
        if self.rng.random() < 0.5:
            half = len(content) // 2
            answer = client.call("PATCH", location, content[:half], Content_Type="application/octet-stream")
            self.expect(answer, 202)
            location, content = answer[2].removeprefix(f"https://{ADDRESS}"), content[half:]
        if self.expect(client.call("PUT", f"{location}&digest={digest}", content, Content_Type="application/octet-stream"), 201):
            self.blobs.add((repository, digest))
        return digest

    def expect(self, answer: tuple[int, bytes, str], status: int) -> bool:
        if answer[0] != status:
            self.trouble = f"{answer[0]} instead of {status}: {answer[1][:300]!r}"
        return answer[0] == status


class Account:
    """What was acknowledged in all rounds."""

    def __init__(self) -> None:
        self.blobs: set[tuple[str, str]] = set()
        self.manifests: dict[tuple[str, str], list[str]] = {}
        self.tags: dict[tuple[str, str], set[str]] = {}  # what each may point to

    def add(self, pusher: Pusher) -> None:
        self.blobs |= pusher.blobs
        self.manifests |= pusher.manifests
        for tag, name in pusher.tags.items():
            self.tags[tag] = {name}
        if pusher.pending:
            repository, tag, name = pusher.pending
            self.tags.setdefault((repository, tag), {""}).add(name)

    def check(self, blobs: set[tuple[str, str]], manifests: dict[tuple[str, str], list[str]]) -> None:
        """Reads back what is given, and follows every tag."""
        client = Client()
        whole: set[tuple[str, str]] = set()

        def read(repository: str, kind: str, digest: str) -> bytes:
            status, content, _ = client.call("GET", f"/v2/{repository}/{kind}/{digest}", Accept=MANIFEST)
            assert status == 200, f"{repository} {kind} {digest}: {status} {content[:300]!r}"
            assert digest_of(content) == digest, f"{repository} {kind} {digest}: other bytes"
            return content

        def image(repository: str, digest: str) -> None:
            manifest = json.loads(read(repository, "manifests", digest))
            for blob in [manifest["config"], *manifest["layers"]]:
                if (repository, blob["digest"]) not in whole:
                    read(repository, "blobs", blob["digest"])
                    whole.add((repository, blob["digest"]))

        for repository, digest in sorted(blobs):
            read(repository, "blobs", digest)
            whole.add((repository, digest))
        for repository, digest in sorted(manifests):
            image(repository, digest)
        found: set[tuple[str, str]] = set()
        for repository in REPOSITORIES:
            status, body, _ = client.call("GET", f"/v2/{repository}/tags/list")
            for tag in json.loads(body)["tags"] or [] if status == 200 else []:
                status, content, _ = client.call("GET", f"/v2/{repository}/manifests/{tag}", Accept=MANIFEST)
                assert status == 200, f"{repository}:{tag}: {status} {content[:300]!r}"
                may, is_now = self.tags.get((repository, tag), set()), digest_of(content)
                assert is_now in may, f"{repository}:{tag} is {is_now}, should be one of {may}"
                self.tags[repository, tag] = {is_now}
                image(repository, is_now)
                found.add((repository, tag))
        lost = [tag for tag, may in self.tags.items() if tag not in found and "" not in may]
        assert not lost, f"tags are gone: {lost}"


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def start() -> subprocess.Popen:
    """Starts the registry and waits until it answers."""
    log = open(os.path.join(os.path.dirname(CONFIG), "registry.log"), "ab")
    server = subprocess.Popen([PROGRAM, "serve", CONFIG], stdout=log, stderr=log)
    deadline = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < deadline:
        try:
            assert Client().call("GET", "/v2/")[0] == 200
            return server
        except OSError:
            time.sleep(0.005)
    server.kill()
    sys.exit(f"the registry does not start: exit {server.wait()}")


def main() -> None:
    rng = random.Random(SEED)
    print(f"    seed {SEED}, {ROUNDS} rounds", flush=True)
    account = Account()
    server = start()
    try:
        for number in range(ROUNDS):
            pushers = [Pusher(index, random.Random(f"{SEED} {number} {index}")) for index in range(PUSHERS)]
            for pusher in pushers:
                pusher.start()
            time.sleep(rng.uniform(0.05, 0.6))  # the moment of the crash
            server.kill()
            server.wait()
            for pusher in pushers:
                pusher.join()
            server = start()
            for pusher in pushers:
                assert not pusher.trouble, pusher.trouble
                account.add(pusher)
            blobs = set().union(*(pusher.blobs for pusher in pushers))
            account.check(blobs, {key: value for pusher in pushers for key, value in pusher.manifests.items()})
        account.check(account.blobs, account.manifests)
    except AssertionError as error:
        sys.exit(f"round {number}, seed {SEED}: {error}")
    finally:
        server.kill()
        server.wait()
    print(f"    {len(account.blobs)} blobs, {len(account.manifests)} manifests, {len(account.tags)} tags: all whole")


main()
