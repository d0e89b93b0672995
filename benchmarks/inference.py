"""Forward pass of a registered model, against the official PyTorch module in the same run.

    python benchmarks/inference.py --model repose --batch 2 --frames 243 \
        --torch-root CHECKOUT_OF_REPOSE
    python benchmarks/inference.py --model mixste --set num_frame=81 --batch 1 --frames 81 \
        --torch-root CHECKOUT_OF_MIXSTE --torch-class common.model_cross:MixSTE2
"""

from __future__ import annotations

import contest
import jax
import numpy as np


def main() -> None:
    arguments = contest.parse_arguments(__doc__)
    model, variables = contest.create_model(arguments)
    keypoints, _ = contest.create_clips(arguments, model)
    keypoints_on_device = jax.device_put(keypoints)
    program, compile_seconds = contest.compiled(model.apply, variables, keypoints_on_device)

    def ours():
        return jax.block_until_ready(program(variables, keypoints_on_device))

    theirs = contest.official(_official_forward, arguments, variables, keypoints)
    if theirs:
        difference = np.abs(np.asarray(ours()) - theirs()).max()
        print(f"largest difference of the poses: {difference:.1e}")
    contest.report(
        arguments,
        ours,
        theirs,
        flops=contest.model_flops(model, keypoints),
        compile_seconds=compile_seconds,
        program=program,
    )


def _official_forward(arguments, state, keypoints):
    import torch

    model = contest.official_model(arguments, state).eval()
    device = next(model.parameters()).device
    batch = torch.tensor(keypoints, device=device)
    reduced = arguments.precision == "bfloat16"

    def run() -> np.ndarray:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=reduced):
            return model(batch).float().cpu().numpy()

    return run


if __name__ == "__main__":
    main()
