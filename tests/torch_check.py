"""What PyTorch itself says of checkpoint files; run by models_torch_python_test.cpp.

    torch_check.py version             prints PyTorch's version
    torch_check.py list FILE...        loads each file and prints one line for each leaf, then ---
    torch_check.py weights FILE...     the same; weights_only, where it exists, has to read them too
    torch_check.py save FOLDER         writes zip.pth and legacy.pth with everything that files hold, prints their leaves
    torch_check.py optimizers FILE...  loads the optimizers of a training checkpoint and takes a step with them
"""
import collections
import inspect
import struct
import sys
import zlib

import torch


def crc(t):
    t = t.detach().contiguous()
    if t.dtype == torch.bfloat16:
        t = t.view(torch.int16)
    return zlib.crc32(t.numpy().tobytes())


def leaves(value, path=""):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, "%s/%s" % (path, key))
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from leaves(item, "%s/%d" % (path, i))
    elif isinstance(value, torch.Tensor):
        shape = "x".join(str(d) for d in value.shape)
        yield "%s %s [%s] %08x" % (path, str(value.dtype).split(".")[1], shape, crc(value))
    elif isinstance(value, float):
        yield "%s float %s" % (path, struct.pack(">d", value).hex())
    else:
        yield "%s %s" % (path, repr(value))


def load(path, floats=True):
    options = inspect.signature(torch.load).parameters
    whole = torch.load(path, map_location="cpu", **({"weights_only": False} if "weights_only" in options else {}))
    if "weights_only" in options:
        try:
            safe = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as e:
            # The first weights_only, of PyTorch 1.13, knows no Python floats, not in PyTorch's own files either.
            if not floats or "Unsupported operand 71" not in str(e):
                raise
            return whole
        assert list(leaves(whole)) == list(leaves(safe)), "weights_only reads something else"
    return whole


def everything():
    torch.manual_seed(1)
    base = torch.randn(6, 8)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(144, 5))
    sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    adam = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(3):
        for optimizer in (sgd, adam):
            optimizer.zero_grad()
            net(torch.randn(2, 3, 8, 8)).pow(2).sum().backward()
            optimizer.step()
    return {
        "net": net.state_dict(), "sgd": sgd.state_dict(), "adam": adam.state_dict(),
        "types": {str(t).split(".")[1]: torch.arange(7).to(t) for t in (
            torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
            torch.uint8, torch.bool)},
        "view": base[1:4, 2:7], "transposed": base.t(), "same": base, "expanded": torch.ones(1).expand(5, 3),
        "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "parameter": torch.nn.Parameter(base[:2].clone()),
        "args": {"name": "x\u00e4", "lr": 0.1, "n": -5, "big": 2**70, "none": None, "flag": True, "list": [1, (2, 3)]},
        "ordered": collections.OrderedDict(a=torch.ones(2), b=1),
    }


def optimizers(path):
    whole = load(path)
    for network, optimizer in (("classifier", torch.optim.SGD), ("masker", torch.optim.Adam)):
        state = whole["state_dict_" + network]
        names = [n for n in state if not n.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        parameters = [torch.nn.Parameter(state[n].clone()) for n in names]
        saved = whole["optimizer_" + network]
        made = optimizer(parameters, lr=123.0)
        made.load_state_dict(saved)
        assert made.param_groups[0]["lr"] == saved["param_groups"][0]["lr"] != 123.0
        for i, p in enumerate(parameters):
            for key, value in saved["state"][i].items():
                got = made.state[p][key]
                if isinstance(value, torch.Tensor):
                    assert torch.equal(got, value) and got.shape == p.shape, (names[i], key)
                else:
                    assert int(got) == value > 0, (names[i], key)
        before = [p.detach().clone() for p in parameters]
        for p in parameters:
            p.grad = torch.ones_like(p)
        made.step()
        assert all(not torch.equal(a, b) for a, b in zip(before, parameters))
        print(network, len(parameters), "parameters", made.param_groups[0]["lr"])


if __name__ == "__main__":
    command = sys.argv[1]
    if command == "version":
        print(torch.__version__)
    elif command in ("list", "weights"):
        for path in sys.argv[2:]:
            print("\n".join(leaves(load(path, floats=command == "list"))), "---", sep="\n")
    elif command == "save":
        content = everything()
        torch.save(content, sys.argv[2] + "/zip.pth")
        torch.save(content, sys.argv[2] + "/legacy.pth", _use_new_zipfile_serialization=False)
        print("\n".join(leaves(content)))
    elif command == "optimizers":
        for path in sys.argv[2:]:
            optimizers(path)
