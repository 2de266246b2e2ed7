"""Fetches the viewer rerun, from PyPI, into .rerun/ of the repository, for `--view`.

Of the wheel only the program is kept (258 MB). Its telemetry is turned off, in a configuration of its own. Does nothing
when the version wanted is already there. Any python3 from 3.9 on will do.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.dont_write_bytecode = True  # the checkout stays as it is
from wheel import download, fail  # noqa: E402

VERSION = "0.36.3"  # the one that the crate re_sdk has
SHA256 = {
    "x86_64": "287059b7154bf3881f5b32035f5772d0556d55a0a894650fb74a2605fb39afbe",
    "aarch64": "954d8980e15e71245ac91ba7120bbaeb624df2bd7a47bbbb8856fd45174d2521",
}
PROGRAM = "rerun_sdk/rerun_cli/rerun"


def main() -> None:
    folder = Path(__file__).resolve().parent.parent / ".rerun"
    if is_there(folder):
        return
    machine = platform.machine()
    if sys.platform != "linux" or machine not in SHA256:
        fail(f"no rerun {VERSION} is known for {sys.platform} on {machine}; write a file with --view FILE.rrd, and open it elsewhere")
    print(f"fetching the viewer rerun {VERSION} from PyPI (163 MB, once)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=".rerun-", dir=folder.parent) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        wheel = download("the viewer", f"rerun-sdk=={VERSION}", SHA256[machine], Path(temporary), f"manylinux_2_28_{machine}", "--abi", "abi3")
        with zipfile.ZipFile(wheel) as archive, archive.open(PROGRAM) as program:
            with (new / "rerun").open("wb") as file:
                shutil.copyfileobj(program, file)
        (new / "rerun").chmod(0o755)
        turn_telemetry_off(new)
        (new / "version").write_text(f"{VERSION}\n")
        try:
            if folder.exists():
                os.rename(folder, Path(temporary) / "old")
            os.rename(new, folder)
        except OSError:
            if not is_there(folder):  # else another process was faster
                raise


def is_there(folder: Path) -> bool:
    version = folder / "version"
    return version.is_file() and version.read_text() == f"{VERSION}\n"


def turn_telemetry_off(folder: Path) -> None:
    """Only in the configuration with which `abs` starts the program: the user's own one is the user's."""
    config = str(folder / "config")
    environment = {**os.environ, "XDG_CONFIG_HOME": config, "XDG_DATA_HOME": config}
    result = subprocess.run([str(folder / "rerun"), "analytics", "disable"], env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        fail(f"the viewer's telemetry could not be turned off: {result.stderr.strip() or result.returncode}")


if __name__ == "__main__":
    main()
