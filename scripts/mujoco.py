"""Fetches the library of MuJoCo, from PyPI, into .mujoco/ of the repository, for the engine `mujoco`.

Of the wheel only libmujoco.so is kept (7 MB). Does nothing when the version wanted is already there. Any python3 from 3.9
on will do.
"""

import os
import platform
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

sys.dont_write_bytecode = True  # the checkout stays as it is
from wheel import download, fail  # noqa: E402

VERSION = "3.17.0"  # the one that mujoco-rs 7 expects
# The wheel of one CPython is as good as that of another: its Python part is thrown away.
SHA256 = {
    "x86_64": "d66928d86a2d1b601bbaa4dc11db50214d17d5301bb8afd84721313b67ff0874",
    "aarch64": "91a70ed9979c383ff1f5c03f25cc2e1280a8254c1a8e558d5dd7f4184f01efc9",
}
LIBRARY = f"libmujoco.so.{VERSION}"


def main() -> None:
    folder = Path(__file__).resolve().parent.parent / ".mujoco"
    if (folder / LIBRARY).is_file():
        return
    machine = platform.machine()
    if sys.platform != "linux" or machine not in SHA256:
        fail(
            f"no MuJoCo {VERSION} is known for {sys.platform} on {machine}; put its library into .mujoco/ yourself, "
            f"as libmujoco.so and as {LIBRARY}"
        )
    print(f"fetching MuJoCo {VERSION} from PyPI (26 MB, once)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=".mujoco-", dir=folder.parent) as temporary:
        new = Path(temporary) / "new"
        new.mkdir()
        wheel = download("MuJoCo", f"mujoco=={VERSION}", SHA256[machine], Path(temporary), f"manylinux_2_28_{machine}")
        with zipfile.ZipFile(wheel) as archive, archive.open(f"mujoco/{LIBRARY}") as library:
            with (new / LIBRARY).open("wb") as file:
                shutil.copyfileobj(library, file)
        # The name that the linker looks for; the other is the one that the program does.
        (new / "libmujoco.so").symlink_to(LIBRARY)
        try:
            if folder.exists():
                os.rename(folder, Path(temporary) / "old")
            os.rename(new, folder)
        except OSError:
            if not (folder / LIBRARY).is_file():  # else another process was faster
                raise


if __name__ == "__main__":
    main()
