#include "eval/html_page.h"

#include "base/check.h"
#include "eval/chart.h"

namespace pen::eval {
namespace {

constexpr std::string_view style_sheet =
    "body{font:15px/1.45 system-ui,sans-serif;color:#222;background:#fff;max-width:1180px;margin:24px auto;"
    "padding:0 16px}\n"
    "h1{font-size:24px}h2{font-size:19px;margin-top:32px}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}\n"
    "th,td{padding:3px 10px;border-bottom:1px solid #e3e3e3;text-align:right;white-space:nowrap}\n"
    "th:first-child,td:first-child{text-align:left}\n"
    "figure{margin:12px 0}figcaption{color:#555;font-size:13px}\n"
    "img,svg{max-width:100%;height:auto}\n";

// Nothing may be fetched: even a mistake in the page could not reach out.
constexpr std::string_view policy =
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
    "'unsafe-inline'; script-src 'unsafe-inline'\">\n";

}  // namespace

std::string base64(std::span<const std::uint8_t> bytes) {
  static constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const std::uint32_t word = static_cast<std::uint32_t>(bytes[i]) << 16 |
                               (left > 1 ? static_cast<std::uint32_t>(bytes[i + 1]) << 8 : 0u) |
                               (left > 2 ? static_cast<std::uint32_t>(bytes[i + 2]) : 0u);
    out += letters[word >> 18];
    out += letters[word >> 12 & 63];
    out += left > 1 ? letters[word >> 6 & 63] : '=';
    out += left > 2 ? letters[word & 63] : '=';
  }
  return out;
}

std::string data_uri(std::string_view mime, std::span<const std::uint8_t> bytes) {
  return str("data:", mime, ";base64,", base64(bytes));
}

HtmlPage& HtmlPage::heading(std::string_view text) { return markup(str("<h2>", xml_escaped(text), "</h2>\n")); }

HtmlPage& HtmlPage::paragraph(std::string_view text) { return markup(str("<p>", xml_escaped(text), "</p>\n")); }

HtmlPage& HtmlPage::table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows) {
  std::string html = "<table><thead><tr>";
  for (const std::string& column : columns) html += str("<th>", xml_escaped(column), "</th>");
  html += "</tr></thead><tbody>\n";
  for (const auto& row : rows) {
    PEN_CHECK(row.size() == columns.size(), "page: a row of ", row.size(), " cells under ", columns.size(), " columns");
    html += "<tr>";
    for (const std::string& cell : row) html += str("<td>", xml_escaped(cell), "</td>");
    html += "</tr>\n";
  }
  return markup(html + "</tbody></table>\n");
}

HtmlPage& HtmlPage::picture(std::string_view mime, std::span<const std::uint8_t> bytes, std::string_view caption,
                            std::string_view alt) {
  return markup(str("<figure><img alt=\"", xml_escaped(alt), "\" src=\"", data_uri(mime, bytes), "\"><figcaption>",
                    xml_escaped(caption), "</figcaption></figure>\n"));
}

HtmlPage& HtmlPage::markup(std::string_view html) {
  body_ += html;
  return *this;
}

HtmlPage& HtmlPage::style(std::string_view css) {
  style_ += css;
  return *this;
}

std::string HtmlPage::text() const {
  const std::string title = xml_escaped(title_);
  return str("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n", policy,
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>", title,
             "</title>\n<style>\n", style_sheet, style_, "</style></head>\n<body><h1>", title, "</h1>\n", body_,
             "</body></html>\n");
}

}  // namespace pen::eval
