// Style of the report: system fonts, light and dark, and a form that prints. Colours are from the Okabe-Ito palette, which
// stays apart under the common kinds of colour blindness.

export const STYLE = `
:root { color-scheme: light dark;
  --page: #fbfbf9; --card: #ffffff; --text: #1b1f24; --soft: #5b6470; --line: #d9dce1; --tick: #eceef1;
  --r0: #0072b2; --r1: #d98200; --r2: #7a52a5; --r3: #6a7a1f; --r0-light: #cfe4f2; --r1-light: #fbe5c4; --r2-light: #e4d9f0; --r3-light: #e4ead0;
  --good: #0a7d55; --bad: #c0392b; --refused: #d0402b; --unknown: #9a4f96; --acknowledged: #0a8f63; --reads: #6f9db8;
  --phase: #45505c; --waiting: #e3c84b; --closed: #aab1ba; --gap: #c0392b14; --on-band: #ffffff; --several: #e8ebef; --stripe: #ffffff66; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171b; --card: #1c2026; --text: #e9ecf0; --soft: #9aa5b1; --line: #343b44; --tick: #282e36;
  --r0: #3a8fd0; --r1: #c98418; --r2: #9a78c8; --r3: #8b9b3a; --r0-light: #1c3a53; --r1-light: #4a3512; --r2-light: #3a2c50; --r3-light: #353c17;
  --good: #35c08c; --bad: #ff7b6b; --refused: #ff7561; --unknown: #d48bd0; --acknowledged: #2fb987; --reads: #55809b;
  --phase: #a7b3c0; --waiting: #b39a1f; --closed: #59626d; --gap: #ff7b6b1f; --on-band: #ffffff; --several: #2c333c; --stripe: #ffffff26; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 24px 64px; }
h1 { font-size: 34px; line-height: 1.15; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 0 0 4px; }
p { margin: 0 0 10px; max-width: 88ch; } .soft, .note { color: var(--soft); } .note { font-size: 13.5px; }
.verdict { border-left: 10px solid var(--good); padding: 4px 0 4px 20px; margin-bottom: 24px; }
.verdict.bad { border-color: var(--bad); } .verdict.bad h1 { color: var(--bad); } .verdict.good h1 { color: var(--good); }
.verdict p { font-size: 17px; margin: 0; } .verdict ul { margin: 8px 0 0; padding-left: 20px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 12px; margin-bottom: 28px; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; }
.figure b { display: block; font-size: 27px; line-height: 1.2; font-variant-numeric: tabular-nums; font-weight: 650; }
.figure span { font-size: 13.5px; } .figure .soft { display: block; font-size: 12.5px; }
.mark-good { color: var(--good); font-weight: 650; } .mark-bad { color: var(--bad); font-weight: 650; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px; margin-bottom: 20px; }
.scroll { overflow-x: auto; } svg.chart { display: block; width: 100%; min-width: 860px; height: auto; margin-top: 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13px; color: var(--soft); margin: 6px 0 0; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; gap: 6px; } .legend svg { width: 26px; height: 14px; flex: none; }
table { border-collapse: collapse; width: 100%; font-size: 14px; } th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; font-size: 12.5px; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.state { white-space: nowrap; } tr:last-child td { border-bottom: 0; } code { font: 13px ui-monospace, "Liberation Mono", monospace; }
svg text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: var(--text); font-variant-numeric: tabular-nums; }
svg text.label { text-anchor: end; fill: var(--soft); font-size: 12px; } svg text.axis { text-anchor: middle; fill: var(--soft); } svg text.end { text-anchor: end; }
.tick { stroke: var(--tick); } .zero { stroke: var(--soft); stroke-width: 0.8; }
.acknowledged { fill: var(--acknowledged); } .refused { fill: var(--refused); } .unknown { fill: var(--unknown); } .reads { fill: var(--reads); } .phase { fill: var(--phase); } .gap { fill: var(--gap); }
.write line { stroke-width: 1.4; opacity: 0.55; } .write path { fill: none; stroke-width: 1.8; } .write .hollow { fill: var(--card); }
.write.acknowledged line { stroke: var(--acknowledged); } .write.refused line, .write.refused path { stroke: var(--refused); } .write.unknown line, .write.unknown path { stroke: var(--unknown); }
.r0 rect { fill: var(--r0); } .r1 rect { fill: var(--r1); } .r2 rect { fill: var(--r2); } .r3 rect { fill: var(--r3); } .other rect { fill: var(--closed); }
.r0.light rect { fill: var(--r0-light); stroke: var(--r0); stroke-width: 0.8; } .r1.light rect { fill: var(--r1-light); stroke: var(--r1); stroke-width: 0.8; }
.r2.light rect { fill: var(--r2-light); stroke: var(--r2); stroke-width: 0.8; } .r3.light rect { fill: var(--r3-light); stroke: var(--r3); stroke-width: 0.8; }
svg .r0 text, svg .r1 text, svg .r2 text, svg .r3 text { fill: var(--on-band); font-weight: 600; } svg .light text.band { fill: var(--text); font-weight: 400; }
.waiting rect { fill: var(--waiting); } .waiting text { fill: #1b1f24; font-weight: 600; } .closed rect { fill: var(--closed); } .closed text { fill: var(--text); }
.several rect { fill: var(--several); stroke: var(--soft); stroke-width: 0.8; } .none rect { fill: none; stroke: var(--soft); stroke-width: 0.8; stroke-dasharray: 3 3; } svg .none text { fill: var(--soft); }
pattern rect { fill: var(--stripe); } g .stripes { fill: url(#stripes) !important; stroke: none !important; }
.bracket path { fill: none; stroke: var(--text); stroke-width: 1.4; } .bracket text { font-weight: 650; font-size: 12.5px; }
.mark line { stroke-width: 1.6; } .mark text { font-weight: 650; font-size: 12px; } .mark.plain line { stroke: var(--soft); stroke-dasharray: 4 3; }
.mark.bad line { stroke: var(--bad); } .mark.bad text { fill: var(--bad); } .mark.good line { stroke: var(--good); } .mark.good text { fill: var(--good); }
footer { color: var(--soft); font-size: 13px; }
@media print { :root { color-scheme: light; } body { font-size: 11px; background: #fff; } main { padding: 0; max-width: none; } section, .figure { break-inside: avoid; } svg.chart { min-width: 0; }
  .figures { grid-template-columns: repeat(6, 1fr); } * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
`;
