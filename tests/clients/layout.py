"""Makes an OCI image layout: `single`, an image for this machine, and `multi`, an index of two platforms.

Usage: layout.py DIRECTORY [SEED]. The seed makes the content another one; the same seed gives the same bytes.
"""

import gzip
import hashlib
import io
import json
import pathlib
import platform
import random
import sys
import tarfile

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def main(directory: pathlib.Path, seed: str) -> None:
    """Writes the layout."""

    def blob(media_type: str, content: bytes, **more: object) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        path = directory / "blobs" / "sha256" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    def image(architecture: str) -> dict:
        layers = [layer(f"{seed} {architecture} {number}") for number in range(3)]
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/0"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}" for plain, _ in layers]},
            "history": [{"created_by": "layout.py"} for _ in layers],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob(CONFIG, encoded(config)),
            "layers": [blob(LAYER, packed) for _, packed in layers],
        }
        return blob(MANIFEST, encoded(manifest), platform={"architecture": architecture, "os": "linux"})

    images = [image(HERE), image("s390x")]
    index = blob(INDEX, encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}))
    named = [(images[0], "single"), (index, "multi")]
    manifests = [{**one, "annotations": {"org.opencontainers.image.ref.name": name}} for one, name in named]
    (directory / "index.json").write_bytes(encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
    (directory / "oci-layout").write_bytes(encoded({"imageLayoutVersion": "1.0.0"}))


def layer(seed: str) -> tuple[bytes, bytes]:
    """A layer with one file that hardly compresses: as a tar, and packed."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        content = random.Random(seed).randbytes(200_000)
        member = tarfile.TarInfo(seed.replace(" ", "-"))
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return plain.getvalue(), gzip.compress(plain.getvalue(), mtime=0)


def encoded(value: dict) -> bytes:
    return json.dumps(value).encode()


main(pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "0")
