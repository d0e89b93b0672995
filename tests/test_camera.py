"""Camera geometry against first principles; the official code's is in interop/test_parity.py."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jrepose import camera as cam
from jrepose.camera import Camera, look_at
from jrepose.errors import InputError

pytestmark = pytest.mark.usefixtures("numpy_ranks")

BOTH = pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])

DISTORTED = np.array([1145, 1143, 512, 515, -0.2, 0.24, -0.003, -0.001, -0.0014], np.float64)


def compiled(xp, *functions):
    """With JAX each as one program: operation by operation, each would be one."""
    return [jax.jit(function) if xp is jnp else function for function in functions]


# --- first principles -----------------------------------------------------------------------


def rotation_matrix(q):
    """Textbook matrix of a unit quaternion (w, x, y, z)."""
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@BOTH
def test_rotation_equals_the_matrix(xp):
    rng = np.random.default_rng(0)
    rotate, inverse = compiled(xp, cam.quaternion_rotate, cam.quaternion_inverse)
    for _ in range(5):
        q = rng.standard_normal(4)
        q /= np.linalg.norm(q)
        points = rng.standard_normal((3, 7, 3))
        turned = rotate(xp.asarray(q), xp.asarray(points))
        assert isinstance(turned, jax.Array) == (xp is jnp)
        np.testing.assert_allclose(turned, points @ rotation_matrix(q).T, atol=1e-6)
        back = rotate(inverse(xp.asarray(q)), turned)
        np.testing.assert_allclose(back, points, atol=1e-6)


def test_quarter_turn_about_z():
    half = math.sqrt(0.5)
    turned = cam.quaternion_rotate(np.array([half, 0, 0, half]), np.array([1.0, 0, 0]))
    np.testing.assert_allclose(turned, [0, 1, 0], atol=1e-12)


@BOTH
def test_projection_without_distortion_is_the_linear_one(xp):
    rng = np.random.default_rng(1)
    points = xp.asarray(rng.uniform([-1, -1, 3], [1, 1, 6], (5, 4, 3)))
    intrinsics = xp.asarray([1145.0, 1143.0, 512.0, 515.0, 0, 0, 0, 0, 0])
    project, linear = compiled(xp, cam.project_to_2d, cam.project_to_2d_linear)
    full = project(points, intrinsics)
    np.testing.assert_allclose(full, linear(points, intrinsics), atol=1e-4)
    expected = np.asarray(points)[..., :2] / np.asarray(points)[..., 2:] * [1145, 1143]
    np.testing.assert_allclose(full, expected + [512, 515], rtol=1e-5)


def test_distortion_by_hand():
    x, y = 0.3, -0.2
    fx, fy, cx, cy, k1, k2, k3, p1, p2 = DISTORTED
    r2 = x * x + y * y
    s = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * x + p2 * y
    out = cam.project_to_2d(np.array([x * 4, y * 4, 4.0]), DISTORTED)
    np.testing.assert_allclose(
        out, [fx * (s * x + p1 * r2) + cx, fy * (s * y + p2 * r2) + cy], rtol=1e-12
    )


def test_one_intrinsic_vector_per_batch_element():
    points = np.random.default_rng(2).uniform([-1, -1, 3], [1, 1, 6], (2, 5, 17, 3))
    vectors = np.stack([DISTORTED, DISTORTED * 1.1])
    both = cam.project_to_2d(points, vectors[:, None, None])
    for k in range(2):
        np.testing.assert_allclose(both[k], cam.project_to_2d(points[k], vectors[k]))


def test_gradient_at_the_clamp_is_torchs():
    intrinsics = np.array([2.0, 2, 0, 0, 0, 0, 0, 0, 0], np.float32)
    # At depth 1 the slope of u by X is the focal length times the clamp's slope.
    project = lambda x: cam.project_to_2d_linear(jnp.stack([x, 0.0, 1.0]), intrinsics)[0]  # noqa: E731
    gradient = jax.jit(jax.vmap(jax.grad(project)))(np.float32([0.5, 1, -1, 1.5, -1.5]))
    np.testing.assert_array_equal(gradient, [2, 2, 2, 0, 0])


def test_screen_units_by_hand():
    pixels = np.array([[0.0, 0], [1000, 1002], [500, 501]])
    screen = cam.normalize_screen_coordinates(pixels, 1000, 1002)
    np.testing.assert_allclose(screen, [[-1, -1.002], [1, 1.002], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(cam.image_coordinates(screen, 1000, 1002), pixels, atol=1e-9)


def test_works_under_jit_and_vmap():
    points = np.ones((4, 3), np.float32)
    points[:, 2] = np.arange(4) + 2
    vector = DISTORTED.astype(np.float32)
    out = jax.jit(jax.vmap(lambda p: cam.project_to_2d(p, vector)))(points)
    np.testing.assert_allclose(out, cam.project_to_2d(np.asarray(points), DISTORTED), rtol=1e-5)


# --- the camera type ------------------------------------------------------------------------


def make_camera(**changes):
    values = {
        "name": "front",
        "width": 1000,
        "height": 1002,
        "focal_px": (1145.0, 1143.0),
        "centre_px": (512.0, 515.0),
        "orientation_wxyz": look_at(np.array([0.0, -5000, 1500]), np.array([0.0, 0, 1000])),
        "translation_mm": (0.0, -5000.0, 1500.0),
    }
    return Camera(**values | changes)


def test_camera_sees_right_as_right_and_up_as_up():
    camera = make_camera()
    points = np.array([[0.0, 0, 1000], [300, 0, 1000], [0, 0, 1300], [0, 900, 1000]])
    local = camera.from_world(points)
    np.testing.assert_allclose(local[0, :2], 0, atol=1e-9)
    assert local[0, 2] == pytest.approx(math.hypot(5000, 500))
    # Looking along +y, the world's +x is on the image's right.
    assert local[1, 0] == pytest.approx(300) and abs(local[1, 1]) < 1e-9
    assert local[2, 1] < -290 and local[3, 2] > local[0, 2] + 890
    np.testing.assert_allclose(camera.to_world(local), points, atol=1e-9)
    pixel = camera.project(local)
    np.testing.assert_allclose(pixel[0], [512, 515], atol=1e-9)
    assert pixel[1, 0] > 512 and pixel[2, 1] < 515


@pytest.mark.parametrize("azimuth", np.radians([0, 37, 90, 180, 200, 270, 359]))
def test_look_at_is_level_and_aims(azimuth):
    position = np.array([4000 * np.cos(azimuth), 4000 * np.sin(azimuth), 2500.0])
    target = np.array([100.0, -200, 900])
    q = look_at(position, target)
    matrix = rotation_matrix(q)
    assert np.linalg.norm(q) == pytest.approx(1) and np.linalg.det(matrix) == pytest.approx(1)
    aim = (target - position) / np.linalg.norm(target - position)
    np.testing.assert_allclose(matrix[:, 2], aim, atol=1e-9)
    assert matrix[2, 0] == pytest.approx(0, abs=1e-9)
    assert matrix[2, 1] < 0


def test_look_at_refuses_the_vertical():
    with pytest.raises(InputError, match="straight above"):
        look_at(np.array([0.0, 0, 3000]), np.array([0.0, 0, 0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"orientation_wxyz": (1.0, 0.1, 0.0, 0.0)}, "length 1.00499"),
        ({"width": 0}, "positive"),
        ({"focal_px": (1000.0, -1.0)}, "positive"),
    ],
)
def test_impossible_cameras_are_refused(change, message):
    with pytest.raises(InputError, match=f"camera front.*{message}"):
        make_camera(**change)


def test_labels_ignore_distortion_keypoints_do_not():
    camera = make_camera(radial=(-0.2, 0.24, 0.0), tangential=(-0.001, -0.002))
    points = np.array([[900.0, -700, 4000]])
    plain = make_camera().project(points)
    np.testing.assert_array_equal(camera.project(points, distortion=False), plain)
    assert np.abs(camera.project(points) - plain).max() > 2


def test_unprojection_undoes_the_linear_projection():
    points = np.random.default_rng(0).uniform([-1, -1, 3], [1, 1, 5], (2, 4, 3))
    intrinsics = np.array([1.1, 1.2, 0.1, -0.2, *[0.0] * 5])
    seen = cam.project_to_2d_linear(points, intrinsics)
    np.testing.assert_allclose(cam.unproject(seen, points[..., 2], intrinsics), points)
