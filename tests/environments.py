"""Fresh virtual environments for tests: everything installed here, except triglot."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment_without_triglot(folder: Path) -> Path:
    """A virtual environment whose site-packages are links to this one's, without triglot; returns its python."""
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    links = folder / "links"
    links.mkdir()
    for site in {sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]}:
        for entry in Path(site).iterdir():
            if "triglot" not in entry.name.lower() and entry.suffix != ".pth":
                (links / entry.name).symlink_to(entry)
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])", cwd=folder).strip()
    Path(purelib, "links.pth").write_text(str(links))
    return python


def run(python: Path | str, *arguments: str, cwd: Path, **environment: str) -> str:
    """Runs python outside the checkout, offline, with no PYTHONPATH; returns what it printed.

    Raises:
        AssertionError: it failed; the message is what it said.
    """
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    result = subprocess.run(
        [str(python), *arguments],
        cwd=cwd,
        env={**clean, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf_home"), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, f"{result.stdout[-2000:]}\n{result.stderr[-6000:]}"
    return result.stdout


def pip_install(python: Path, *what: str, cwd: Path) -> None:
    """Installs into another environment with this one's pip, without dependencies."""
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", *what]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr[-4000:]
