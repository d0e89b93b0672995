"""Wrote the .pth files in this folder, with PyTorch 2.13.0: `python tests/interop/files/make.py`.

They stand for what PyTorch writes where it is not installed.  `content` is what they hold.
"""

import pathlib


def content(torch):
    base = torch.arange(24, dtype=torch.float32)
    return {
        "epoch": 7,
        "lr": 5e-4,
        "model_pos": {
            "module.a.weight": torch.nn.Parameter(base.reshape(4, 6)),
            "module.a.bias": base[::4].half(),
            "module.b.weight": base.reshape(4, 6).t(),
            "module.b.bias": base[5:9].bfloat16(),
            "module.steps": torch.tensor(3, dtype=torch.int64),
        },
        "optimizer": {"state": {0: {"exp_avg": base[:2]}}, "param_groups": [{"lr": 5e-4}]},
    }


if __name__ == "__main__":
    import torch

    folder = pathlib.Path(__file__).parent
    torch.save(content(torch), folder / "zip.pth")
    torch.save(content(torch), folder / "stream.pth", _use_new_zipfile_serialization=False)
