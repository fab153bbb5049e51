"""How the page of a review looks: light and dark, on a telephone and on paper; one text, and nothing else."""

CSS = """
:root{--bg:#fff;--card:#f5f7f9;--ink:#17202a;--soft:#4a5663;--line:#cfd6dd;--link:#0b5394;
--normal:#2e7d5b;--on:#1565c0;--lost:#a85f00;--forced:#c02626;--blind:#5b4b8a;
--h0:#eef1f4;--h1:#d5e6f5;--h2:#a5cbe9;--h3:#6aa9db;--h4:#1c5a96;--n1:#10202c;--n4:#fff;
--good:#1d6b49;--bad:#b01818;--warn:#8a4b00;--note:#0b5394}
@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;--bg:#11161c;--card:#1a222b;--ink:#e6ebf0;
--soft:#a9b5c1;--line:#38444f;--link:#8cc2f2;
--normal:#5cb88d;--on:#6cb0f5;--lost:#e0a04a;--forced:#f27b7b;--blind:#b3a2e8;
--h0:#1c242d;--h1:#17354f;--h2:#1e4c73;--h3:#2b6ca3;--h4:#9fd0f7;--n1:#f2f6fa;--n4:#0b1620;
--good:#6fd0a2;--bad:#ff9b9b;--warn:#f0b565;--note:#8cc2f2}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--bg);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC","PingFang SC",
"Microsoft YaHei",sans-serif}
header,nav,main,footer{max-width:76rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:1.5rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.25rem 0 .25rem;padding-top:.5rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1rem 0 .25rem;overflow-wrap:anywhere}
p{margin:.35rem 0;max-width:60rem}
a{color:var(--link)}
a:focus-visible,[tabindex]:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-999rem}
.skip:focus{position:static}
.vh{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.soft{color:var(--soft);font-size:.86rem}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.5rem 0}
.facts dt{color:var(--soft)}
.facts dd{margin:0;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(6.9rem,1fr));gap:.6rem;margin:1.1rem 0}
.tiles div{display:flex;flex-direction:column-reverse;justify-content:flex-end;background:var(--card);
border:1px solid var(--line);border-radius:.5rem;padding:.6rem .65rem;break-inside:avoid}
.tiles dt{color:var(--soft);font-size:.86rem}
.tiles dd{margin:0;font-size:1.2rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles .look dd{color:var(--bad)}
nav ul{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;padding:0;margin:.5rem 0;list-style:none}
nav h2{border:0;margin:0;padding:0;font-size:.86rem;color:var(--soft)}
.wide{overflow-x:auto;margin:.5rem 0;position:relative}
table{border-collapse:collapse;width:100%;font-size:.88rem}
caption{text-align:start;color:var(--soft);font-size:.86rem;padding:.15rem 0}
th,td{text-align:start;vertical-align:top;padding:.35rem .6rem .35rem 0;border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600;white-space:nowrap;border-bottom-width:2px}
tbody th{font-weight:600;min-width:6rem}
td,tbody th{overflow-wrap:anywhere}
td{min-width:4.5rem}
.n{text-align:end;font-variant-numeric:tabular-nums;white-space:nowrap;padding-inline-end:1.1rem}
thead .n{white-space:normal}
.t{white-space:nowrap;font-variant-numeric:tabular-nums}
.s{white-space:nowrap}
.l{min-width:16rem}
.m{min-width:9rem}
.a{min-width:11.5rem}
.a bdi{white-space:nowrap;font-size:.94em}
code{font:.85em/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.critical,.bad{color:var(--bad);font-weight:700}
.warning{color:var(--warn);font-weight:700}
.notice{color:var(--note);font-weight:600}
.good{color:var(--good);font-weight:700}
svg{display:block}
svg.defs{position:absolute}
svg.heat{min-width:42rem;width:100%;max-width:56rem;height:auto;font-size:11px;font-variant-numeric:tabular-nums}
svg.heat text{text-anchor:middle}
svg.heat .axis{fill:var(--soft)}
svg.heat .day{fill:var(--soft);text-anchor:end}
.h0{fill:var(--h0)}.h1{fill:var(--h1)}.h2{fill:var(--h2)}.h3{fill:var(--h3)}.h4{fill:var(--h4)}
.n1,.n2,.n3{fill:var(--n1)}.n4{fill:var(--n4)}
svg.line{width:100%;background:var(--card);border-radius:3px}
svg.line:hover{outline:1px solid var(--line)}
.grid{stroke:var(--line);stroke-width:1;fill:none;vector-effect:non-scaling-stroke}
rect.normal{fill:var(--normal)}
.on{fill:var(--on)}
rect.lost{fill:var(--lost)}
rect.forced{fill:url(#hatch);stroke:var(--forced);stroke-width:1;vector-effect:non-scaling-stroke}
.forced-fill{fill:var(--forced)}
rect.blind{fill:none;stroke:var(--blind);stroke-width:1.5;stroke-dasharray:3 2;vector-effect:non-scaling-stroke}
.share{fill:var(--on)}
.lines{display:grid;grid-template-columns:minmax(5rem,10rem) 1fr;gap:.3rem .75rem;align-items:center;margin:.75rem 0}
.lines>span{font-size:.86rem;overflow-wrap:anywhere;line-height:1.2}
.axis-row{display:flex;justify-content:space-between;font-size:.8rem;color:var(--soft)}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;padding:0;margin:.5rem 0;list-style:none;font-size:.86rem}
.legend li{display:flex;align-items:center;gap:.45rem}
.box{display:inline-block;width:1rem;height:1rem;border:1.5px solid var(--soft);border-radius:2px}
.blank{min-width:10rem}
.signature{display:grid;grid-template-columns:repeat(auto-fit,minmax(14rem,1fr));gap:1.5rem;margin:2rem 0 1rem}
.signature div{border-bottom:1px solid var(--ink);min-height:2.4rem;color:var(--soft);font-size:.86rem;
break-inside:avoid}
footer{color:var(--soft);font-size:.86rem;padding-top:1rem;padding-bottom:2rem;margin-top:1.5rem}
@media (max-width:36rem){header,nav,main,footer{padding-left:.9rem;padding-right:.9rem}
.lines{grid-template-columns:1fr;gap:.15rem}.lines>span{margin-top:.4rem}
.tiles{grid-template-columns:repeat(auto-fit,minmax(6.6rem,1fr))}}
@media print{@page{margin:14mm 12mm}
body{font-size:9.5pt}header,main,footer{max-width:none;padding-left:0;padding-right:0}
nav,.skip{display:none}a{color:inherit;text-decoration:none}
.wide{overflow:visible}table{font-size:8.5pt}thead{display:table-header-group}
td,.l,.m,.a,.blank{min-width:2.6rem}tbody th{min-width:3.6rem}thead th,.t,.a bdi{white-space:normal}
.t{word-break:keep-all;overflow-wrap:normal}
.tiles{grid-template-columns:repeat(5,1fr)}footer p:first-child{display:none}.blank{width:22%}
tr,.lines>*,.legend,.signature,svg{break-inside:avoid}h2,h3,caption{break-after:avoid}
svg.heat{min-width:0}
#sign{break-before:page}
.tiles div,svg.line,svg.heat rect,svg rect,svg path{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""
