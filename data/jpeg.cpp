#include "data/jpeg.h"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

// libjpeg's headers need FILE and size_t first
#include <jerror.h>
#include <jpeglib.h>

#include "base/check.h"
#include "data/decoders.h"

namespace pen::codec {
namespace {

// A hostile progressive file can hold thousands of scans over the whole image; real ones have about ten.
constexpr int kMaxScans = 500;

// What libjpeg's callbacks reach through client_data.
struct Callbacks {
  std::jmp_buf jump;
  char reason[JMSG_LENGTH_MAX] = {};
};

[[noreturn]] void leave(j_common_ptr info, const char* reason) {
  auto& c = *static_cast<Callbacks*>(info->client_data);
  if (reason)
    std::snprintf(c.reason, sizeof c.reason, "%s", reason);
  else
    info->err->format_message(info, c.reason);
  std::longjmp(c.jump, 1);
}

void on_error(j_common_ptr info) { leave(info, nullptr); }
// Warnings (a stray byte before a marker, a bad Huffman code that libjpeg resynchronises after) are no refusals: Pillow
// goes on after them, and sets in use hold such files. The end of the data, which libjpeg would paper over with a
// warning, is an error here, see on_empty.
void on_message(j_common_ptr, int) {}
void on_text(j_common_ptr) {}

void on_start(j_decompress_ptr) {}
boolean on_empty(j_decompress_ptr info) {
  leave(reinterpret_cast<j_common_ptr>(info), "it is truncated: the data ends before the image does");
}
void on_skip(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  if (static_cast<std::size_t>(count) > info->src->bytes_in_buffer) on_empty(info);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}
void on_end(j_decompress_ptr) {}

void on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans)
    leave(info, "it has too many scans for an image");
}

// Whether an end-of-image marker follows. Looked for from the end, where it is in all but damaged files.
bool has_end_marker(const std::uint8_t* data, std::size_t size) {
  for (std::size_t i = size; i-- > 1;)
    if (data[i] == 0xd9 && data[i - 1] == 0xff) return true;
  return false;
}

}  // namespace

struct JpegReader::State : Callbacks {
  explicit State(const DecodeLimits& bounds) : limits(bounds) {}
  ~State() {
    if (created) jpeg_destroy_decompress(&info);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  DecodeLimits limits;
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr source{};
  jpeg_progress_mgr progress{};
  bool created = false;
  bool ready = false;  // a header was read and its image was not yet
  std::string name;
  std::vector<std::uint8_t> pixels, row;

  // Runs `body`, which may leave by libjpeg's error exit (a longjmp: it must own nothing), and turns that exit into an
  // Error once the decompressor is fit for the next file.
  template <class Body>
  void guarded(Body body) {
    if (survives(body)) return;
    ready = false;
    if (created) jpeg_abort_decompress(&info);
    refuse(name, reason);
  }

  void create();
  void start(std::span<const std::uint8_t> bytes);
  void read_rows(const Rect& part, int& first_column);

 private:
  template <class Body>
  [[gnu::noinline]] bool survives(Body& body) {
    if (setjmp(jump)) return false;
    body();
    return true;
  }
};

// A new decompressor for each file: one that is used again keeps the last file's tables for files that have none.
void JpegReader::State::create() {
  if (created) jpeg_destroy_decompress(&info);
  created = false;
  info.err = jpeg_std_error(&errors);
  errors.error_exit = on_error;
  errors.emit_message = on_message;
  errors.output_message = on_text;
  info.client_data = static_cast<Callbacks*>(this);
  guarded([&] { jpeg_create_decompress(&info); });
  source.init_source = on_start;
  source.fill_input_buffer = on_empty;
  source.skip_input_data = on_skip;
  source.resync_to_restart = jpeg_resync_to_restart;
  source.term_source = on_end;
  progress.progress_monitor = on_progress;
  created = true;
}

void JpegReader::State::start(std::span<const std::uint8_t> bytes) {
  source.next_input_byte = bytes.data();
  source.bytes_in_buffer = bytes.size();
  info.src = &source;
  info.progress = &progress;
  guarded([&] { jpeg_read_header(&info, TRUE); });
  const int n = info.num_components;
  if (info.data_precision != 8 || (n != 1 && n != 3 && n != 4))
    refuse(name, str("a JPEG of ", n, " components with ", info.data_precision, " bits is not supported"));
  check_size(info.image_height, info.image_width, name, limits);
  info.out_color_space = n == 4 ? JCS_CMYK : JCS_RGB;
  info.dct_method = JDCT_ISLOW;
  info.do_fancy_upsampling = TRUE;
  ready = true;
}

// Decodes the rows of `part` and at least its columns into `pixels`; first_column is the image column of its first
// pixel.
void JpegReader::State::read_rows(const Rect& part, int& first_column) {
  const bool cmyk = info.out_color_space == JCS_CMYK;
  // Progressive and multi-scan images are rebuilt from a coefficient buffer, where smoothing across the borders of a
  // part depends on what lies outside it: those are decoded whole.
  guarded([&] { jpeg_start_decompress(&info); });
  const int height = static_cast<int>(info.output_height), width = static_cast<int>(info.output_width);
  const bool whole =
      info.progressive_mode || jpeg_has_multiple_scans(&info) || (part.height == height && part.width == width);
  JDIMENSION left = 0, columns = info.output_width;
  int skipped = 0;
  if (!whole) {
    if (!has_end_marker(source.next_input_byte, source.bytes_in_buffer)) {
      ready = false;
      jpeg_abort_decompress(&info);
      refuse(name, "it is truncated: the data ends before the image does");
    }
    // Upsampling mixes a sample with its neighbours, so that the border of what is reconstructed is wrong: one iMCU
    // more on each side.
    const int block = info.min_DCT_scaled_size;  // 8, less after shrink()
    const int mcu_width = info.max_h_samp_factor * block, mcu_height = info.max_v_samp_factor * block;
    const int from = std::max(0, part.left - mcu_width);
    const int to = std::min(width, part.left + part.width + mcu_width);
    left = static_cast<JDIMENSION>(from);
    columns = static_cast<JDIMENSION>(to - from);
    skipped = std::max(0, part.top - mcu_height);
    guarded([&] {
      if (to - from < width) jpeg_crop_scanline(&info, &left, &columns);
      if (skipped > 0) jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(skipped));
    });
  }
  first_column = static_cast<int>(left);
  const std::size_t stride = std::size_t{3} * columns;
  const int last = part.top + part.height;
  pixels.resize(stride * static_cast<std::size_t>(part.height));
  row.resize(std::size_t{4} * columns);
  guarded([&] {
    while (static_cast<int>(info.output_scanline) < last) {
      const int y = static_cast<int>(info.output_scanline) - part.top;
      std::uint8_t* direct = y >= 0 && !cmyk ? pixels.data() + stride * static_cast<std::size_t>(y) : row.data();
      JSAMPROW rows[] = {direct};
      jpeg_read_scanlines(&info, rows, 1);
      if (y < 0 || !cmyk) continue;
      // Pillow takes all four-component files for Adobe's, which store 255 minus the ink
      for (std::uint8_t& v : row) v = static_cast<std::uint8_t>(255 - v);
      cmyk_to_rgb(row.data(), columns, pixels.data() + stride * static_cast<std::size_t>(y));
    }
    if (whole) {
      // the rest is read too: it has to hold an end marker
      while (info.output_scanline < info.output_height) {
        JSAMPROW rows[] = {row.data()};
        jpeg_read_scanlines(&info, rows, 1);
      }
      jpeg_finish_decompress(&info);
    }
    jpeg_abort_decompress(&info);
  });
  ready = false;
}

JpegReader::JpegReader(const DecodeLimits& limits) : state_(std::make_unique<State>(limits)) {}
JpegReader::~JpegReader() = default;

ImageSize JpegReader::open(std::span<const std::uint8_t> bytes, const std::string& name) {
  State& s = *state_;
  s.name = name;
  s.ready = false;
  s.create();
  s.start(bytes);
  return {static_cast<int>(s.info.image_height), static_cast<int>(s.info.image_width)};
}

ImageSize JpegReader::shrink(int factor) {
  State& s = *state_;
  PEN_CHECK(s.ready, "JpegReader: shrink() without open()");
  s.info.scale_num = 1;
  s.info.scale_denom = static_cast<unsigned>(factor);
  s.guarded([&] { jpeg_calc_output_dimensions(&s.info); });
  return {static_cast<int>(s.info.output_height), static_cast<int>(s.info.output_width)};
}

ImageView JpegReader::read(const Rect& part) {
  State& s = *state_;
  PEN_CHECK(s.ready, "JpegReader: '", s.name, "' was read already; open() it again");
  int first_column = 0;
  s.read_rows(part, first_column);
  const auto stride = static_cast<std::ptrdiff_t>(s.pixels.size() / static_cast<std::size_t>(part.height));
  return {s.pixels.data() + std::ptrdiff_t{3} * (part.left - first_column), part.height, part.width, stride};
}

}  // namespace pen::codec
