"""The README's picture: verdict and curve of the report on all comparisons of the emoji road, light and dark.

FOLDER is where ``python -m bench.curves emoji DATA --keep FOLDER`` has been. Needs chromium.

    python -m bench.emoji_picture FOLDER
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from bench.commands import run_command
from bench.record import REPOSITORY
from tagwise.base.errors import TagwiseError

REPORT = "report {comparisons} -o emoji/shown.html --overwrite"
_REST = re.compile(r'<footer.*?</footer>|<details.*?</details>|<figure class="card">.*?</figure>', re.DOTALL)
"""Provenance and tables, for which the picture has no room."""
SIDES = (500, 2000)
"""A telephone's, for the README shows the picture that wide; in pixels of the page, each two of the picture's."""
SCHEMES = {"light": "1", "dark": "0"}
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=2")


def main() -> None:
    """Writes ``docs/emoji-light.png`` and ``docs/emoji-dark.png``."""
    folder = Path(sys.argv[1])
    comparisons = sorted(found.relative_to(folder).as_posix() for found in folder.glob("emoji/comparison-*"))
    run_command(REPORT.format(comparisons=" ".join(comparisons)), folder)
    html = (folder / "emoji" / "shown.html").read_text("utf-8")
    with tempfile.TemporaryDirectory() as name:
        page = Path(name) / "shown.html"
        page.write_text(shown(html), "utf-8")
        for scheme, number in SCHEMES.items():
            print(_photograph(page, REPOSITORY / "docs" / f"emoji-{scheme}.png", number))


def shown(html: str) -> str:
    """The page without what the picture has no room for."""
    return _REST.sub("", html)


def _photograph(page: Path, out: Path, scheme: str) -> Path:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise TagwiseError("There is no chromium here to open the report with.")
    taken = page.with_name(out.name)
    flags = [*_FLAGS, f"--user-data-dir={page.parent / 'profile'}", f"--blink-settings=preferredColorScheme={scheme}"]
    size = ",".join(map(str, SIDES))
    command = [chromium, *flags, f"--window-size={size}", f"--screenshot={taken}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True)
    with Image.open(taken) as opened:
        picture = opened.convert("RGB")
    ground = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
    content = ImageChops.difference(picture, ground).getbbox()
    assert content is not None, "the page is empty"
    picture.crop((0, 0, picture.width, content[3] + 40)).quantize(128).save(out, optimize=True)
    return out


if __name__ == "__main__":
    main()
