"""The look of a report: for light and dark, wide and narrow, screen and paper; no script, no font, no picture."""

from __future__ import annotations

import base64
import hashlib

CSS = """
:root{color-scheme:light dark;--ink:#1c2128;--soft:#59636e;--line:#d1d9e0;--page:#fff;--card:#f6f8fa;--mark:#0b66c3;
--fill:#4388cc;--wave:#44729f;--warm:#c2410c;--bad:#b3261e;--good:#18743a;--seg:#f59e0b40;--seg2:#c96a04}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--soft:#9aa5b1;--line:#343b45;--page:#0f1318;--card:#171c23;
--mark:#6cb2ff;--fill:#3d7fc4;--wave:#7fb0e0;--warm:#fb923c;--bad:#ff8a80;--good:#6bd490;--seg:#f59e0b45;--seg2:#fbbf24}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:28px 20px 60px;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:0}h2{font-size:1.1rem;margin:36px 0 12px}h3{font-size:.95rem;margin:0}
p{margin:6px 0}.note,small,figcaption{color:var(--soft);font-size:.875rem}
header{display:flex;flex-wrap:wrap;gap:6px 14px;align-items:baseline}
.status{border-radius:99px;padding:1px 11px;font-size:.85rem;font-weight:600;border:1.5px solid}
.good{color:var(--good)}.warm{color:var(--warm)}.bad{color:var(--bad)}
dl.totals{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:1px;margin:20px 0 0;padding:0;
background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
.totals div{box-shadow:0 0 0 1px var(--line);padding:10px 14px}dt{color:var(--soft);font-size:.8rem}
dd{margin:0;font-size:1.15rem;font-weight:600;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:10px;background:var(--card);padding:8px}
.tall{max-height:85vh;overflow:auto}
:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
svg{display:block;font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}svg text{fill:var(--ink)}
svg.fits{margin:0 auto}svg.nearly{max-width:100%;min-width:880px;height:auto}
svg.waveform{width:100%;min-width:560px;height:auto}
.box{fill:var(--page);stroke:var(--line);stroke-width:1.5}.box.failed{stroke:var(--bad)}.id{font-weight:600;font-size:13px}
svg .type,svg .sent,svg .tick{fill:var(--soft);font-size:11px}.counts{font-variant-numeric:tabular-nums;font-size:12px}
svg .time{font-size:11px;fill:var(--mark)}svg .failures{font-size:11px;font-weight:600;fill:var(--bad);text-anchor:end}
.rail{fill:var(--line)}.share{fill:var(--fill)}
.line{fill:none;stroke:var(--soft);stroke-width:1.4}.head{fill:var(--soft)}.sent{text-anchor:middle;paint-order:stroke;stroke:var(--card);stroke-width:4px}
.bars{fill:var(--fill)}.axis{stroke:var(--soft);stroke-width:1}.mark{stroke:var(--ink);stroke-dasharray:3 2}
.mark.p99{stroke:var(--warm)}.tick.end{text-anchor:end}.tick.mid{text-anchor:middle}
.wave{fill:var(--wave)}.segment{fill:var(--seg)}.few .segment{stroke:var(--seg2);stroke-width:.8}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:12px}
.card{margin:0;border:1px solid var(--line);border-radius:10px;padding:11px 13px;background:var(--card)}
.card svg{width:100%;max-width:290px;height:auto;margin-top:8px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.875rem}
caption{text-align:left;color:var(--soft);font-size:.875rem;padding:2px 6px 8px}
th,td{padding:5px 8px;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600;white-space:nowrap}
tbody th{font-weight:600;min-width:8.5em;overflow-wrap:anywhere}
tr:last-child>*{border-bottom:0}
.n{text-align:right;white-space:nowrap;width:1%}td,th{overflow-wrap:normal}td.wide{overflow-wrap:anywhere}td.wide{min-width:220px}
pre{margin:8px 0;padding:12px;background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:auto;
font:12.5px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre-wrap;max-height:30rem}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}summary{cursor:pointer;padding:4px 0}
footer{margin-top:40px;color:var(--soft);font-size:.8rem}
@media(max-width:700px){svg.waveform .tick{font-size:17px}}
@media(max-width:560px){body{padding:18px 12px 40px}h1{font-size:1.3rem}th,td{padding:4px 6px}}
@media print{.scroll,pre{overflow:visible;max-height:none}details::details-content{content-visibility:visible}
svg,svg.nearly,svg.waveform{max-width:100%;min-width:0;height:auto}.card,tr{break-inside:avoid}}
"""

STYLE_HASH = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode("ascii")
POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'"
"""What a browser may do with the page: apply this style, and nothing else."""
