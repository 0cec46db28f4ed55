#include "cli/versions.h"

#include <dnnl.h>
#include <fmt/format.h>
#include <jpeglib.h>
#include <png.h>
#include <rapidjson/rapidjson.h>
#include <tiffio.h>
#include <webp/decode.h>
#include <zlib.h>

#include <CLI/Version.hpp>
#include <opencv2/core/utility.hpp>
#include <pugixml.hpp>

namespace pen::cli {
namespace {

#define PEN_TEXT2(x) #x
#define PEN_TEXT(x) PEN_TEXT2(x)

std::string dnnl_number() {
  const dnnl_version_t* v = dnnl_version();
  const bool openmp = v->cpu_runtime == DNNL_RUNTIME_OMP;
  return fmt::format("{}.{}.{}{}", v->major, v->minor, v->patch, openmp ? " (OpenMP)" : "");
}

std::string webp_number() {
  const int v = WebPGetDecoderVersion();
  return fmt::format("{}.{}.{}", v >> 16, v >> 8 & 255, v & 255);
}

// "LIBTIFF, Version 4.5.0\nCopyright ..." -> "4.5.0"
std::string tiff_number() {
  const std::string text = TIFFGetVersion();
  const std::size_t start = text.find("Version ");
  return start == std::string::npos ? text : text.substr(start + 8, text.find('\n') - start - 8);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> library_versions() {
  return {{"oneDNN", dnnl_number()},
          {"OpenCV", cv::getVersionString()},
#ifdef LIBJPEG_TURBO_VERSION
          {"libjpeg-turbo", PEN_TEXT(LIBJPEG_TURBO_VERSION)},
#else
          {"libjpeg", PEN_TEXT(JPEG_LIB_VERSION)},
#endif
          {"libpng", png_get_libpng_ver(nullptr)},
          {"libtiff", tiff_number()},
          {"libwebp", webp_number()},
          {"zlib", zlibVersion()},
          {"pugixml", fmt::format("{}.{}", PUGIXML_VERSION / 1000, PUGIXML_VERSION % 1000 / 10)},
          {"RapidJSON", RAPIDJSON_VERSION_STRING},
          {"CLI11", CLI11_VERSION},
          {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)}};
}

std::string compiler_version() {
#if defined(__clang__)
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

std::string build_type() {
  std::string type = PENUMBRA_BUILD_TYPE;
#if defined(__SANITIZE_ADDRESS__)
  type += ", address sanitizer";
#elif defined(__SANITIZE_THREAD__)
  type += ", thread sanitizer";
#endif
  return type;
}

}  // namespace pen::cli
