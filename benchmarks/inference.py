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
    official = contest.official_model(arguments, state)
    run = torch_forward(official, keypoints, reduced=arguments.precision == "bfloat16")
    return lambda: run().cpu().numpy()


def torch_forward(network, keypoints, *, reduced: bool):
    """A forward pass in PyTorch; `reduced`: under autocast to bfloat16."""
    import torch

    network.eval()
    device = next(network.parameters()).device
    batch = torch.tensor(keypoints, device=device)

    def run() -> torch.Tensor:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=reduced):
            return network(batch).float()

    return run


if __name__ == "__main__":
    main()
