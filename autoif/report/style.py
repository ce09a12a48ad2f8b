"""The look of every page: one inline style sheet, light and dark, from a phone's width up."""

STYLE = """
:root { color-scheme: light dark;
  --paper:#fbfaf7; --card:#ffffff; --ink:#1c2024; --soft:#5d656d; --faint:#8b9299; --rule:#e3e0d8; --wash:#f3f1eb;
  --accent:#1d5f8a; --accent-wash:#dce9f2; --base:#8a9099; --drop:#b85c2e; --drop-wash:#f6e3d8;
  --gain:#2e7d4f; --loss:#b23b3b; --open:#7a6a2f; --grid:#ece9e2; --funnel:#86aac4; }
@media (prefers-color-scheme: dark) { :root {
  --paper:#131518; --card:#1a1d21; --ink:#e7e5df; --soft:#a4aab1; --faint:#767d85; --rule:#2c3036; --wash:#202429;
  --accent:#6fb3e0; --accent-wash:#1f3645; --base:#8d949c; --drop:#e0935f; --drop-wash:#3d2a1e;
  --gain:#6cc08b; --loss:#e58080; --open:#cdb968; --grid:#272b30; --funnel:#41728f; } }
* { box-sizing:border-box; }
html { -webkit-text-size-adjust:100%; scroll-behavior:smooth; }
body { margin:0; background:var(--paper); color:var(--ink); line-height:1.55; font-size:16px;
  font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif; font-variant-numeric:tabular-nums; }
main, header, footer { max-width:66rem; margin:0 auto; padding:0 1.25rem; }
header { padding-top:2.6rem; }
h1, h2 { font-family:Charter,"Bitstream Charter","Iowan Old Style",Georgia,"Liberation Serif",serif; font-weight:600;
  letter-spacing:-.01em; line-height:1.2; overflow-wrap:anywhere; }
h1 { font-size:clamp(1.7rem,4.5vw,2.5rem); margin:.2rem 0 .8rem; }
h2 { font-size:1.5rem; margin:0 0 .3rem; }
h3 { font-size:1rem; margin:1.8rem 0 .5rem; }
p { margin:.4rem 0 .8rem; max-width:46rem; }
a { color:var(--accent); text-decoration-thickness:1px; text-underline-offset:.2em; }
section { margin:3.4rem 0; scroll-margin-top:3.5rem; }
.over { color:var(--soft); font-size:.85rem; margin:0; }
.lede { font-size:1.18rem; line-height:1.5; border-left:3px solid var(--faint); padding-left:1rem; margin:1.1rem 0 1.5rem; }
.lede.gain { border-color:var(--gain); } .lede.loss { border-color:var(--loss); } .lede.open { border-color:var(--open); }
.about { color:var(--soft); }
.note, .small { color:var(--soft); font-size:.85rem; }
.warn { border-left:3px solid var(--drop); padding:.1rem 0 .1rem 1rem; }
nav { position:sticky; top:0; z-index:2; background:var(--paper); border-bottom:1px solid var(--rule); margin-top:1.6rem; }
nav div { max-width:66rem; margin:0 auto; padding:.55rem 1.25rem; display:flex; gap:1.3rem; overflow-x:auto; font-size:.9rem;
  scrollbar-width:none; }
nav a { text-decoration:none; color:var(--soft); white-space:nowrap; } nav a:hover { color:var(--ink); }
.figures { display:grid; grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr)); gap:1px; background:var(--rule);
  border:1px solid var(--rule); border-radius:8px; overflow:hidden; }
.figures div { background:var(--card); padding:.8rem 1rem; }
.figures b { display:block; font-size:1.4rem; font-weight:600; line-height:1.25; }
.figures span { color:var(--soft); font-size:.82rem; line-height:1.3; display:block; }
.scroll { overflow-x:auto; margin:1rem 0; }
table { border-collapse:collapse; width:100%; font-size:.9rem; }
th { text-align:left; font-weight:600; color:var(--soft); font-size:.8rem; }
th, td { padding:.42rem .8rem .42rem 0; border-bottom:1px solid var(--rule); vertical-align:baseline; }
th:last-child, td:last-child { padding-right:0; }
.num { text-align:right; white-space:nowrap; }
td .ci { color:var(--soft); font-size:.82rem; white-space:nowrap; }
.tag { display:inline-block; font-size:.74rem; line-height:1.35; padding:.05rem .45rem; border-radius:1rem; background:var(--wash);
  color:var(--soft); border:1px solid var(--rule); white-space:nowrap; max-width:100%; overflow:hidden; text-overflow:ellipsis;
  vertical-align:middle; }
.tag.ok { color:var(--gain); border-color:currentColor; background:none; }
.tag.no { color:var(--drop); border-color:currentColor; background:none; }
.gain b, b.gain { color:var(--gain); } .loss b, b.loss { color:var(--loss); } .open b, b.open { color:var(--open); }
.key { display:inline-block; width:.75rem; height:.75rem; border-radius:50%; margin:0 .35rem 0 0; vertical-align:-.08rem; }
.legend { font-size:.85rem; color:var(--soft); display:flex; gap:1.2rem; flex-wrap:wrap; }
.forest { margin:1.2rem 0; }
.forest .row { display:grid; grid-template-columns:15rem 1fr 9.5rem; gap:1rem; align-items:center; padding:.55rem 0;
  border-bottom:1px solid var(--rule); }
.forest .row.scale { border:0; padding:.1rem 0 0; color:var(--faint); font-size:.75rem; }
.forest .name { line-height:1.3; } .forest .name small { display:block; color:var(--soft); }
.track { position:relative; height:2.5rem; }
.track i { position:absolute; top:0; bottom:0; width:1px; background:var(--grid); }
.track s { position:absolute; height:3px; border-radius:2px; opacity:.45; text-decoration:none; }
.track u { position:absolute; width:.8rem; height:.8rem; margin:-.33rem 0 0 -.4rem; border-radius:50%; text-decoration:none; }
.scale .track { height:1.1rem; } .scale .track span { position:absolute; transform:translateX(-50%); }
.m0 { background:var(--base); } .m1 { background:var(--accent); } .m2 { background:var(--drop); } .m3 { background:var(--open); }
.forest .diff { text-align:right; line-height:1.3; } .forest .diff small { display:block; color:var(--soft); white-space:nowrap; }
.funnel { margin:.6rem 0 1.6rem; }
.step { display:grid; grid-template-columns:21rem 1fr 6rem; gap:1.2rem; align-items:stretch; }
.step .what { padding:.5rem 0; line-height:1.35; } .step .what b { font-weight:600; overflow-wrap:anywhere; }
.step .what small { display:block; color:var(--soft); }
.step .shape { position:relative; min-height:4.4rem; margin:1px 0; }
.step svg { position:absolute; inset:0; width:100%; height:100%; display:block; }
.step .in { fill:var(--drop-wash); } .step .out { fill:var(--funnel); }
.step .outnum { padding:.5rem 0; text-align:right; line-height:1.35; } .step .outnum small { display:block; color:var(--soft); }
.step .outnum b { font-size:1.1rem; }
.chips { display:flex; flex-wrap:wrap; gap:.3rem; margin:.25rem 0 0; }
.charts { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(100%,19.5rem),1fr)); gap:1rem; margin:1rem 0; }
.chart { margin:0; background:var(--card); border:1px solid var(--rule); border-radius:8px; padding:.7rem .8rem .4rem; }
.chart figcaption { font-weight:600; font-size:.9rem; display:flex; justify-content:space-between; gap:.8rem; align-items:baseline;
  flex-wrap:wrap; }
.chart figcaption .note { font-weight:400; }
.chart svg { width:100%; height:auto; display:block; overflow:visible; }
.swatch { border-bottom:2px solid; margin-left:.5rem; } .swatch.accent { border-color:var(--accent); }
.swatch.drop { border-color:var(--drop); } .swatch.quiet { border-color:var(--base); }
svg text { fill:var(--soft); font-size:11px; font-family:inherit; } svg .label, svg .marklabel { fill:var(--faint); font-size:10px; }
svg .grid { stroke:var(--grid); } svg .axis { stroke:var(--faint); } svg .zero { stroke:var(--faint); stroke-dasharray:3 3; }
svg .mark { stroke:var(--faint); stroke-dasharray:2 3; }
svg .curve { fill:none; stroke-width:2; stroke-linejoin:round; } svg .raw { fill:none; stroke-width:1; opacity:.28; }
svg .accent { stroke:var(--accent); } svg .drop { stroke:var(--drop); } svg .quiet { stroke:var(--base); }
svg .dot { stroke-width:0; } svg .dot.accent { fill:var(--accent); } svg .dot.drop { fill:var(--drop); } svg .dot.quiet { fill:var(--base); }
svg .hit rect { fill:transparent; } svg .hit circle { fill:var(--ink); opacity:0; } svg .hit:hover circle { opacity:1; }
details { border-top:1px solid var(--rule); } details:last-of-type { border-bottom:1px solid var(--rule); }
summary { cursor:pointer; padding:.6rem 0; } summary:hover { color:var(--accent); }
details > .body { padding:0 0 1rem; }
details.long, details.long:last-of-type { border:0; } details.long > summary { padding:.2rem 0; color:var(--soft); font-size:.9rem;
  overflow-wrap:anywhere; }
.item { background:var(--card); border:1px solid var(--rule); border-left:3px solid var(--accent); border-radius:6px;
  padding:.7rem .9rem; margin:.6rem 0; min-width:0; }
.item.dropped { border-left-color:var(--drop); }
.item > :first-child { margin-top:0; } .item > :last-child { margin-bottom:0; }
.field { color:var(--soft); font-size:.8rem; margin:.7rem 0 .15rem; }
pre { margin:.3rem 0; padding:.6rem .75rem; background:var(--wash); border-radius:5px; font-size:.83rem; line-height:1.5;
  white-space:pre-wrap; overflow-wrap:anywhere; max-height:22rem; overflow-y:auto; unicode-bidi:isolate; }
pre, code { font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono","DejaVu Sans Mono",monospace; }
code { font-size:.88em; overflow-wrap:anywhere; }
pre.prose { font-family:inherit; font-size:.92rem; }
.pair { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr)); gap:.8rem; }
.pair > div { min-width:0; }
.moves { display:flex; height:1.5rem; border-radius:5px; overflow:hidden; margin:.9rem 0 .4rem; gap:1px; background:var(--paper); }
.moves i { display:block; min-width:2px; } .both { background:var(--accent); } .gained { background:var(--gain); }
.lost { background:var(--loss); } .neither { background:var(--rule); }
.bars td { padding-top:.35rem; padding-bottom:.35rem; } .bars .bar { width:34%; min-width:6rem; }
.bar span { display:block; height:.6rem; min-width:1px; border-radius:2px; background:var(--accent); opacity:.8; }
.grid2 { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr)); gap:0 2.5rem; }
footer { color:var(--faint); font-size:.82rem; padding-top:1.2rem; padding-bottom:3rem; }
.wide td { white-space:nowrap; } .runname { font-weight:600; }
@media (max-width:44rem) {
  body { font-size:15px; } header { padding-top:1.6rem; } section { margin:2.6rem 0; }
  .forest .row { grid-template-columns:1fr auto; gap:.2rem .8rem; } .forest .row .track { grid-column:1 / -1; order:3; }
  .forest .row.scale > :first-child, .forest .row.scale > :last-child { display:none; }
  .step { grid-template-columns:1fr auto; gap:0 .8rem; padding:.3rem 0; } .step .shape { grid-column:1 / -1; order:3; height:2.2rem; min-height:0; }
  .step .what, .step .outnum { padding:.4rem 0 .3rem; }
}
@media print { nav { display:none; } pre { max-height:none; } .item, .chart, .step { break-inside:avoid; } }
"""
