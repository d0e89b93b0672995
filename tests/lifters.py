"""Every registered model, in a size of seconds: the list that tests/test_every_lifter.py and
tests/interop/test_parity.py go through."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class Lifter(NamedTuple):
    """A model to test.

    Args:
        name: key of `models.MODELS`.
        small: hyperparameters of a tiny one; those of them that leave no trace in the shapes of
            the weights are in `traceless`.
        traceless: names of these.
        fixture: recorded results of the official code, `golden/FIXTURE.npz`.
        frames: of a clip.
        frames_out: poses of a clip.
        attends: which attention there is to look at: spatial, True, and temporal, False.
        in_front_of_norm: pattern of the parameters whose gradient in training is only rounding:
            biases that the batch's mean takes away again.  Or nothing: what a released network
            has and does not use.
        rounding: how far a gradient in bfloat16 may be off.  A BatchNorm takes the larger part out
            of the gradients before it, rounding stays.
        cancelled: pattern of the parameters of whose gradients it leaves too little for that.
    """

    name: str
    small: dict[str, Any]
    traceless: tuple[str, ...]
    fixture: str
    frames: int = 4
    frames_out: int = 4
    attends: tuple[bool, ...] = (True, False)
    in_front_of_norm: str = "none"
    rounding: float = 3e-2
    cancelled: str = "none"

    def __hash__(self):
        return hash(self.name)


_DSTFORMER = {"dim_feat": 8, "dim_rep": 6, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0,
              "maxlen": 4}  # fmt: skip
_MIXSTE = {"embed_dim_ratio": 8, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0, "num_frame": 4}
_STCFORMER = {"d_hid": 8, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0, "frames": 4}
_VIDEOPOSE3D = {"channels": 8, "filter_widths": (3, 3), "causal": True}
_RIE = {"channels": 8, "latent_features": 6, "fc_width": 10, "filter_widths": (3,),
        "temporal": "cs"}  # fmt: skip
_POSEFORMER = {"embed_dim_ratio": 4, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0, "num_frame": 3}
_PSTMO = {"channel": 8, "depth": 1, "num_heads": 2, "mlp_ratio": 1.5, "frames": 4,
          "stride_num": (2, 1, 2)}  # fmt: skip
_PSTMO_BIASES = (
    r"encoder/(fc_1|layers_0_w\d)/bias|linears_1/bias|/norm/|"
    r"Transformer_reduce/layers_2/feed_forward_w_2/bias"
)
_POSEFORMERV2 = {"embed_dim_ratio": 4, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0, "num_frame": 5,
                 "number_of_kept_frames": 3, "number_of_kept_coeffs": 1}  # fmt: skip
_GRAFORMER = {"hid_dim": 8, "depth": 1, "num_heads": 2, "step_embedding": True}
_MHFORMER = {"channel": 8, "depth": 2, "num_heads": 2, "mlp_ratio": 1.5, "frames": 6,
             "mhg_depth": 1, "mhg_heads": 3}  # fmt: skip
_MOTIONAGFORMER = {"dim_feat": 8, "dim_rep": 6, "depth": 1, "num_heads": 2, "mlp_ratio": 2.0,
                   "n_frames": 4, "layer_scale_init_value": 1.0}  # fmt: skip
_RIE_BIASES = r"(shrink|fc_1|w1|w2)/bias|(GlobalInfo|FuseBlocks_\d)/fc_2/bias"

LIFTERS = (
    Lifter("repose", _DSTFORMER, ("num_heads",), "repose"),
    Lifter("motionbert", _DSTFORMER, ("num_heads",), "motionbert"),
    Lifter("motionbert_lite", _DSTFORMER, ("num_heads",), "motionbert"),
    Lifter("mixste", _MIXSTE, ("num_heads",), "mixste"),
    Lifter("stcformer", _STCFORMER, ("num_heads", "frames"), "stcformer"),
    Lifter(
        "stcformer_3dhp",
        _STCFORMER,
        ("num_heads", "frames"),
        "stcformer",
        in_front_of_norm="layer_norm2/",
    ),
    Lifter(
        "videopose3d", _VIDEOPOSE3D, ("causal",), "videopose3d", 10, 2, attends=(), rounding=0.2
    ),  # fmt: skip
    Lifter(
        "rie",
        _RIE,
        ("temporal",),
        "pose3d_rie",
        3,
        1,
        attends=(),
        in_front_of_norm=_RIE_BIASES,
        rounding=0.5,
    ),
    Lifter(
        "poseformer",
        _POSEFORMER,
        ("num_heads",),
        "poseformer",
        3,
        1,
        in_front_of_norm="weighted_mean/bias",
    ),
    *(
        Lifter(
            name,
            _PSTMO,
            ("num_heads", "stride_num"),
            "pstmo",
            4,
            1,
            attends=(False,),
            in_front_of_norm=_PSTMO_BIASES,
            rounding=0.5,
        )
        for name in ("pstmo", "pstmo_s")
    ),
    Lifter(
        "poseformerv2",
        _POSEFORMERV2,
        ("num_heads", "num_frame"),
        "poseformerv2",
        5,
        1,
        attends=(),
    ),
    Lifter(
        "graformer",
        _GRAFORMER,
        ("num_heads",),
        "diffpose_gcnpose",
        # Keys' biases change no attention; what the released network has and does not use.
        in_front_of_norm=r"linears_1/bias|temb",
        attends=(True,),
        rounding=0.3,
    ),
    Lifter(
        "mhformer",
        _MHFORMER,
        ("num_heads", "mhg_heads"),
        "mhformer",
        6,
        6,
        attends=(False,),
        in_front_of_norm=r"linears_1/bias|norm3_\d2/bias|embedding_\d_0/bias",
        rounding=1.0,
        cancelled="Transformer_hypothesis/norm/",
    ),
    Lifter(
        "motionagformer",
        _MOTIONAGFORMER,
        ("num_heads", "layer_scale_init_value"),
        "motionagformer",
        rounding=3.2e-2,
    ),
)


def draw_variables(model: nn.Module, *inputs, seed: int = 0):
    """Variables of the size that an initialisation gives, without its program, which is dear.

    None is constant: biases are drawn too, scales and variances around 1.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        values = rng.normal(size=leaf.shape)
        if path[-1].key in ("scale", "var", "A_hat"):
            values = np.exp(0.1 * values)
        elif leaf.ndim < 2:
            values *= 0.1
        else:
            values /= np.sqrt(np.prod(leaf.shape[:-1]))
        return values.astype(leaf.dtype)

    shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    return jax.tree_util.tree_map_with_path(draw, dict(shapes))


def compute(model: nn.Module, variables, *inputs, **options):
    """`model.apply` as one program: operations by themselves are a program each."""
    return jax.jit(lambda *operands: model.apply(*operands, **options))(variables, *inputs)


def rates_in_training(model: nn.Module) -> dict[str, float]:
    """The rate of every `Dropout` that a training step goes through, by its path in the model."""
    rates = {}

    def note(call, args, kwargs, context):
        if isinstance(context.module, nn.Dropout):
            rates["/".join(context.module.path)] = context.module.rate
        return call(*args, **kwargs)

    clips = jnp.zeros((2, *model.input_shape))  # of one, a BatchNorm may have no variance
    keys = dict(zip(("params", "dropout"), jax.random.split(jax.random.key(0)), strict=True))
    with nn.intercept_methods(note):
        jax.eval_shape(lambda: model.init(keys, clips, train=True))
    return rates
