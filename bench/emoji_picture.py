"""The README's picture: the top and the test pictures of the report on the emoji road, light and dark.

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

COMPARE = (
    "compare emoji/train.csv --test emoji/test.csv --picture-column twemoji_image --class-column group "
    "--model emoji/tags0 -o emoji/shown"
)
REPORT = "report emoji/tags0 emoji/shown -o emoji/shown.html --overwrite"
SHOWN = ("Summary", "Scores on", "Class by class", "Test pictures")
"""Beginnings of the headings of the sections that the picture has room for."""
_REST = re.compile(r"<nav.*?</nav>|<footer.*?</footer>", re.DOTALL)
SIDES = (1000, 4000)
SCHEMES = {"light": "1", "dark": "0"}
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1")


def main() -> None:
    """Writes ``docs/emoji-light.png`` and ``docs/emoji-dark.png``."""
    folder = Path(sys.argv[1])
    run_command(COMPARE, folder)
    run_command(REPORT, folder)
    html = (folder / "emoji" / "shown.html").read_text("utf-8")
    with tempfile.TemporaryDirectory() as name:
        page = Path(name) / "shown.html"
        page.write_text(re.sub(r"<section.*?</section>", _kept, _REST.sub("", html), flags=re.DOTALL), "utf-8")
        for scheme, number in SCHEMES.items():
            print(_photograph(page, REPOSITORY / "docs" / f"emoji-{scheme}.png", number))


def _kept(section: re.Match[str]) -> str:
    heading = re.search(r'(?:<h2[^>]*>|aria-label=")\s*([^<"]+)', section[0])
    return section[0] if heading is not None and heading[1].startswith(SHOWN) else ""


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
    picture.crop((0, 0, SIDES[0], content[3] + 40)).quantize(128).save(out, optimize=True)
    return out


if __name__ == "__main__":
    main()
