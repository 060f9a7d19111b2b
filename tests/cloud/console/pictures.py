"""`python -m tests.cloud.console.pictures`: draws every page of the console for docs/console.md.

Every page of every section, with the month of `month.py` behind it: at 360 px in Russian, some at 1280 px in English or
in the dark. `--all FOLDER` draws each page every way there is, to be looked at, and touches no document.
"""

import argparse
import base64
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page as Tab
from sqlalchemy import select

from cloud.access.acts import ANYBODYS, GRANTS, Act, Role
from cloud.access.models import Membership
from cloud.alerts.models import Channel, IncidentRow
from cloud.console.sections import SECTIONS
from cloud.console.shell.cookies import PATH
from cloud.releases.models import Rollout
from tests.chromium import Pages, a_browser
from tests.cloud.console import month
from tests.cloud.console.building import OWN, Console, a_console
from tests.cloud.console.month_of_updates import STOPPED
from tests.cloud.console.site import Site, missed_by_thumbs
from tests.cloud.worlds import DEVICE, a_world
from tests.real_parts import CHROMIUM

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "images" / "console"
DOCUMENT = ROOT / "docs" / "console.md"
COLUMNS = 4
MARK = re.compile(r"(<!-- pictures -->\n).*(<!-- end of pictures -->)", re.DOTALL)
HEIGHT = {360: 780, 1280: 860}
LONGEST = {360: 1500, 1280: 1100}
"""Of a page that goes on and on its beginning is enough."""
PATIENCE_MS = 300_000
QUALITY = 70
ADMIN = "admin"
IN_THE_DARK = frozenset({"now-show", "machines-show", "orders-show", "charts-show"})
ON_A_DESK = IN_THE_DARK | {
    "orders-list",
    "money-show",
    "settings-text",
    "journal-show",
    "alerts-overview",
    "releases-show",
}
NO_PICTURES = frozenset({Act.EXPORT, Act.IMPORT_FLEET})
PARTS = frozenset({"now-part", "machines-living", "alerts-open_now", "orders-evidence", "releases-living"})
"""What a page fetches by itself, and files."""
Found = dict[str, tuple[str, str]]
ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Way:
    """One way to look at a page."""

    width: int
    language: str
    scheme: str

    def file(self, page: str) -> str:
        """A name for each page seen each way."""
        return f"{page}-{self.width}-{self.language}-{self.scheme}.webp"


EVERY_WAY = [Way(w, lang, scheme) for w in HEIGHT for lang in ("ru", "en") for scheme in ("light", "dark")]


def ways(page: str) -> list[Way]:
    """Those of the document."""
    wide = [Way(1280, "en", "light")] if page in ON_A_DESK else []
    dark = [Way(360, "en", "dark")] if page in IN_THE_DARK else []
    return [Way(360, "ru", "light"), *wide, *dark]


def main(arguments: list[str] | None = None) -> int:
    """0 when all are drawn."""
    parser = argparse.ArgumentParser(prog="tests.cloud.console.pictures", description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every way there is, into this folder")
    parser.add_argument("--only", default="", help="pictures whose name holds this; touches no document")
    options = parser.parse_args(arguments)
    if CHROMIUM.where is None:
        print(CHROMIUM, file=sys.stderr)
        return 1
    folder: Path = options.all or FOLDER
    if options.all is None and not options.only:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, a_browser() as browser, _a_site(Path(data)) as (console, site, found):
        for way in EVERY_WAY:
            pages = Pages(browser)
            tabs = {who: _tab(pages, console, site, way, who) for who in (month.OWNER, ADMIN)}
            for page, (who, path) in found.items():
                if options.only in way.file(page) and (options.all or way in ways(page)):
                    _take(tabs[who], site + path, way, folder / way.file(page))
            pages.close()
    if options.all is None and not options.only:
        text = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(MARK.sub(lambda mark: mark[1] + _shown(found) + mark[2], text), encoding="utf-8")
    print(f"{len(list(folder.iterdir()))} pictures, {sum(f.stat().st_size for f in folder.iterdir()) // 1024} KiB")
    return 0


@contextmanager
def _a_site(folder: Path) -> Iterator[tuple[Console, str, Found]]:
    """The console, its address, and every page of it by name: who looks at it, and its path."""
    file = folder / "coffee.db"
    with a_world(f"sqlite:///{file}") as world, a_console(world, "https://coffee.example.com") as console:
        found = _pages(console, month.live(console, file))
        with Site(console) as site:
            yield console, site.url, found


def _pages(console: Console, order_id: str) -> Found:
    with console.cloud.database.read() as session:
        member = session.scalar(select(Membership.id).where(Membership.user_id == console.ids["guest"]))
        things = {
            "order_id": order_id, "device_uuid": DEVICE, "drink_id": f"{DEVICE}/latte", "merchant_id": OWN,
            "incident_id": session.scalar(select(IncidentRow.id).where(IncidentRow.kind == "offline")),
            "channel_id": session.scalar(select(Channel.id)), "member_id": member, "scenario": "Yookassa",
            "field": "client_info", "version": STOPPED,
            "rollout_id": session.scalar(select(Rollout.id).where(Rollout.version == STOPPED)),
        }  # fmt: skip
    named: Callable[[re.Match[str]], str] = lambda found: quote(str(things[found[1]]))  # noqa: E731
    return {
        f"{section.name}-{route.name}": (_who(route.act), PATH + ARGUMENT.sub(named, route.path))
        for section in SECTIONS for route in section.routes
        if route.method == "GET" and route.act not in NO_PICTURES and f"{section.name}-{route.name}" not in PARTS
        and set(ARGUMENT.findall(route.path)) <= things.keys()
    }  # fmt: skip


def _who(act: Act) -> str:
    """The owner, and of pages that no role sees the platform's admin."""
    return month.OWNER if act in GRANTS[Role.OWNER] | ANYBODYS else ADMIN


def _tab(pages: Pages, console: Console, site: str, way: Way, who: str) -> Tab:
    client = console.client(who)
    cookie = client.get_cookie("coffee_console", path="/console")
    assert cookie is not None
    tab = pages.open(
        viewport={"width": way.width, "height": HEIGHT[way.width]}, color_scheme=way.scheme, reduced_motion="reduce",
        device_scale_factor=1, is_mobile=way.width < 600, locale=f"{way.language}-{way.language.upper()}",
    )  # fmt: skip
    tab.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": f"{site}{PATH}"}])
    tab.goto(f"{site}{PATH}/account?lang={way.language}", timeout=PATIENCE_MS)
    return tab


def _take(tab: Tab, address: str, way: Way, file: Path) -> None:
    tab.set_viewport_size({"width": way.width, "height": HEIGHT[way.width]})
    answer = tab.goto(address, timeout=PATIENCE_MS)
    if answer is None or not answer.ok:
        raise RuntimeError(f"{address}: no such page, no picture of it")
    tab.evaluate("document.fonts.ready")
    width = int(tab.evaluate("document.documentElement.scrollWidth"))
    if width > way.width:
        print(f"{file.name}: {width} px wide")
    for words in missed_by_thumbs(tab):
        print(f"{file.name}: {words}")
    height = min(int(tab.evaluate("document.documentElement.scrollHeight")), LONGEST[way.width])
    tab.set_viewport_size({"width": way.width, "height": height})  # what is fixed at the bottom is there
    tab.wait_for_load_state("networkidle", timeout=PATIENCE_MS)  # frames within the page, too
    line = tab.context.new_cdp_session(tab)
    taken = line.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    file.write_bytes(base64.b64decode(taken["data"]))


def _shown(found: Found) -> str:
    wide = [f"![{page}](images/console/{way.file(page)})" for page in found for way in ways(page) if way.width > 600]
    small = [f"![{page}](images/console/{way.file(page)})" for page in found for way in ways(page) if way.width < 600]
    rows = [f"| {' | '.join(small[at : at + COLUMNS])} |\n" for at in range(0, len(small), COLUMNS)]
    rows.insert(1, f"|{'---|' * COLUMNS}\n")
    return "\n" + "".join(rows) + "\n" + "\n\n".join(wide) + "\n\n"


if __name__ == "__main__":
    sys.exit(main())
