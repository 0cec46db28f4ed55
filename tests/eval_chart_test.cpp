// Charts and pages: well-formed, complete in themselves, and with the values in the right places.
#include <doctest/doctest.h>

#include <cmath>
#include <pugixml.hpp>

#include "eval/chart.h"
#include "eval/html_page.h"
#include "tests/scratch.h"

using namespace pen;
using namespace pen::eval;
using pen::test::check_error;

namespace {

pugi::xml_document parsed(const std::string& text) {
  pugi::xml_document document;
  const pugi::xml_parse_result result = document.load_string(text.c_str());
  CAPTURE(text);
  REQUIRE_MESSAGE(result, result.description());
  return document;
}

std::vector<std::string> paths_of(const pugi::xml_document& document, const std::string& kind) {
  std::vector<std::string> out;
  for (const auto& node : document.child("svg").children("path"))
    if (kind == node.attribute("class").value()) out.emplace_back(node.attribute("d").value());
  return out;
}

}  // namespace

TEST_CASE("chart: ticks are round and inside") {
  CHECK(round_ticks(0, 1, 5) == std::vector<double>{0, 0.2, 0.2 * 2, 0.2 * 3, 0.2 * 4, 1});
  CHECK(round_ticks(-0.3, 18.3, 8) == std::vector<double>{0, 5, 10, 15});
  CHECK(round_ticks(1.01, 1.02, 2).size() == 3);
  CHECK_THROWS(round_ticks(1, 1, 5));
  CHECK_THROWS(round_ticks(0, std::nan(""), 5));
}

TEST_CASE("chart: well-formed, values in proportion, gaps where nothing is defined") {
  Chart chart;
  chart.title = "a < b & \"c\"";
  chart.categories = {"normal", "fc", "layer4.2", "conv1"};
  chart.low = 0;
  chart.high = 1;
  chart.markers = true;
  chart.lines = {{"one", {0, 1, 2, 3}, {1, 0.5, std::nan(""), 0}}, {"two", {0, 3}, {0.25, 0.25}}};
  const pugi::xml_document document = parsed(svg(chart));
  CHECK(std::string(document.child("svg").attribute("xmlns").value()) == "http://www.w3.org/2000/svg");
  const auto lines = paths_of(document, "l");
  REQUIRE(lines.size() == 4);  // each with its sample in the legend
  double x0, y0, x1, y1, x3, y3;
  REQUIRE(std::sscanf(lines[0].c_str(), "M%lf %lfL%lf %lfM%lf %lf", &x0, &y0, &x1, &y1, &x3, &y3) == 6);
  CHECK(y1 - y0 == doctest::Approx((y3 - y0) / 2).epsilon(0.01));
  CHECK(x1 - x0 == doctest::Approx((x3 - x0) / 3).epsilon(0.01));
  std::size_t dots = 0;
  for (const auto& dot : document.child("svg").children("circle"))
    dots += std::string(dot.child("title").text().get()).find(": ") != std::string::npos;
  CHECK(dots == 5);
  CHECK(std::string(document.child("svg").child("text").text().get()) == chart.title);
}

TEST_CASE("chart: nothing, one value, and what does not fit together") {
  CHECK(svg({}).find("no values") != std::string::npos);
  Chart one;
  one.lines = {{"one", {3}, {0}}};
  parsed(svg(one));
  CHECK(svg(one).find("nan") == std::string::npos);
  one.lines[0].y.push_back(1);
  check_error(ErrorKind::run, {"one"}, [&] { svg(one); });
}

TEST_CASE("page: escaped, complete in itself") {
  // RFC 4648, section 10.
  const auto coded = [](const std::string& s) {
    return base64({reinterpret_cast<const std::uint8_t*>(s.data()), s.size()});
  };
  CHECK(coded("") == "");
  CHECK(coded("f") == "Zg==");
  CHECK(coded("fo") == "Zm8=");
  CHECK(coded("foo") == "Zm9v");
  CHECK(coded("foobar") == "Zm9vYmFy");
  const std::vector<std::uint8_t> bytes{255, 254, 253};
  HtmlPage page("<script>");
  page.heading("a & b").paragraph("x < y").table({"layer", "ssim"}, {{"fc", "1.0"}});
  page.picture("image/png", bytes, "cap \"tion\"", "alt").style("p{color:red}");
  const std::string text = page.text();
  for (const std::string part :
       {"<title>&lt;script&gt;</title>", "<h2>a &amp; b</h2>", "x &lt; y", "<td>fc</td><td>1.0</td>",
        "src=\"data:image/png;base64,//79\"", "cap &quot;tion&quot;", "p{color:red}"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, part);
  CHECK(text.find("http://") == std::string::npos);
  CHECK(text.find("https://") == std::string::npos);
  check_error(ErrorKind::run, {"1 cells", "2 columns"}, [&] { page.table({"a", "b"}, {{"c"}}); });
}
