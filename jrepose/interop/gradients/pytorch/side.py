"""PyTorch's side: predictions, loss terms, gradients and training steps, as NumPy arrays."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import nn

from jrepose.errors import InputError
from jrepose.interop.gradients.pytorch.losses import Loss
from jrepose.interop.gradients.side import BackwardPass, Clips, LossGradient, TrainingStep


def has_gpu() -> bool:
    """Whether PyTorch sees a GPU."""
    return torch.cuda.is_available()


def version() -> str:
    """PyTorch's version and device."""
    device = torch.cuda.get_device_name() if has_gpu() else "CPU"
    return f"torch {torch.__version__} on {device}"


class TorchSide:
    """A network in one precision; see `results.Side`.

    Args:
        network: takes `[batch, frames, joints, channels]`; it is copied.
        losses: loss terms by name.
        weights: of the terms in the objective.
        state_dict: the network's weights.
        precision: `"float32"`, `"tf32"`, `"bfloat16"` (autocast) or `"float64"`.

    Raises:
        InputError: the weights do not fit the network.
    """

    def __init__(
        self,
        network: nn.Module,
        losses: Mapping[str, Loss],
        weights: Mapping[str, float],
        state_dict: Mapping[str, np.ndarray],
        precision: str,
    ):
        self._device = torch.device("cuda" if has_gpu() else "cpu")
        self._dtype = torch.float64 if precision == "float64" else torch.float32
        self._losses = {name: losses[name] for name in weights}
        self._weights, self._precision = weights, precision
        self._network = copy.deepcopy(network).train()
        try:
            self._network.load_state_dict(
                {key: torch.tensor(value) for key, value in state_dict.items()}, strict=True
            )
        except RuntimeError as error:
            raise InputError(
                f"the weights do not fit {type(network).__name__}: {' '.join(str(error).split())}"
            ) from None
        self._network.to(self._device, self._dtype)

    def backward(self, clips: Clips, *, per_term: bool) -> BackwardPass:
        poses, terms, total = self._objective(self._network, clips)
        names = [name for name, _ in self._network.named_parameters()]
        parameters = list(self._network.parameters())
        wanted = {**terms, "total": total} if per_term else {"total": total}
        gradients = {}
        with self._matmul_precision():
            for index, (objective, value) in enumerate(wanted.items()):
                found = torch.autograd.grad(
                    value,
                    parameters,
                    retain_graph=index + 1 < len(wanted),
                    allow_unused=True,
                    materialize_grads=True,
                )
                gradients[objective] = {
                    name: _array(gradient) for name, gradient in zip(names, found, strict=True)
                }
        return BackwardPass(_array(poses), _floats(terms), gradients)

    def loss_gradients(self, poses: np.ndarray, targets: np.ndarray) -> dict[str, LossGradient]:
        labels = self._tensor(targets)
        found = {}
        for name, loss in self._losses.items():
            variable = self._tensor(poses).requires_grad_()
            value = loss(variable, labels)
            (gradient,) = torch.autograd.grad(value, variable)
            found[name] = LossGradient(value.item(), _array(gradient))
        return found

    def train(
        self, batches: Iterable[Clips], *, learning_rate: float, weight_decay: float
    ) -> Iterator[TrainingStep]:
        network = copy.deepcopy(self._network)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        for clips in batches:
            _, terms, total = self._objective(network, clips)
            optimizer.zero_grad()
            with self._matmul_precision():
                total.backward()
            optimizer.step()
            parameters = {name: _array(value) for name, value in network.named_parameters()}
            yield TrainingStep(_floats(terms), parameters)

    def _objective(self, network, clips: Clips):
        """Poses, loss terms and their weighted sum."""
        autocast = self._precision == "bfloat16"
        with (
            self._matmul_precision(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=autocast),
        ):
            poses = network(self._tensor(clips.keypoints))
        poses, labels = poses.to(self._dtype), self._tensor(clips.targets)
        terms = {name: loss(poses, labels) for name, loss in self._losses.items()}
        total = sum(weight * terms[name] for name, weight in self._weights.items())
        return poses, terms, total

    @contextlib.contextmanager
    def _matmul_precision(self) -> Iterator[None]:
        switch = torch.backends.cuda.matmul
        before = switch.allow_tf32
        switch.allow_tf32 = self._precision == "tf32"
        try:
            yield
        finally:
            switch.allow_tf32 = before

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array, device=self._device).to(self._dtype)


def _array(tensor: torch.Tensor) -> np.ndarray:
    # A copy: the optimiser goes on changing the tensor.
    return tensor.detach().cpu().numpy().copy()


def _floats(terms: Mapping[str, torch.Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in terms.items()}
