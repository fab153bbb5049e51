"""Look at an access review in Chromium: `python tests/bench/browser.py PAGE.html OUT [axe.min.js]`.

Writes screenshots (desktop, telephone, dark) and a PDF into OUT, and prints what the console says; with axe-core
(`npm pack axe-core`) also what it finds. Not part of the tests: Chromium is large.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

CHROMIUM = ("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
LOUD = ("--enable-logging=stderr", "--v=0")
AXE = """<script>
axe.run(document).then(r => {
  document.body.innerHTML = "";
  const all = {passes: r.passes.length, incomplete: r.incomplete, violations: r.violations};
  document.title = "AXE" + JSON.stringify(all, (k, v) => k === "target" || k === "html" || !/^(any|all|none)$/.test(k)
    ? v : undefined) + "END";
});</script>"""


def chromium(*arguments: str) -> str:
    """Run it; return what it printed, and print what the page's console said."""
    done = subprocess.run([*CHROMIUM, *LOUD, *arguments], capture_output=True, text=True, timeout=120, check=True)
    for line in done.stderr.splitlines():
        if "CONSOLE" in line:
            print(line)
    return done.stdout


def main(page: Path, out: Path, axe: Path | None) -> None:
    """Look at it."""
    out.mkdir(parents=True, exist_ok=True)
    url = page.absolute().as_uri()
    chromium("--window-size=1280,1000", f"--screenshot={out / 'desktop.png'}", url)
    chromium("--window-size=1280,12000", f"--screenshot={out / 'whole.png'}", url)
    chromium(
        "--window-size=1280,1000", "--blink-settings=preferredColorScheme=0", f"--screenshot={out / 'dark.png'}", url
    )
    frame = out / "phone.html"  # a window is at least 500 wide
    frame.write_text(f'<body style="margin:0"><iframe src="{url}" width="390" height="1600" style="border:0">')
    chromium("--window-size=500,1600", f"--screenshot={out / 'phone.png'}", frame.absolute().as_uri())
    chromium("--no-pdf-header-footer", f"--print-to-pdf={out / 'print.pdf'}", url)
    if axe is None:
        return
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    probe = out / "axe.html"
    probe.write_text(text.replace("</body>", f'<script src="{axe.absolute().as_uri()}"></script>{AXE}</body>'))
    for scheme in ("1", "0"):
        settings = f"--blink-settings=preferredColorScheme={scheme}"
        found = chromium(
            settings, "--window-size=1600,1000", "--virtual-time-budget=60000", "--dump-dom", probe.absolute().as_uri()
        )
        made = re.search("AXE(.*)END", found, re.DOTALL)
        if made is None:
            print("axe did not end")
            continue
        told = json.loads(html.unescape(made[1]))
        print(f"{'dark' if scheme == '0' else 'light'}: {told['passes']} rules pass, {len(told['violations'])} do not")
        for kind in ("violations", "incomplete"):
            for one in told[kind]:
                where = [node["html"][:120] for node in one["nodes"][:3]]
                print(f"  {kind}: {one['id']} ({one['impact']}, {len(one['nodes'])}): {one['help']}: {where}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
