#include "data/annotations.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <pugixml.hpp>

#include "base/check.h"
#include "base/file.h"

namespace pen {
namespace {

// No annotation of one image comes near this.
constexpr std::uint64_t kMaxBytes = std::uint64_t{16} << 20;
// What a JPEG can have; keeps box_in_frame far from overflow.
constexpr std::int64_t kMaxSide = 65535;

std::string_view trimmed(const char* text) {
  std::string_view view(text);
  const auto first = view.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return view.substr(first, view.find_last_not_of(" \t\r\n") - first + 1);
}

// Names what is read in every message: "annotation 'x.xml' of image 'x.JPEG': ...".
struct Place {
  const std::string& file;
  const std::string& image;
  template <class... Parts>
  [[noreturn]] void fail_with(const Parts&... parts) const {
    fail(ErrorKind::data, str("annotation '", file, "' of image '", image, "': ", parts...),
         "correct or remove this annotation");
  }
  std::int64_t integer(const pugi::xml_node& parent, const char* name) const {
    const pugi::xml_node node = parent.child(name);
    if (!node) fail_with(parent.name(), " has no ", name);
    const std::string_view text = trimmed(node.child_value());
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      fail_with(parent.name(), "/", name, " is '", text, "', which is no integer");
    return value;
  }
};

}  // namespace

Annotation AnnotationReader::parse_buffer(const std::string& file, const std::string& class_name,
                                          const std::string& image) {
  const Place place{file, image};
  pugi::xml_document document;
  const pugi::xml_parse_result result =
      document.load_buffer_inplace(buffer_.data(), buffer_.size(), pugi::parse_default, pugi::encoding_utf8);
  // Parsing in place moves text to the left only, so a byte is all that can still be told of the position.
  if (!result) place.fail_with("not valid XML near byte ", result.offset, ": ", result.description());
  const pugi::xml_node root = document.child("annotation");
  if (!root) place.fail_with("there is no <annotation> element");
  const pugi::xml_node size = root.child("size");
  if (!size) place.fail_with("annotation has no size");

  Annotation out;
  out.width = place.integer(size, "width");
  out.height = place.integer(size, "height");
  if (out.width <= 0 || out.height <= 0 || out.width > kMaxSide || out.height > kMaxSide)
    place.fail_with("the size is ", out.width, "x", out.height, ", but each side must be 1 to ", kMaxSide);
  std::string others;
  for (const pugi::xml_node object : root.children("object")) {
    const std::string_view name = trimmed(object.child_value("name"));
    if (name != class_name) {
      if (others.size() < 60) others += str(others.empty() ? " (only of '" : "', '", name);
      continue;
    }
    const pugi::xml_node bounds = object.child("bndbox");
    if (!bounds) place.fail_with("an object of class '", class_name, "' has no bndbox");
    const Box box{place.integer(bounds, "xmin"), place.integer(bounds, "ymin"), place.integer(bounds, "xmax"),
                  place.integer(bounds, "ymax")};
    const bool inside = box.xmin >= 0 && box.ymin >= 0 && box.xmax <= out.width && box.ymax <= out.height;
    if (!inside || box.xmin > box.xmax || box.ymin > box.ymax)
      place.fail_with(
          "the box x ", box.xmin, "..", box.xmax, ", y ", box.ymin, "..", box.ymax,
          inside ? " has its corners exchanged" : str(" is outside of the image (", out.width, "x", out.height, ")"));
    out.boxes.push_back(box);
  }
  if (out.boxes.empty()) place.fail_with("no object of class '", class_name, "'", others.empty() ? "" : others + "')");
  return out;
}

Annotation AnnotationReader::read(const std::string& file, const std::string& class_name, const std::string& image) {
  try {
    read_file(file, kMaxBytes, buffer_);
  } catch (const Error& error) {
    fail(ErrorKind::data, str("no annotation of image '", image, "': ", error.what()),
         "every image needs an XML file named after it (file name up to its first dot)");
  }
  return parse_buffer(file, class_name, image);
}

Annotation AnnotationReader::parse(std::span<const std::uint8_t> xml, const std::string& file,
                                   const std::string& class_name, const std::string& image) {
  PEN_CHECK_AS(data, xml.size() <= kMaxBytes, "annotation '", file, "' has ", xml.size(), " bytes, more than the ",
               kMaxBytes, " allowed");
  buffer_.assign(xml.begin(), xml.end());
  return parse_buffer(file, class_name, image);
}

Box box_in_frame(const Box& box, std::int64_t width, std::int64_t height, std::int64_t frame, bool break_ratio) {
  PEN_CHECK(width > 0 && height > 0 && frame > 0, "box_in_frame: image ", width, "x", height, ", frame ", frame);
  const double side = static_cast<double>(frame);
  const double w = static_cast<double>(width), h = static_cast<double>(height);
  double rx = side / w, ry = side / h, cx = 0, cy = 0;
  if (!break_ratio) {
    rx = ry = side / std::min(w, h);
    if (w > h)
      cx = (w * rx - side) / 2;
    else
      cy = (h * ry - side) / 2;
  }
  const auto place = [](double r, std::int64_t v, double c) {
    return static_cast<std::int64_t>(std::trunc(r * static_cast<double>(v) - c));
  };
  return {place(rx, box.xmin, cx), place(ry, box.ymin, cy), place(rx, box.xmax, cx), place(ry, box.ymax, cy)};
}

std::string voc_xml(const std::string& folder, const std::string& filename, const std::string& class_name,
                    std::int64_t width, std::int64_t height, const std::vector<Box>& boxes) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("annotation");
  const auto text = [](pugi::xml_node node, const char* name, const std::string& value) {
    node.append_child(name).text().set(value.c_str());
  };
  text(root, "folder", folder);
  text(root, "filename", filename);
  pugi::xml_node size = root.append_child("size");
  text(size, "width", std::to_string(width));
  text(size, "height", std::to_string(height));
  text(size, "depth", "3");
  for (const Box& box : boxes) {
    pugi::xml_node object = root.append_child("object");
    text(object, "name", class_name);
    pugi::xml_node bounds = object.append_child("bndbox");
    text(bounds, "xmin", std::to_string(box.xmin));
    text(bounds, "ymin", std::to_string(box.ymin));
    text(bounds, "xmax", std::to_string(box.xmax));
    text(bounds, "ymax", std::to_string(box.ymax));
  }
  struct Writer : pugi::xml_writer {
    std::string out;
    void write(const void* data, size_t bytes) override { out.append(static_cast<const char*>(data), bytes); }
  } writer;
  document.save(writer, "\t", pugi::format_indent | pugi::format_no_declaration);
  return writer.out;
}

}  // namespace pen
