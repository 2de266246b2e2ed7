"""Fetches a wheel from PyPI, if it has the SHA-256 that is expected."""

import subprocess
import sys
from pathlib import Path


def download(what: str, requirement: str, sha256: str, target: Path, platform: str, *options: str) -> Path:
    """The wheel, in the folder `target`; `what` is what messages call it, `options` go to pip."""
    file = target / "requirements.txt"
    file.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]
    command += [f"--platform={platform}", *options, "--require-hashes"]
    command += ["--requirement", str(file), "--dest", str(target)]
    result = subprocess.run(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.strip()] or ["no message"]
        errors = [line for line in lines if line.startswith("ERROR")]
        fail(f"pip could not download {what}: {(errors or lines)[-1].removeprefix('ERROR: ')}")
    return next(target.glob("*.whl"))


def fail(message: str) -> None:
    sys.exit(f"error: {message}")
