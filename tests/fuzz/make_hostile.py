#!/usr/bin/env python3
"""Writes the hostile checkpoint files of corpus/pickle, corpus/zip and corpus/tar, one for each pitfall.

    tests/fuzz/make_hostile.py

Needs Python 3 alone. models_torch_hostile_test.cpp says what each file has to be refused with; good_* are accepted.
"""
import os
import struct
import zlib

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")


def save(kind, name, data):
    with open(os.path.join(FOLDER, kind, name), "wb") as out:
        out.write(data)


# ---- pickle opcodes
def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def integer(n):
    if 0 <= n < 256:
        return b"K" + bytes([n])
    if -(2**31) <= n < 2**31:
        return b"J" + struct.pack("<i", n)
    return b"\x8a\x09" + n.to_bytes(9, "little", signed=True) if n >= 2**63 else b"\x8a\x08" + struct.pack("<q", n)


def name(full):
    module, _, attribute = full.rpartition(".")
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def integers(values):
    return b"(" + b"".join(integer(v) for v in values) + b"t"


def pickled(body):
    return b"\x80\x02" + body + b"."


def storage(key="0", numel=4, type="torch.FloatStorage", view=None, legacy=True):
    tail = b"" if not legacy else (b"N" if view is None else b"(" + text(view[0]) + integer(view[1]) + integer(view[2]) + b"t")
    return b"(" + text("storage") + name(type) + text(key) + text("cpu") + integer(numel) + tail + b"tQ"


def tensor(size=(4,), stride=(1,), offset=0, stored=None, raw_size=None):
    return (
        name("torch._utils._rebuild_tensor_v2") + b"(" + (stored or storage()) + integer(offset)
        + (raw_size or integers(size)) + integers(stride) + b"\x89" + name("collections.OrderedDict") + b")Rt" + b"R"
    )


def state(value):  # {"w": value}
    return b"}" + text("w") + value + b"s"


FOUR = struct.pack("<4f", 1, 2, 3, 4)


# ---- legacy files
def legacy(body, keys=("0",), storages=None, little=True, version=1001, key_pickle=None):
    head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + pickled(b"M" + struct.pack("<H", version))
    head += pickled(b"}" + text("little_endian") + (b"\x88" if little else b"\x89") + b"s")
    list_of_keys = key_pickle or pickled(b"](" + b"".join(text(k) for k in keys) + b"e")
    if storages is None:
        storages = b"".join(struct.pack("<q", 4) + FOUR for _ in keys)
    return head + pickled(body) + list_of_keys + storages


def pickles():
    put = lambda n, *a, **k: save("pickle", n + ".pth", legacy(*a, **k))
    none = dict(keys=(), storages=b"")
    put("good_tensor", state(tensor()))
    put("good_view", state(tensor((2,), (2,), 1)))
    laughs = b"]q\x000" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) + b"0" for i in range(60))
    put("good_laughs", laughs + b"}" + text("laughs") + b"h\x3cs" + text("w") + tensor() + b"s")
    put("good_deep", b"}" + text("deep") + b"]" * 3000 + b"a" * 2999 + b"s" + text("w") + tensor() + b"s")
    put("good_sparse_memo", b"}" + b"r\xff\xff\xff\xff" + b"r\xfe\xff\xff\xff" + b"0" + state(tensor()))
    # operands of the wrong kind, stacks that run out
    put("bad_setitem_on_list", b"]" + text("k") + integer(1) + b"s", **none)
    put("bad_setitems_on_tuple", b")(" + text("k") + integer(1) + b"u", **none)
    put("bad_setitems_odd", b"}(" + text("k") + b"u", **none)
    put("bad_append_on_dict", b"}" + integer(1) + b"a", **none)
    put("bad_appends_on_text", text("x") + b"(" + integer(1) + b"e", **none)
    put("bad_additems_on_list", b"](" + integer(1) + b"\x90", **none)
    put("bad_build_on_integer", integer(1) + b"}b", **none)
    put("bad_build_on_tensor", state(tensor() + b"}b"))
    put("bad_build_attributes", name("collections.OrderedDict") + b")RK\x01b", **none)
    put("bad_reduce_on_text", text("x") + b")R", **none)
    put("bad_reduce_arguments", name("collections.OrderedDict") + b"]R", **none)
    put("bad_newobj_on_function", name("torch._utils._rebuild_tensor_v2") + b")\x81", **none)
    put("bad_key_of_list", b"}]" + integer(1) + b"s", **none)
    put("bad_set_of_dicts", b"\x8f(}\x90", **none)
    put("bad_tensor_of_text", state(name("torch._utils._rebuild_tensor_v2") + b"(" + text("0") + integer(0)
        + integers((4,)) + integers((1,)) + b"\x89)tR"), **none)
    put("bad_parameter_of_list", state(name("torch._utils._rebuild_parameter") + b"]\x88)\x87R"), **none)
    put("bad_empty_stack", b"0", **none)
    put("bad_pop_below_mark", integer(1) + b"(0", **none)
    put("bad_tuple2_below_mark", integer(1) + b"(" + integer(2) + b"\x86", **none)
    put("bad_no_mark", integer(1) + b"t", **none)
    put("bad_open_mark", integer(1) + b"(", **none)
    put("bad_two_values", b"}}", **none)
    put("bad_nothing_left", b"", **none)
    put("bad_memo_unknown", b"j\xff\xff\xff\xff", **none)
    # lengths
    put("bad_text_length", b"X\xff\xff\xff\xffab", **none)
    put("bad_text8_length", b"\x8d" + b"\xff" * 8 + b"ab", **none)
    put("bad_bytes_length", b"B\xff\xff\xff\x7fab", **none)
    put("bad_string_length", b"T\xff\xff\xff\xffab", **none)
    put("bad_long4_length", b"\x8b\xff\xff\xff\x7fab", **none)
    put("bad_long4_negative", b"\x8b\xff\xff\xff\xffab", **none)
    put("bad_long1_length", b"\x8a\xffab", **none)
    put("bad_long4_large", b"\x8b\x00\x08\x00\x00" + b"\x7f" * 2048, **none)
    put("bad_frame_length", b"\x95" + b"\xff" * 8, **none)
    put("bad_line_length", b"c" + b"m" * 5000 + b"\nx\n", **none)
    put("bad_text_not_utf8", b"X\x02\x00\x00\x00\xc3\x28", **none)
    put("bad_integer_line", b"I12x\n", **none)
    put("bad_float_line", b"F1.5.5\n", **none)
    # what acts, and opcodes that no weight file has
    put("bad_os_system", name("os.system") + text("echo") + b"\x85R", **none)
    put("bad_eval", name("builtins.eval") + text("1") + b"\x85R", **none)
    put("bad_python2_eval", name("__builtin__.eval") + text("1") + b"\x85R", **none)
    put("bad_getattr", name("builtins.getattr"), **none)
    put("bad_popen_newobj", name("subprocess.Popen") + text("echo") + b"\x85\x81", **none)
    put("bad_stack_global", text("posix") + text("system") + b"\x93", **none)
    put("bad_unknown_call", name("some.module.function") + b")R", **none)
    put("bad_torch_load", name("torch.load") + text("x") + b"\x85R", **none)
    put("bad_reconstructor", name("copyreg._reconstructor") + b"(" + name("a.B") + name("builtins.dict") + b"}tR", **none)
    put("bad_inst", b"(ios\nsystem\n", **none)
    put("bad_obj", b"(" + name("a.B") + b"o", **none)
    put("bad_persid", b"P0\n", **none)
    put("bad_ext", b"\x82\x01", **none)
    put("bad_next_buffer", b"\x97", **none)
    put("bad_protocol", b"\x80\x09}", **none)
    # tensors and storages
    put("bad_size_product", state(tensor((2**62, 4), (1, 1))))
    put("bad_size_negative", state(tensor((-4,), (1,))))
    put("bad_stride_negative", state(tensor((4,), (-1,), 3)))
    put("bad_stride_overflow", state(tensor((3, 3), (2**62, 2**62))))
    put("bad_offset_negative", state(tensor(offset=-1)))
    put("bad_offset_huge", state(tensor(offset=2**63 - 1)))
    put("bad_outside_storage", state(tensor((5,), (1,))))
    put("bad_outside_by_stride", state(tensor((2,), (4,))))
    put("bad_size_stride_lengths", state(tensor((2, 2), (1,))))
    put("bad_size_nan", state(tensor(raw_size=b"(G\x7f\xf8\x00\x00\x00\x00\x00\x00t")))
    put("bad_size_bool", state(tensor(raw_size=b"(\x88t")))
    put("bad_size_big", state(tensor((2**64,), (1,))))
    put("bad_65_dimensions", state(tensor((1,) * 65, (1,) * 65)))
    # legal to describe, refused when it is read
    put("expand", state(tensor((2**40,), (0,))))
    put("bad_numel_overflow", state(tensor(stored=storage(numel=2**62))))
    put("bad_numel_negative", state(tensor(stored=storage(numel=-1))))
    put("bad_complex", state(tensor(stored=storage(type="torch.ComplexFloatStorage"))))
    put("bad_quantised", state(tensor(stored=storage(type="torch.QInt8Storage"))))
    put("bad_sparse", state(name("torch._utils._rebuild_sparse_tensor") + b")R"), **none)
    put("bad_storage_class", state(tensor(stored=storage(type="other.FloatStorage"))))
    put("bad_two_types", b"}" + text("a") + tensor() + b"s" + text("b")
        + tensor((2,), (1,), stored=storage(numel=2, type="torch.LongStorage")) + b"s")
    put("bad_view_outside", state(tensor((1,), (1,), stored=storage(view=("v", 3, 2)))))
    put("good_view_metadata", state(tensor((2,), (1,), stored=storage(view=("v", 2, 2)))))
    put("bad_module", state(b"(" + text("module") + name("a.Net") + text("net.py") + text("class Net") + b"tQ"), **none)
    put("bad_persistent_integer", state(integer(7) + b"Q"), **none)
    put("bad_count_differs", state(tensor()), storages=struct.pack("<q", 5) + FOUR + b"\0" * 4)
    put("bad_count_negative", state(tensor()), storages=struct.pack("<q", -1) + FOUR)
    put("bad_storage_short", state(tensor()), storages=struct.pack("<q", 4) + FOUR[:9])
    put("bad_storage_missing", state(tensor()), **none)
    put("bad_storage_unused", b"}")
    put("bad_storage_twice", state(tensor()), keys=("0", "0"))
    put("bad_keys_no_list", state(tensor()), key_pickle=pickled(b"}"))
    put("bad_big_endian", state(tensor()), little=False)
    put("bad_version", state(tensor()), version=1000)
    put("good_trailing", state(tensor()), storages=struct.pack("<q", 4) + FOUR + b"tail")
    # numpy
    dtype = name("numpy.dtype") + text("f4") + b"\x89\x88\x87R(" + integer(3) + text("<") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    array = lambda shape, data: (name("numpy.core.multiarray._reconstruct") + name("numpy.ndarray") + integer(0) + b"\x85"
        + b"C\x01b\x87R(" + integer(1) + integers(shape) + dtype + b"\x89C" + bytes([len(data)]) + data + b"tb")
    put("good_numpy", b"}" + text("a") + array((2, 2), FOUR) + b"s" + text("w") + tensor() + b"s")
    put("bad_numpy_bytes", state(array((2, 3), FOUR)), **none)
    put("bad_numpy_overflow", state(array((2**40, 2**40), FOUR)), **none)
    put("bad_numpy_scalar", state(name("numpy.core.multiarray.scalar") + dtype + b"C\x03abc\x86R"), **none)
    put("bad_numpy_object", state(name("numpy.dtype") + text("O8") + b"\x89\x88\x87R"), **none)
    put("bad_numpy_big_endian", state(name("numpy.dtype") + text("f4") + b"\x89\x88\x87R(" + integer(3) + text(">") + b"NNN" + b"tb"), **none)


# ---- zip files
def archive(entries, patch_central=None, patch_local=None, tail=b"", count=None, size=None, begin=None, wide=True,
            wide_count=None, comment=b"", disk=0, between=b""):
    """entries: (name, data). The patches change fields by (index, dict); None leaves the format as PyTorch writes it."""
    out, central = b"", b""
    offsets = {}
    for i, (entry, data) in enumerate(entries):
        local = dict(name=entry.encode(), flags=0x0808, method=0, crc=0, packed=0, size=0)
        local.update((patch_local or {}).get(i, {}))
        record = dict(name=entry.encode(), flags=0x0808, method=0, crc=zlib.crc32(data), packed=len(data), size=len(data),
                      at=len(out), extra=b"")
        offsets[i] = len(out)
        record.update((patch_central or {}).get(i, {}))
        if callable(record["at"]):
            record["at"] = record["at"](offsets)
        out += struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, local["flags"], local["method"], 0, 0, local["crc"], local["packed"],
                           local["size"], len(local["name"]), 0) + local["name"] + data
        out += struct.pack("<IIII", 0x08074B50, zlib.crc32(data), len(data), len(data))
        central += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 0, 0, record["flags"], record["method"], 0, 0, record["crc"],
                               record["packed"], record["size"], len(record["name"]), len(record["extra"]), 0, 0, 0, 0,
                               record["at"]) + record["name"] + record["extra"]
    out += between
    where = len(out)
    n = len(entries) if count is None else count
    length = len(central) if size is None else size
    start = where if begin is None else begin
    out += central
    if wide:
        here = len(out)
        w = n if wide_count is None else wide_count
        out += struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 0, 0, 0, 0, w, w, length, start)
        out += struct.pack("<IIQI", 0x07064B50, 0, here, 1)
    narrow = lambda v, top: min(v, top)
    out += struct.pack("<IHHHHIIH", 0x06054B50, disk, 0, narrow(n, 0xFFFF), narrow(n, 0xFFFF), narrow(length, 0xFFFFFFFF),
                       narrow(start, 0xFFFFFFFF), len(comment)) + comment
    return out + tail


def zips():
    body = pickled(state(tensor(stored=storage(legacy=False))))
    good = [("a/data.pkl", body), ("a/data/0", FOUR), ("a/version", b"3\n")]
    put = lambda n, *a, **k: save("zip", n + ".pth", archive(*a, **k))
    put("good_plain", good)
    put("good_narrow", good, wide=False)
    put("good_byteorder", good + [("a/byteorder", b"little")])
    put("good_big", good + [("a/byteorder", b"big")])
    put("bad_byteorder", good + [("a/byteorder", b"middle")])
    put("bad_duplicate", good + [("a/data/0", FOUR)])
    put("bad_two_pickles", good + [("b/data.pkl", body)])
    put("bad_no_pickle", good[1:])
    put("bad_torchscript", good + [("a/constants.pkl", pickled(b")"))])
    put("bad_overlap_inside", [good[0], ("a/data/0", struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, 0x0808, 0, 0, 0, 0, 0, 0, 8, 0)
        + b"a/data/1" + FOUR), ("a/data/1", FOUR)], patch_central={2: dict(at=lambda o: o[1] + 30 + 8)})
    put("bad_outside", good, patch_central={1: dict(at=1 << 30)})
    put("bad_payload_outside", good, patch_central={1: dict(size=1 << 30, packed=1 << 30)})
    put("bad_count_more", good, count=4)
    put("bad_count_less", good, count=2)
    put("bad_count_huge", good, count=0xFFFF, wide_count=2**60)
    put("bad_directory_size", good, size=10)
    put("bad_directory_place", good, begin=5)
    put("bad_directory_overflow", good, begin=2**64 - 10)
    put("bad_zip64_contradiction", good, wide_count=2)
    put("bad_zip64_missing", good, wide=False, begin=0xFFFFFFFF)
    put("bad_zip64_no_extra", good, patch_central={1: dict(size=0xFFFFFFFF, packed=0xFFFFFFFF)})
    put("bad_zip64_short_extra", good, patch_central={1: dict(size=0xFFFFFFFF, packed=0xFFFFFFFF,
        extra=struct.pack("<HHQ", 1, 8, 16))})
    put("good_zip64_extra", good, patch_central={1: dict(size=0xFFFFFFFF, packed=0xFFFFFFFF,
        extra=struct.pack("<HHQQ", 1, 16, 16, 16))})
    put("bad_extra_length", good, patch_central={1: dict(extra=struct.pack("<HHI", 1, 9999, 1))})
    put("bad_zip64_size", good, patch_central={1: dict(size=0xFFFFFFFF, packed=0xFFFFFFFF,
        extra=struct.pack("<HHQQ", 1, 16, 2**64 - 1, 2**64 - 1))})
    put("bad_comment", good, comment=b"hello")
    hidden = archive([("a/data.pkl", pickled(b"}"))])
    put("bad_comment_hides", good, comment=hidden)
    put("bad_tail", good, tail=b"tail")
    put("bad_several_parts", good, disk=1)
    put("bad_deflated", good, patch_central={1: dict(method=8)}, patch_local={1: dict(method=8)})
    put("bad_encrypted", good, patch_central={0: dict(flags=0x0809)}, patch_local={0: dict(flags=0x0809)})
    put("bad_packed_size", good, patch_central={1: dict(packed=8)})
    put("bad_local_name", good, patch_local={1: dict(name=b"a/data/9")})
    put("bad_local_method", good, patch_local={1: dict(method=8)})
    put("bad_local_size", good, patch_local={1: dict(size=8, packed=8, crc=zlib.crc32(FOUR))})
    put("bad_empty_name", good + [("", b"")])
    put("bad_nul_in_name", good + [("a/da\0ta", b"")])
    put("bad_pickle_sum", good, patch_central={0: dict(crc=1)})
    put("storage_sum", good, patch_central={1: dict(crc=1)})
    put("bad_storage_missing", [good[0], good[2]])
    put("bad_storage_short", [good[0], ("a/data/0", FOUR[:12]), good[2]])
    put("bad_storage_long", [good[0], ("a/data/0", FOUR + FOUR), good[2]])
    put("bad_after_pickle", [("a/data.pkl", body + b"x")] + good[1:])
    put("bad_view", [("a/data.pkl", pickled(state(tensor(stored=storage(view=("v", 0, 2))))))] + good[1:])
    put("bad_pickle_cut", [("a/data.pkl", body[:-3])] + good[1:])
    put("bad_path", [("a/data.pkl", pickled(state(tensor(stored=storage(key="../../etc/passwd", legacy=False)))))] + good[1:])
    untyped = storage(numel=16, type="torch.storage.UntypedStorage", legacy=False)
    v3 = (name("torch._utils._rebuild_tensor_v3") + b"(" + untyped + integer(0) + integers((4,)) + integers((1,)) + b"\x89"
          + name("collections.OrderedDict") + b")R" + name("torch.float32") + b"tR")
    put("good_untyped", [("a/data.pkl", pickled(state(v3)))] + good[1:])
    put("bad_untyped_dtype", [("a/data.pkl", pickled(state(v3.replace(b"float32", b"complex64"))))] + good[1:])
    put("bad_only_start", [], wide=False)


# ---- tar files
def member(name_, data, type=b"0", size=None, check=None, size_text=None):
    header = bytearray(512)
    header[0:len(name_)] = name_.encode()
    header[124:136] = size_text or b"%011o\0" % (len(data) if size is None else size)
    header[148:156] = b" " * 8
    header[156:157] = type
    header[257:265] = b"ustar\x0000"
    header[148:156] = check or b"%06o\0 " % sum(header)
    return bytes(header) + data + b"\0" * (-len(data) % 512)


def tar_parts(key=7, count=4, type="torch.FloatStorage", data=FOUR, views=b"]", storages=1, dimensions=1, sizes=(4,),
              strides=(1,), offset=0, tensors=1, stored=7, little=True, id_=9, wanted="9", twice=False):
    info = pickled(b"}" + text("little_endian") + (b"\x88" if little else b"\x89") + b"s")
    one = pickled(integer(key) + text("cpu") + name(type) + b"\x87") + struct.pack("<q", count) + data
    stores = pickled(integer(storages)) + one * (2 if twice else 1) + pickled(views)
    table = pickled(integer(tensors)) + pickled(integer(id_) + integer(stored) + name("torch.FloatTensor") + b"\x87")
    table += struct.pack("<ii", dimensions, 7) + b"".join(struct.pack("<q", v) for v in tuple(sizes) + tuple(strides) + (offset,))
    parameter = name("torch.nn.parameter.Parameter") + b")\x81(" + text(wanted) + b"QNN\x88\x89tb"
    return [("sys_info", info), ("pickle", pickled(state(parameter))), ("tensors", table), ("storages", stores)]


def tars():
    def put(name_, parts=None, change=None, end=b"\0" * 1024, more=b"", **fields):
        out = b""
        for part, data in parts or tar_parts(**fields):
            out += member(part, data, **((change or {}).get(part, {})))
        save("tar", name_ + ".pth", out + more + end)

    put("good_plain")
    put("good_pax", more=member("././@PaxHeader", b"27 mtime=1483986443.887173\n", type=b"x"))
    put("good_view", views=b"](" + b"(" + integer(8) + integer(7) + integer(1) + integer(2) + b"te", stored=8, sizes=(2,))
    put("bad_view", views=b"](" + b"(" + integer(8) + integer(7) + integer(3) + integer(2) + b"te")
    put("bad_view_root", views=b"](" + b"(" + integer(8) + integer(6) + integer(1) + integer(2) + b"te")
    put("bad_views_no_list", views=b"}")
    put("bad_duplicate", more=member("pickle", pickled(b"}")))
    put("bad_missing", parts=tar_parts()[:3])
    put("bad_oversized", change={"storages": dict(size=1 << 32)})
    put("bad_size", change={"tensors": dict(size_text=b"abc\0\0\0\0\0\0\0\0\0")})
    put("bad_size_signed", change={"tensors": dict(size_text=b"-0000000001\0")})
    put("bad_checksum", change={"pickle": dict(check=b"000000\0 ")})
    put("bad_link", more=member("data", b"", type=b"2"))
    put("bad_big_endian", little=False)
    put("bad_storage_count", storages=1 << 30)
    put("bad_storage_negative", storages=-1)
    put("bad_storage_twice", storages=2, twice=True)
    put("bad_storage_elements", count=1 << 40)
    put("bad_storage_overflow", count=1 << 62)
    put("bad_storage_elements_negative", count=-4)
    put("bad_storage_type", type="os.system")
    put("bad_tensor_count", tensors=1 << 30)
    put("bad_dimensions", dimensions=1000)
    put("bad_dimensions_negative", dimensions=-1)
    put("bad_size_negative", sizes=(-4,))
    put("bad_stride_negative", strides=(-1,), offset=3)
    put("bad_offset", offset=1)
    put("bad_size_overflow", sizes=(2**62,))
    put("bad_tensor_storage", stored=6)
    put("bad_tensor_id", wanted="10")
    evil = tar_parts()
    evil[1] = ("pickle", pickled(state(name("posix.system") + text("echo") + b"\x85R")))
    put("bad_evil", parts=evil)
    incomplete = tar_parts()
    incomplete[1] = ("pickle", pickled(state(name("torch.nn.parameter.Parameter") + b")\x81(" + integer(1) + b"NN\x88\x89tb")))
    put("bad_parameter", parts=incomplete)


if __name__ == "__main__":
    for kind in ("pickle", "zip", "tar"):
        os.makedirs(os.path.join(FOLDER, kind), exist_ok=True)
    pickles()
    zips()
    tars()
