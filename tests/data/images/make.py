"""Makes the gen_* files and pillow.txt: what Pillow 9.4 reads from every file here (the oracle of data_image_test).

    pip install pillow==9.4.0 "numpy<2" && python make.py

pillow.txt has one line per file: name, width, height, FNV-1a 64 of the bytes of convert("RGB"); or `name refused`.
Lines that differ on purpose carry `ours refused` at their end (see docs/parity.md).
"""
import os
import struct
import warnings
import zlib

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.RandomState(3)
W, H = 37, 29
y, x = np.mgrid[0:H, 0:W]
photo = np.stack([x * 6, y * 8, 128 + 100 * np.sin(x / 3.0 + y / 5.0)], -1) + rng.randint(-9, 10, (H, W, 3))
photo = Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))
gray = photo.convert("L")
noise = Image.fromarray(rng.randint(0, 256, (H, W)).astype(np.uint8))


def path(name):
    return os.path.join(HERE, "gen_" + name)


def write(name, data):
    with open(path(name), "wb") as f:
        f.write(data)


def read(name):
    with open(path(name), "rb") as f:
        return f.read()


def with_alpha(image):
    image = image.copy()
    image.putalpha(noise)
    return image


def png(name, depth, colour, channels=1, extra=b"", rows=None):
    def chunk(tag, body):
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    w, h = 19, 11
    rows = rows or [rng.bytes((w * depth * channels + 7) // 8) for _ in range(h)]
    header = struct.pack(">IIBBBBB", w, len(rows), depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + r for r in rows))
    write(name, b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return chunk


def pngs():
    for mode in ("1", "L", "P", "RGB"):
        photo.convert(mode).save(path(f"{mode}.png"))
    with_alpha(gray).save(path("LA.png"))
    with_alpha(photo).save(path("RGBA.png"))
    chunk = png("gray1.png", 1, 0)
    for depth in (2, 4):
        png(f"gray{depth}.png", depth, 0)
    for depth in (1, 2, 4):
        png(f"palette{depth}_short.png", depth, 3, extra=chunk(b"PLTE", rng.bytes(3 * (2**depth - 1))))
    png("palette8_short.png", 8, 3, extra=chunk(b"PLTE", rng.bytes(300)))
    png("palette8_alpha.png", 8, 3, extra=chunk(b"PLTE", rng.bytes(768)) + chunk(b"tRNS", rng.bytes(256)))
    for colour, channels in ((0, 1), (2, 3), (4, 2), (6, 4)):
        png(f"deep{colour}.png", 16, colour, channels)
    png("deep0_low.png", 16, 0, rows=[b"".join(struct.pack(">H", v) for v in rng.randint(0, 300, 19)) for _ in range(9)])
    png("rgb_key.png", 8, 2, 3, extra=chunk(b"tRNS", bytes(6)))
    write("bomb.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 100000, 50000, 8, 2, 0, 0, 0))
          + chunk(b"IDAT", zlib.compress(bytes(100))))
    write("cut.png", read("RGB.png")[:-200])
    damaged = bytearray(read("RGB.png"))
    damaged[len(damaged) // 2] ^= 255
    write("damaged.png", bytes(damaged))


def bmps():
    for mode in ("1", "L", "P", "RGB"):
        photo.convert(mode).save(path(f"{mode}.bmp"))
    w, h = 19, 11

    def bmp(name, height, bits, compression, masks=b"", palette=b"", colours=0, header=40, cut=0):
        data = b"".join(rng.bytes((w * bits + 31) // 32 * 4) for _ in range(h))
        data = data[: len(data) - cut]
        head = struct.pack("<IiiHHIIiiII", header, w, height, 1, bits, compression, len(data), 0, 0, colours, 0)
        head += masks.ljust(header - 40, b"\0") if header > 40 else masks
        at = 14 + len(head) + len(palette)
        write(name, b"BM" + struct.pack("<IHHI", at + len(data), 0, 0, at) + head + palette + data)

    bmp("555.bmp", h, 16, 0)
    bmp("565.bmp", h, 16, 3, struct.pack("<III", 0xF800, 0x7E0, 0x1F))
    bmp("32.bmp", h, 32, 0)
    bmp("32_down.bmp", -h, 32, 0)
    bmp("24_down.bmp", -h, 24, 0)
    bmp("32_fields.bmp", h, 32, 3, struct.pack("<III", 0xFF000000, 0xFF0000, 0xFF00))
    bmp("32_v5.bmp", h, 32, 3, struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000), header=124)
    bmp("32_v4_zero.bmp", h, 32, 3, header=108)
    bmp("4.bmp", h, 4, 0, palette=rng.bytes(64), colours=16)
    bmp("8_short.bmp", h, 8, 0, palette=rng.bytes(400), colours=100)
    bmp("cut.bmp", h, 24, 0, cut=5)
    pixels = b"".join(rng.bytes(20) for _ in range(h))
    head = struct.pack("<IHHHH", 12, w, h, 1, 8)
    write("os2.bmp", b"BM" + struct.pack("<IHHI", 26 + 768 + len(pixels), 0, 0, 794) + head + rng.bytes(768) + pixels)


def pnms():
    photo.save(path("p6.ppm"))
    gray.save(path("p5.pgm"))
    photo.convert("1").save(path("p4.pbm"))
    write("p1.pbm", b"P1\n# c\n5 2\n1 0 1 0 1\n01010\n")
    write("p2.pgm", b"P2 3 2 # x\n15\n0 1 2 3\n14 15")
    write("p3.ppm", b"P3\n2 1\n255\n1 2 3 255 0 9\n")
    write("p2_1000.pgm", b"P2 3 2\n1000\n0 1 2 3\n4 1000")
    write("p3_7.ppm", b"P3 2 1 7 0 1 2 3 5 7")
    write("p5_7.pgm", b"P5 8 1 7\n" + bytes(range(8)))
    write("p5_100.pgm", b"P5 200 1 100\n" + bytes(range(200)))
    write("p5_65535.pgm", b"P5 4 1 65535\n" + struct.pack(">4H", 3, 200, 300, 65535))
    write("p5_1023.pgm", b"P5 4 1 1023\n" + struct.pack(">4H", 0, 1, 3, 1023))
    write("p6_1023.ppm", b"P6 2 1 1023\n" + struct.pack(">6H", 0, 1, 3, 1023, 500, 777))
    write("p6_31.ppm", b"P6 2 1 31\n" + bytes([0, 1, 5, 30, 31, 16]))
    write("p5_comment.pgm", b"P5\n#hello 1 2\n2#x\n 2\n255\n\1\2\3\4")
    write("p6_cut.ppm", b"P6 4 4 255\n" + bytes(40))
    write("p2_over.pgm", b"P2 2 1 7 3 9")
    write("p2_cut.pgm", b"P2 3 2\n255\n0 1 2 3")
    write("p3_letter.ppm", b"P3 2 1 255 1 x 3 4 5 6")
    write("p6_empty.ppm", b"P6 0 4 255\n")


def webps():
    photo.save(path("lossy.webp"), quality=60)
    photo.save(path("lossless.webp"), lossless=True)
    with_alpha(photo).save(path("alpha.webp"), quality=70)
    with_alpha(photo).save(path("alpha_lossless.webp"), lossless=True, exact=True)
    photo.save(path("animated.webp"), save_all=True, append_images=[photo.rotate(90)])
    write("cut.webp", read("lossy.webp")[:-40])


def tiffs():
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 2)
    kinds = {"1": photo.convert("1"), "L": gray, "LA": with_alpha(gray), "P": photo.convert("P"), "RGB": photo,
             "RGBA": with_alpha(photo), "CMYK": photo.convert("CMYK"), "I16": deep, "F": photo.convert("F"),
             "LAB": photo.convert("LAB")}
    for name, image in kinds.items():
        for compression in ("raw", "tiff_lzw"):
            image.save(path(f"{name}_{compression}.tif"), compression=compression)
    kinds["1"].save(path("1_group4.tif"), compression="group4")
    photo.save(path("RGB_jpeg.tif"), compression="jpeg")
    photo.save(path("RGB_deflate.tif"), compression="tiff_adobe_deflate")
    for turn in range(2, 9):
        photo.save(path(f"turned{turn}.tif"), tiffinfo={274: turn}, compression="tiff_lzw")
    gray.save(path("white.tif"), tiffinfo={262: 0})
    write("cut.tif", read("RGB_raw.tif")[:-900])


def jpegs():
    for sampling in (0, 1, 2):
        for progressive in (0, 1):
            photo.save(path(f"{sampling}{progressive}.jpg"), quality=75, subsampling=sampling, progressive=bool(progressive))
    photo.convert("CMYK").save(path("cmyk.jpg"))
    data = read("20.jpg")
    write("no_end.jpg", data[:-2])
    write("cut_closed.jpg", data[:-60] + b"\xff\xd9")
    write("trailing.jpg", data + b"hello" * 50)
    write("half.jpg", data[: -len(data) // 8])
    write("half_progressive.jpg", read("21.jpg")[: -len(data) // 8])
    write("half_progressive_closed.jpg", read("21.jpg")[: -len(data) // 8] + b"\xff\xd9")
    for i in range(12):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[rng.randint(len(data) // 2, len(data))] = rng.randint(256)
        write(f"damaged{i}.jpg", bytes(damaged))


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


OURS_REFUSED = ("gen_p2_cut.pgm", "gen_animated.webp", "gen_F_raw.tif", "gen_F_tiff_lzw.tif", "gen_LAB_raw.tif",
                "gen_LAB_tiff_lzw.tif")

warnings.simplefilter("ignore")
for make in (pngs, bmps, pnms, webps, tiffs, jpegs):
    make()
with open(os.path.join(HERE, "pillow.txt"), "w") as out:
    for name in sorted(os.listdir(HERE)):
        if name.endswith((".py", ".txt", ".md")):
            continue
        try:
            rgb = Image.open(os.path.join(HERE, name)).convert("RGB")
            line = f"{name} {rgb.width} {rgb.height} {fnv(rgb.tobytes()):016x}"
        except Exception:
            line = f"{name} refused"
        out.write(line + (" ours refused" if name in OURS_REFUSED else "") + "\n")
