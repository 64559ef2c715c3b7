#include "page.h"

#include "chart.h"

namespace cli {

static constexpr const char* style = R"css(
:root { color-scheme: light dark; --page: #fbfbfa; --card: #ffffff; --ink: #1d2125; --soft: #6b7280;
  --rule: #e4e5e7; --c0: #2b6cb0; --c1: #d9622b; --c2: #3a8f5c; --c3: #9256b8; --c4: #b8860b; }
@media (prefers-color-scheme: dark) { :root { --page: #16181b; --card: #1e2125; --ink: #e6e8ea;
  --soft: #9aa2ac; --rule: #31363c; --c0: #6cb0f0; --c1: #f2935c; --c2: #6cc893; --c3: #c594e6;
  --c4: #e0b84a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 1.5rem; margin: 0 0 2px; }
h2 { font-size: 1.05rem; margin: 34px 0 10px; }
.lead { color: var(--soft); margin: 0 0 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.tiles div, figure, blockquote, .table { background: var(--card); border: 1px solid var(--rule);
  border-radius: 10px; }
.tiles div { padding: 12px 16px; }
.tiles b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .86rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr));
  gap: 14px; margin-top: 14px; }
figure { margin: 0; padding: 12px 14px 8px; }
figcaption { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: baseline; }
figcaption span { color: var(--soft); font-size: .86rem; }
.key i { display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 5px; }
svg { display: block; width: 100%; height: auto; margin-top: 6px; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.grid { stroke: var(--rule); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.line.c0 { stroke: var(--c0); } .line.c1 { stroke: var(--c1); } .line.c2 { stroke: var(--c2); }
.line.c3 { stroke: var(--c3); } .line.c4 { stroke: var(--c4); }
.dot { stroke: var(--card); stroke-width: 1.5; }
i.c0 { background: var(--c0); } i.c1 { background: var(--c1); } i.c2 { background: var(--c2); }
i.c3 { background: var(--c3); } i.c4 { background: var(--c4); }
.dot.c0, .area.c0 { fill: var(--c0); } .dot.c1, .area.c1 { fill: var(--c1); }
.dot.c2, .area.c2 { fill: var(--c2); } .dot.c3, .area.c3 { fill: var(--c3); }
.dot.c4, .area.c4 { fill: var(--c4); }
.area { opacity: .85; }
blockquote { margin: 0 0 12px; padding: 10px 16px; overflow-wrap: anywhere; white-space: pre-wrap;
  font: 14px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
blockquote span { display: block; color: var(--soft); font: .82rem system-ui, sans-serif; }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th { padding: 5px 16px; text-align: left; font-weight: 500; color: var(--soft); }
td { padding: 5px 16px; border-top: 1px solid var(--rule); overflow-wrap: anywhere; }
tr:first-child td { border-top: 0; }
td:first-child { color: var(--soft); white-space: nowrap; width: 1%; }
)css";

std::string html_page(const std::string& title, const std::string& lead, const Rows& tiles,
                      const std::string& body) {
  std::string html = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<title>";
  html +=
      escape_html(title) + "</title>\n<style>" + style + "</style>\n</head>\n<body>\n<main>\n<h1>";
  html += escape_html(title) + "</h1>\n<p class=\"lead\">" + escape_html(lead);
  html += "</p>\n<div class=\"tiles\">\n";
  for (const auto& [name, value] : tiles) {
    html += "<div><b>" + escape_html(value) + "</b><span>" + escape_html(name) + "</span></div>\n";
  }
  return html + "</div>\n" + body + "</main>\n</body>\n</html>\n";
}

std::string html_table(const Rows& rows) {
  std::string html = "<div class=\"table\"><table>\n";
  for (const auto& [key, value] : rows) {
    html += "<tr><td>" + escape_html(key) + "</td><td>" + escape_html(value) + "</td></tr>\n";
  }
  return html + "</table></div>\n";
}

} // namespace cli
