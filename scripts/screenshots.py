"""Pictures of a report as a wide and as a narrow screen show it, taken by a headless browser."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, NARROW, PHONE_HEIGHT, GAP = 1280, 400, 860, 24
COLOURS = 256
# A browser's window has a smallest width, so the narrow page stands in a frame.
FRAME = (
    '<body style="margin:0"><iframe src="{name}" '
    'style="border:0;width:{width}px;height:{height}px"></iframe>'
)


def excerpt(page: str, parts: str) -> str:
    """``page`` with those of its ``parts`` only (CSS selectors)."""
    hidden = f"<style>header, nav, section {{display: none}} {parts} {{display: block}} "
    hidden += "nav {flex-wrap: wrap} section {margin-top: 12px !important}</style>"
    return page.replace("</head>", f"{hidden}</head>")


def picture(page: str, width: int, height: int, directory: Path) -> Image.Image:
    """What a window of ``width`` shows of ``page``, as far as ``height`` and not blank below."""
    (directory / "page.html").write_text(page, encoding="utf-8")
    frame = FRAME.format(name="page.html", width=width, height=height)
    (directory / "frame.html").write_text(frame, encoding="utf-8")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"no browser: install one of {', '.join(BROWSERS)}")
    shot = directory / "shot.png"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--window-size={max(width, 600)},{height}", "--virtual-time-budget=20000"]
    command += [f"--user-data-dir={directory / 'profile'}", f"--screenshot={shot}"]
    command.append((directory / "frame.html").as_uri())
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    image = Image.open(shot).convert("RGB").crop((0, 0, width, height))
    used = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    return image.crop((0, 0, width, min(height, used[3] + GAP if used else height)))


def side_by_side(images: list[Image.Image]) -> Image.Image:
    """``images`` on a grey ground."""
    width = sum(image.width for image in images) + GAP * (len(images) + 1)
    height = max(image.height for image in images)
    ground = Image.new("RGB", (width, height + 2 * GAP), "#e4e7eb")
    left = GAP
    for image in images:
        ground.paste("white", (left, GAP, left + image.width, GAP + height))
        ground.paste(image, (left, GAP))
        left += image.width + GAP
    return ground


def save(image: Image.Image, path: Path) -> None:
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {image.width} x {image.height}, {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("directory", type=Path)
    asked = parser.parse_args()
    page = asked.report.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        wide = picture(excerpt(page, "header, #selection, #map"), WIDE, 2_400, directory)
        phones = [
            picture(excerpt(page, parts), NARROW, PHONE_HEIGHT, directory)
            for parts in ("header, #texts", "#selection", "#coverage", "#map")
        ]
    save(wide, asked.directory / f"report-{WIDE}.png")
    save(side_by_side(phones), asked.directory / f"report-{NARROW}.png")


if __name__ == "__main__":
    main()
