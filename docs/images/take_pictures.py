"""Takes the picture in the README: the rollback message, as a real Chromium shows it in the demonstration.

`make pictures` runs it. It needs a Chromium: apt-get install chromium, or set CHROMIUM_PATH.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent
WITHIN = 180_000  # ms until the demonstration has gone back


def main() -> None:
    """Play the demonstration until everybody is back, and keep its alert as rollback.png."""
    names = (os.environ.get("CHROMIUM_PATH") or "chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        sys.exit("There is no Chromium here: apt-get install chromium, or set CHROMIUM_PATH.")
    with _demonstration() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 1080, "height": 900}, device_scale_factor=1.5)
        page.goto(address)
        alert = page.locator("#messages .message", has_text="it took").filter(has_text="Limit broken").first
        alert.wait_for(timeout=WITHIN)
        alert.scroll_into_view_if_needed()
        alert.screenshot(path=FOLDER / "rollback.png")
        browser.close()


@contextmanager
def _demonstration() -> Iterator[str]:
    """The address of the demonstration's page, while it runs."""
    rollout = Path(sys.executable).with_name("rollout")
    process = subprocess.Popen([rollout, "demo", "--port", "0"], stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert process.stdout is not None
        yield next(line for line in process.stdout if "Open http" in line).split()[1]
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


if __name__ == "__main__":
    main()
