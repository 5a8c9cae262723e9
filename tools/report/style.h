#pragma once

namespace softstep::program {

/// How a report looks: on a phone, on a screen, by night, on paper. Fonts are those of the reader's system.
inline constexpr const char* page_style = R"css(:root {
  color-scheme: light dark;
  --ink: #1c1c1c; --soft: #5c5c5c; --line: #d9d9d9; --ground: #ffffff; --tint: #f4f5f6;
  --link: #0b5cad; --good: #1a7f37; --bad: #b42318;
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
main { max-width: 76rem; margin: 0 auto; padding: 1rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0 .25rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.25rem 0 .6rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--link); }
.soft, .note, caption, figcaption { color: var(--soft); }
.note { font-size: .875rem; }
.pass, .fail { font-weight: 600; white-space: nowrap; }
.pass { color: var(--good); }
.fail { color: var(--bad); }
section.entry { border-top: 2px solid var(--line); margin-top: 2.5rem; }
nav ol { padding-left: 1.4rem; }
nav li { margin: .3rem 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1.5rem; }
figure { margin: 0; min-width: 0; max-width: 46rem; }
figure > img { display: block; width: 100%; height: auto; }
figcaption { font-size: .875rem; margin-top: .3rem; }
figcaption strong { color: var(--ink); }
.tables { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 0 1.5rem; }
.scroll { overflow-x: auto; max-width: 100%; width: fit-content; border: 1px solid var(--line); border-radius: .4rem; margin: .75rem 0 1rem; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 1px; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .5rem .55rem; font-weight: 600; }
th, td { padding: .35rem .55rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); max-width: 26rem; }
thead th { background: var(--tint); vertical-align: bottom; white-space: nowrap; }
tbody th { font-weight: 500; min-width: 6rem; }
tbody th.number { min-width: 0; }
.whole { white-space: nowrap; max-width: none; }
th.number, td.number { text-align: right; white-space: nowrap; }
sub, sup { font-size: .75em; line-height: 0; }
@media (max-width: 40rem) {
  main { padding: .5rem .75rem 2rem; }
  th, td { padding: .35rem .5rem; max-width: 15rem; }
  figure > img { width: calc(100% + 1rem); margin: 0 -.5rem; }
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e6e6; --soft: #a6a6a6; --line: #3b3b3b; --ground: #191919; --tint: #242424;
    --link: #7db7ff; --good: #63d17f; --bad: #ff8f80;
  }
  figure > img { filter: invert(.9) hue-rotate(180deg); }
}
@media print {
  :root { color-scheme: light; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .scroll { overflow: visible; width: auto; border: 0; }
  table { font-size: 7.5pt; }
  th, td { padding: .2rem .35rem; }
  th.number, td.number, td .whole, thead th { white-space: normal; }
  thead { display: table-header-group; }
  tr, figure { break-inside: avoid; }
  h1, h2, h3, caption { break-after: avoid; }
  .figures { grid-template-columns: 1fr 1fr; }
  section.entry + section.entry { break-before: page; }
}
)css";

}  // namespace softstep::program
