"""Fetches the part of libtorch that training needs, from PyPI, into .libtorch/ of the repository.

Three wheels are downloaded to a temporary folder, and refused unless they have the SHA-256 below; only headers and CPU
libraries are kept (0.5 GB). For another version, put in the hashes that `python3 -m pip hash FILE.whl` prints.
libtorch_cpu.so links the two CUDA libraries below even where there is no GPU, and needs no driver for it.
Does nothing when the version wanted is already there. Any python3 from 3.9 on will do.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "2.11.0"  # the one that tch 0.24 expects
# The SHA-256 of each wheel for CPython 3.11, by the machine it is for.
WHEELS = {
    f"torch=={VERSION}": {
        "x86_64": "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a",
        "aarch64": "d91aac77f24082809d2c5a93f52a5f085032740a1ebc9252a7b052ef5a4fddc6",
    },
    "nvidia-cuda-runtime==13.0.96": {
        "x86_64": "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        "aarch64": "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55",
    },
    "nvidia-cuda-cupti==13.0.85": {
        "x86_64": "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        "aarch64": "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151",
    },
}
WANTED = re.compile(
    r"torch/include/.*"
    r"|torch/lib/(?!.*(cuda|nvrtc|nvshmem|python|shm|global_deps))[^/]*\.so[^/]*"
    r"|nvidia/cu13/lib/lib(cudart|cupti)\.so\.13"
)
FREE_BYTES_NEEDED = 1_200_000_000


def main() -> None:
    folder = Path(__file__).resolve().parent.parent / ".libtorch"
    if is_complete(folder):
        return
    if sys.version_info < (3, 9):
        fail(f"python3 is {platform.python_version()}; at least 3.9 is needed to fetch libtorch")
    machine = platform.machine()
    if sys.platform != "linux" or any(machine not in hashes for hashes in WHEELS.values()):
        fail(
            f"no libtorch {VERSION} is known for {sys.platform} on {machine}; put one into .libtorch/torch yourself "
            "(lib/, include/, and a file build-version that holds its version)"
        )
    if shutil.disk_usage(folder.parent).free < FREE_BYTES_NEEDED:
        fail(f"libtorch needs {FREE_BYTES_NEEDED / 1e9:.1f} GB of free disk space in {folder.parent}")

    print(f"fetching libtorch {VERSION} from PyPI (about 0.5 GB, once)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=".libtorch-", dir=folder.parent) as temporary:
        wheels, new = Path(temporary) / "wheels", Path(temporary) / "new"
        wheels.mkdir()
        download(wheels, machine)
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(new, [name for name in archive.namelist() if WANTED.fullmatch(name)])
            wheel.unlink()
        (new / "torch" / "build-version").write_text(VERSION)
        try:
            if folder.exists():
                os.rename(folder, Path(temporary) / "old")
            os.rename(new, folder)
        except OSError:
            if not is_complete(folder):  # else another process was faster
                raise


def is_complete(folder: Path) -> bool:
    version_file = folder / "torch" / "build-version"
    return version_file.is_file() and version_file.read_text().strip() == VERSION


def download(target: Path, machine: str) -> None:
    """The wheels of one CPython are as good as those of another: their Python part is thrown away."""
    tags = ["manylinux_2_28", "manylinux_2_25", "manylinux_2_17", "manylinux2014"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]
    command += [f"--platform={tag}_{machine}" for tag in tags]
    requirements = target / "requirements.txt"
    lines = [f"{wheel} --hash=sha256:{hashes[machine]}\n" for wheel, hashes in WHEELS.items()]
    requirements.write_text("".join(lines))
    command += ["--dest", str(target), "--require-hashes", "--requirement", str(requirements)]
    result = subprocess.run(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.strip()] or ["no message"]
        if any("DO NOT MATCH THE HASHES" in line for line in lines):
            wheel = find(r"^\s+(\S+==\S+)", result.stderr)
            expected, got = find(r"Expected sha256 (\w+)", result.stderr), find(r"Got\s+(\w+)", result.stderr)
            fail(f"the wheel of {wheel} is not the one that was tried: its SHA-256 is {got}, must be {expected}")
        errors = [line for line in lines if line.startswith("ERROR")]
        reason = (errors or lines)[-1].removeprefix("ERROR: ")
        fail(f"pip could not download libtorch: {reason}")


def find(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else "unknown"


def fail(message: str) -> None:
    sys.exit(f"error: {message}")


if __name__ == "__main__":
    main()
