"""Writes an image of Debian's busybox, one file in OCI's layout: image.py NAME FILE."""

import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile

BUSYBOX = "/bin/busybox"
KIND = "application/vnd.oci.image."


def archive(entries):
    """A tar file of paths, each with bytes of a file, text of a symbolic link, or nothing, which is a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in entries:
            entry = tarfile.TarInfo(path)
            if content is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def digest(blob):
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def described(kind, blob, **more):
    return {"mediaType": KIND + kind, "digest": digest(blob), "size": len(blob), **more}


def packed(**value):
    return json.dumps(value).encode()


def main(name, file):
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, check=True, text=True).stdout.split()
    programs = [(f"bin/{applet}", "busybox") for applet in applets if applet != "busybox"]
    layer = archive([("bin", None), ("bin/busybox", pathlib.Path(BUSYBOX).read_bytes()), *programs])
    platform = {"architecture": "amd64", "os": "linux"}
    # What the pod's own container does with it.
    run = {"Env": ["PATH=/bin"], "Cmd": ["sleep", "1000000"]}
    config = packed(**platform, config=run, rootfs={"type": "layers", "diff_ids": [digest(layer)]})
    manifest = packed(
        schemaVersion=2,
        mediaType=f"{KIND}manifest.v1+json",
        config=described("config.v1+json", config),
        layers=[described("layer.v1.tar", layer)],
    )
    named = {"io.containerd.image.name": name}
    index = packed(
        schemaVersion=2,
        manifests=[described("manifest.v1+json", manifest, annotations=named, platform=platform)],
    )
    blobs = [(f"blobs/{digest(blob).replace(':', '/')}", blob) for blob in (layer, config, manifest)]
    layout = packed(imageLayoutVersion="1.0.0")
    pathlib.Path(file).write_bytes(archive([("oci-layout", layout), ("index.json", index), *blobs]))


main(*sys.argv[1:])
