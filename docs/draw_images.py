"""Draws pictures/rendered.png: a moment seen by four cameras, and the crops with their joints.

python docs/draw_images.py
"""

import pathlib

import numpy as np
from PIL import Image, ImageDraw

from jrepose.data.images.rendered import render_dataset
from jrepose.data.simulation.procedural import generate_motion
from jrepose.data.simulation.scene import SceneConfig

SIDE = 200

recordings = generate_motion(["anna", "S5"], seconds=4.0, frame_rate=50.0, seed=0)
recording = next(r for r in recordings if r.name == "S5_walking")
dataset = render_dataset([recording], scene=SceneConfig(noise=0.0), seed=3, size=SIDE)
moment = int(np.flatnonzero(dataset.occluded.any(1))[10])
sheet = Image.new("RGB", (4 * SIDE, 2 * SIDE))
for view, camera in enumerate(dataset.images.cameras[0]):
    scale = camera.width / SIDE
    whole = dataset.images.scenes[0].picture(
        camera, moment, view, scale * np.eye(2, 3), (SIDE, SIDE)
    )
    sheet.paste(Image.fromarray(whole), (view * SIDE, 0))
    sheet.paste(Image.fromarray(dataset.images[np.array([moment])][0, view]), (view * SIDE, SIDE))
sheet = sheet.quantize(64)  # the joints' colours come on top
draw = ImageDraw.Draw(sheet)
for view, (joints, seen) in enumerate(
    zip(dataset.joints_px[moment], dataset.joints_seen[moment], strict=True)
):
    for (x, y), visible in zip(joints, seen, strict=True):
        draw.circle((view * SIDE + x, SIDE + y), 2.5, fill="lime" if visible else "red")
path = pathlib.Path(__file__).parent / "pictures" / "rendered.png"
sheet.save(path, optimize=True)
print(f"{path}: {path.stat().st_size // 1000} kB")
