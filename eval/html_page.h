// One HTML file that holds everything it shows: it opens from disk, without a server or a network.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pen::eval {

std::string base64(std::span<const std::uint8_t> bytes);
// "data:image/png;base64,...": a file as an address.
std::string data_uri(std::string_view mime, std::span<const std::uint8_t> bytes);

// Builds a page from top to bottom. Texts are escaped; markup is what the caller has made.
class HtmlPage {
 public:
  explicit HtmlPage(std::string title) : title_(std::move(title)) {}
  HtmlPage& heading(std::string_view text);
  HtmlPage& paragraph(std::string_view text);
  // A row for each; the first cell of a row is its name. Numbers are aligned right.
  HtmlPage& table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows);
  // The bytes of a picture file and the words below it; `alt` says what it shows to those who cannot see it.
  HtmlPage& picture(std::string_view mime, std::span<const std::uint8_t> bytes, std::string_view caption,
                    std::string_view alt);
  HtmlPage& markup(std::string_view html);
  // Added to the page's style sheet.
  HtmlPage& style(std::string_view css);
  // The whole document.
  std::string text() const;

 private:
  std::string title_, style_, body_;
};

}  // namespace pen::eval
