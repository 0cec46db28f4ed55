#include "eval/report/gallery.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/json.h"
#include "data/encode.h"
#include "eval/chart.h"
#include "eval/table.h"

namespace pen::eval {
namespace {

constexpr int jpeg_quality = 88;

constexpr const char* style =
    ".bar{position:sticky;top:0;background:#fff;padding:8px 0;border-bottom:1px solid #ddd;z-index:1}\n"
    ".bar label{margin-right:18px}.card{display:inline-block;vertical-align:top;margin:8px 14px 8px 0;font-size:13px}\n"
    ".card canvas,.card img{width:180px;height:180px;margin-right:4px;background:#777}\n"
    ".card .views{white-space:nowrap}.card .name{max-width:560px;overflow-wrap:anywhere;color:#555}\n";

// Each canvas shows what its mask keeps: image * m, or image * [m > t] once the slider leaves 0; what is masked away is
// gray. Cards are sorted by the chosen metric, missing values last.
constexpr const char* script = R"js(
(function () {
  const cards = Array.from(document.querySelectorAll('.card'));
  const slider = document.getElementById('threshold'), shown = document.getElementById('threshold-value');
  const metric = document.getElementById('metric'), order = document.getElementById('order');
  function pixels(img) {
    const c = document.createElement('canvas');
    c.width = img.naturalWidth; c.height = img.naturalHeight;
    const g = c.getContext('2d');
    g.drawImage(img, 0, 0);
    return g.getImageData(0, 0, c.width, c.height);
  }
  function draw(card) {
    const t = Number(slider.value), image = card.image || (card.image = pixels(card.querySelector('.image')));
    card.querySelectorAll('.mask').forEach(function (img) {
      const mask = img.pixels || (img.pixels = pixels(img)), canvas = img.nextElementSibling;
      canvas.width = image.width; canvas.height = image.height;
      const g = canvas.getContext('2d'), out = g.createImageData(image.width, image.height);
      for (let i = 0; i < out.data.length; i += 4) {
        const m = t === 0 ? mask.data[i] / 255 : mask.data[i] > t * 255 ? 1 : 0;
        for (let k = 0; k < 3; ++k) out.data[i + k] = 119 + m * (image.data[i + k] - 119);
        out.data[i + 3] = 255;
      }
      g.putImageData(out, 0, 0);
    });
  }
  function all() {
    shown.textContent = Number(slider.value) === 0 ? 'soft mask' : Number(slider.value).toFixed(2);
    cards.forEach(draw);
  }
  function sort() {
    const sign = order.value === 'highest' ? -1 : 1, key = Number(metric.value);
    const value = function (card) { return JSON.parse(card.dataset.values)[key]; };
    cards.sort(function (a, b) {
      const x = value(a), y = value(b);
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (x - y);
    });
    cards.forEach(function (card) { card.parentNode.appendChild(card); });
  }
  slider.addEventListener('input', all);
  metric.addEventListener('change', sort);
  order.addEventListener('change', sort);
  const images = Array.from(document.querySelectorAll('.card img'));
  Promise.all(images.map(function (img) { return img.decode(); })).then(all);
  sort();
})();
)js";

std::string image_tag(const char* kind, const char* mime, const std::vector<std::uint8_t>& bytes,
                      const std::string& alt) {
  return str("<img class=\"", kind, "\" alt=\"", xml_escaped(alt), "\" title=\"", xml_escaped(alt), "\" src=\"",
             data_uri(mime, bytes), "\">");
}

std::string card(const Gallery& gallery, const GalleryItem& item) {
  PEN_CHECK(item.masks.size() == gallery.mask_names.size() && item.values.size() == gallery.metrics.size(),
            "gallery: ", item.masks.size(), " masks and ", item.values.size(), " values of '", item.path, "'");
  JsonWriter values;
  values.value(item.values);
  std::string html = str("<div class=\"card\" data-values=\"", xml_escaped(values.text()), "\"><div class=\"views\">");
  html += image_tag("image", "image/jpeg",
                    encode_jpeg(item.image.height, item.image.width, item.image.rgb, jpeg_quality), "image");
  for (std::size_t i = 0; i < item.masks.size(); ++i) {
    std::vector<std::uint8_t> gray(item.masks[i].size());
    std::transform(item.masks[i].begin(), item.masks[i].end(), gray.begin(), [](float m) {
      return static_cast<std::uint8_t>(std::lround(std::clamp(std::isfinite(m) ? m : 0.0f, 0.0f, 1.0f) * 255));
    });
    html += image_tag("mask", "image/png", encode_png(item.image.height, item.image.width, 1, gray),
                      "mask of " + gallery.mask_names[i]);
    html += "<canvas></canvas>";
  }
  html += str("</div><div class=\"name\">", xml_escaped(item.path), "</div><div>");
  for (std::size_t k = 0; k < gallery.metrics.size(); ++k)
    html += str(k ? ", " : "", xml_escaped(gallery.metrics[k]), " ", fixed(item.values[k]));
  return html + "</div></div>\n";
}

}  // namespace

void add_gallery(HtmlPage& page, const Gallery& gallery) {
  page.style(style).heading("Gallery");
  std::string names;
  for (const std::string& name : gallery.mask_names) names += (names.empty() ? "" : "; then ") + name;
  page.paragraph(str(gallery.items.size(), " images. In each row: the image, then the mask and what it keeps, of ",
                     names,
                     ". At threshold 0 masks weigh pixels as they are; above, they keep pixels whose mask is higher."));
  std::string bar = "<div class=\"bar\"><label>sorted by <select id=\"metric\">";
  for (std::size_t k = 0; k < gallery.metrics.size(); ++k)
    bar += str("<option value=\"", k, "\"", k == gallery.sorted_by ? " selected" : "", ">",
               xml_escaped(gallery.metrics[k]), "</option>");
  bar +=
      "</select></label><label><select id=\"order\"><option>highest</option><option>lowest</option></select> first"
      "</label><label>threshold <input id=\"threshold\" type=\"range\" min=\"0\" max=\"1\" step=\"0.01\" value=\"0\"> "
      "<span id=\"threshold-value\">soft mask</span></label></div>\n<div id=\"cards\">\n";
  for (const GalleryItem& item : gallery.items) bar += card(gallery, item);
  page.markup(bar + "</div>\n").markup(str("<script>", script, "</script>\n"));
}

}  // namespace pen::eval
