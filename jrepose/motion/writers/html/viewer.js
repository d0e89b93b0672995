// The viewer of a page that jrepose writes: keypoints in 2D beside motion in 3D.
// Axes are those of the motion: metres, x right, y forward as the camera sees it, z up.
"use strict";

const LEFT = "#0072B2", RIGHT = "#D55E00";
const CENTRES = ["#303030", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]; // by person
const BONE = 0.018, JOINT = 0.03; // radii, metres

const element = (id) => document.getElementById(id);

function floats(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

const { people } = JSON.parse(element("motion").textContent);
people.forEach((person, number) => {
  person.poses = floats(person.poses);
  if (person.keypoints) person.keypoints.values = floats(person.keypoints.values);
  person.joints = person.sides.length;
  person.frames = person.poses.length / (3 * person.joints);
  person.colour = CENTRES[number % CENTRES.length];
  person.shown = true;
});
const rate = Math.max(...people.map((person) => person.fps));
const duration = Math.max(...people.map((p) => (p.first_frame + p.frames) / p.fps));
const frames = Math.max(1, Math.round(duration * rate));

// The frame of a person's own arrays at a frame of the page; -1: not there.
function frameOf(person, frame) {
  const own = Math.floor((frame + 0.5) / rate * person.fps) - person.first_frame;
  return person.shown && own >= 0 && own < person.frames ? own : -1;
}

function colourOf(person, side) {
  return side === "left" ? LEFT : side === "right" ? RIGHT : person.colour;
}

// ---- 2D

class Image2D {
  constructor(box) {
    this.box = box;
    this.canvas = box.querySelector("canvas");
    this.people = people.filter((person) => person.keypoints);
    box.hidden = !this.people.length;
    if (box.hidden) box.style.display = "none";
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const person of this.people) {
      if (person.size) [left, top, right, bottom] = [0, 0, ...person.size];
    }
    if (left === Infinity) {
      for (const { keypoints } of this.people) {
        for (let i = 0; i < keypoints.values.length; i += 3) {
          if (!(keypoints.values[i + 2] > 0)) continue;
          left = Math.min(left, keypoints.values[i]);
          right = Math.max(right, keypoints.values[i]);
          top = Math.min(top, keypoints.values[i + 1]);
          bottom = Math.max(bottom, keypoints.values[i + 1]);
        }
      }
    }
    this.extent = left < right && top < bottom ? [left, top, right, bottom] : [0, 0, 1, 1];
  }

  draw(frame) {
    if (this.box.hidden) return;
    const ratio = window.devicePixelRatio, { clientWidth, clientHeight } = this.box;
    this.canvas.width = clientWidth * ratio;
    this.canvas.height = clientHeight * ratio;
    const [left, top, right, bottom] = this.extent;
    const width = right - left, height = bottom - top;
    const scale = 0.94 * Math.min(clientWidth / width, clientHeight / height);
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.translate((clientWidth - scale * width) / 2, (clientHeight - scale * height) / 2);
    context.fillStyle = "#fff";
    context.strokeStyle = "#ddd";
    context.lineWidth = 1;
    context.fillRect(0, 0, scale * width, scale * height);
    context.strokeRect(0, 0, scale * width, scale * height);
    for (const person of this.people) {
      const own = frameOf(person, frame);
      if (own >= 0) this.drawPerson(context, person, own, scale);
    }
  }

  drawPerson(context, person, own, scale) {
    const { values, parents, sides } = person.keypoints;
    const point = (joint) => {
      const at = 3 * (own * sides.length + joint);
      return [scale * (values[at] - this.extent[0]), scale * (values[at + 1] - this.extent[1]),
              Math.min(values[at + 2], 1)];
    };
    for (let joint = 0; joint < sides.length; joint++) {
      const [x, y, confidence] = point(joint);
      if (!(confidence > 0)) continue;
      context.strokeStyle = context.fillStyle = colourOf(person, sides[joint]);
      context.globalAlpha = 0.25 + 0.75 * confidence;
      context.beginPath();
      context.arc(x, y, 3, 0, 2 * Math.PI);
      context.fill();
      if (parents[joint] < 0) continue;
      const [px, py, other] = point(parents[joint]);
      if (!(other > 0)) continue;
      context.globalAlpha = 0.25 + 0.75 * Math.min(confidence, other);
      context.lineWidth = 2;
      context.beginPath();
      context.moveTo(px, py);
      context.lineTo(x, y);
      context.stroke();
    }
    context.globalAlpha = 1;
  }
}

// ---- 3D

class World {
  constructor(box) {
    this.box = box;
    this.renderer = new THREE.WebGLRenderer({ canvas: box.querySelector("canvas"), antialias: true });
    this.scene = new THREE.Scene();
    this.scene.background = new THREE.Color("#ffffff");
    this.camera = new THREE.PerspectiveCamera(35, 1, 0.05, 1000);
    this.camera.up.set(0, 0, 1);
    this.controls = new THREE.OrbitControls(this.camera, box);
    this.controls.addEventListener("change", () => { this.moved = true; });
    this.scene.add(new THREE.HemisphereLight("#ffffff", "#999999", 2.4));
    const sun = new THREE.DirectionalLight("#ffffff", 1.6);
    sun.position.set(-2, -4, 6);
    this.scene.add(sun);
    this.measure();
    const side = 2 * Math.ceil(Math.max(2, this.reach));
    const floor = new THREE.GridHelper(side, 2 * side, "#b0b0b0", "#e2e2e2");
    floor.rotation.x = Math.PI / 2;
    floor.position.set(Math.round(this.centre.x), Math.round(this.centre.y), this.floor);
    this.scene.add(floor);
    people.forEach((person) => this.add(person));
    this.look("camera");
  }

  // Where people are: centre and reach of all they do, and the height of the floor.
  measure() {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (const { poses } of people) {
      for (let i = 0; i < poses.length; i++) {
        low[i % 3] = Math.min(low[i % 3], poses[i]);
        high[i % 3] = Math.max(high[i % 3], poses[i]);
      }
    }
    this.centre = new THREE.Vector3(...low.map((value, axis) => (value + high[axis]) / 2));
    this.reach = Math.max(0.5, ...low.map((value, axis) => (high[axis] - value) / 2));
    this.floor = Math.abs(low[2]) < 0.3 ? 0 : low[2];
  }

  add(person) {
    const material = () => new THREE.MeshLambertMaterial();
    const limbs = person.parents.map((parent, joint) => [parent, joint]).filter(([p]) => p >= 0);
    const bone = new THREE.CylinderGeometry(1, 1, 1, 12).rotateX(Math.PI / 2);
    person.limbs = limbs;
    person.bones = new THREE.InstancedMesh(bone, material(), limbs.length);
    person.balls = new THREE.InstancedMesh(
      new THREE.SphereGeometry(JOINT, 16, 12), material(), person.joints);
    const colour = new THREE.Color();
    limbs.forEach(([, joint], number) =>
      person.bones.setColorAt(number, colour.set(colourOf(person, person.sides[joint]))));
    person.sides.forEach((side, joint) =>
      person.balls.setColorAt(joint, colour.set(colourOf(person, side))));
    for (const mesh of [person.bones, person.balls]) {
      mesh.frustumCulled = false;
      this.scene.add(mesh);
    }
  }

  place(person, own) {
    const there = own >= 0, matrix = new THREE.Matrix4();
    person.bones.visible = person.balls.visible = there;
    if (!there) return;
    const at = (joint, vector) => vector.fromArray(person.poses, 3 * (own * person.joints + joint));
    const start = new THREE.Vector3(), end = new THREE.Vector3();
    const along = new THREE.Vector3(0, 0, 1), turn = new THREE.Quaternion();
    for (let joint = 0; joint < person.joints; joint++) {
      person.balls.setMatrixAt(joint, matrix.makeTranslation(at(joint, start)));
    }
    person.limbs.forEach(([parent, joint], number) => {
      at(parent, start);
      at(joint, end).sub(start);
      const length = end.length();
      start.addScaledVector(end, 0.5);
      if (length > 0) turn.setFromUnitVectors(along, end.divideScalar(length));
      matrix.compose(start, turn, new THREE.Vector3(BONE, BONE, Math.max(length, 1e-6)));
      person.bones.setMatrixAt(number, matrix);
    });
    person.bones.instanceMatrix.needsUpdate = person.balls.instanceMatrix.needsUpdate = true;
  }

  look(from) {
    const directions = { camera: [0.25, -1, 0.3], left: [-1, 0.001, 0.2], back: [0, 1, 0.3],
                         top: [0, -0.001, 1] };
    const distance = 1.25 * (this.reach + 0.3) / Math.tan(this.camera.fov * Math.PI / 360);
    const away = new THREE.Vector3(...directions[from]).setLength(distance);
    this.controls.target.copy(this.followed ?? this.centre);
    this.camera.position.copy(this.controls.target).add(away);
    this.camera.far = 20 * distance;
    this.controls.update();
  }

  // Moves with the mean of all people's first joints.
  follow(frame) {
    const mean = new THREE.Vector3(), joint = new THREE.Vector3();
    let count = 0;
    for (const person of people) {
      const own = frameOf(person, frame);
      if (own < 0) continue;
      mean.add(joint.fromArray(person.poses, 3 * (own * person.joints + person.root)));
      count++;
    }
    if (!count) return;
    mean.divideScalar(count);
    const step = mean.clone().sub(this.controls.target);
    this.controls.target.add(step);
    this.camera.position.add(step);
    this.followed = mean;
  }

  draw(frame) {
    const { clientWidth, clientHeight } = this.box;
    this.renderer.setPixelRatio(window.devicePixelRatio);
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.camera.aspect = clientWidth / Math.max(clientHeight, 1);
    if (element("follow").checked) this.follow(frame);
    else this.followed = undefined;
    this.camera.updateProjectionMatrix();
    this.controls.update();
    people.forEach((person) => this.place(person, frameOf(person, frame)));
    this.renderer.render(this.scene, this.camera);
    this.moved = false;
  }
}

// ---- the page

const state = { frame: 0, playing: false, drawn: 0 };
window.jrepose = state;

function main() {
  const image = new Image2D(element("image"));
  let world = null;
  try {
    world = new World(element("world"));
  } catch {
    const text = document.createElement("p");
    text.id = "failure";
    text.textContent = "This browser shows no 3D: it has no WebGL.";
    element("world").replaceChildren(text);
  }
  const time = element("time");
  time.max = frames - 1;
  let position = 0, last = null, drawn = null;

  const play = (playing) => {
    if (playing && state.frame === frames - 1) position = 0;
    state.playing = playing;
    last = null;
    element("play").textContent = playing ? "Pause" : "Play";
  };
  const go = (frame) => { position = Math.max(0, Math.min(frames - 1, frame)); drawn = null; };
  const redraw = () => { drawn = null; };

  element("play").addEventListener("click", () => play(!state.playing));
  time.addEventListener("input", () => { play(false); go(Number(time.value)); });
  element("view").addEventListener("change", (event) => { world?.look(event.target.value); redraw(); });
  element("follow").addEventListener("change", redraw);
  window.addEventListener("resize", redraw);
  document.addEventListener("keydown", (event) => {
    if (["INPUT", "SELECT"].includes(event.target.tagName) && event.target !== time) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key === " ") play(!state.playing);
    else if (event.key in steps) { play(false); go(state.frame + steps[event.key]); }
    else return;
    event.preventDefault();
  });

  for (const person of people) {
    const label = document.createElement("label"), box = document.createElement("input");
    const dot = document.createElement("i");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => { person.shown = box.checked; redraw(); });
    dot.style.background = person.colour;
    label.append(box, " ", dot, ` person ${person.person}`);
    if (people.length > 1) element("people").append(label);
  }
  const notes = [...new Set(people.flatMap((person) => person.notes))];
  element("notes").hidden = !notes.length;
  for (const note of notes) {
    const item = document.createElement("li");
    item.textContent = note;
    element("notes").querySelector("ul").append(item);
  }

  const tick = (now) => {
    if (state.playing) {
      if (last !== null) position += (now - last) / 1000 * rate * Number(element("speed").value);
      if (position >= frames) position %= frames;
      last = now;
    }
    state.frame = Math.min(frames - 1, Math.floor(position));
    if (state.frame !== drawn || world?.moved) {
      image.draw(state.frame);
      world?.draw(state.frame);
      time.value = state.frame;
      element("clock").textContent =
        `frame ${state.frame} of ${frames}, ${(state.frame / rate).toFixed(2)} s`;
      drawn = state.frame;
      state.drawn++;
    }
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

main();
