// What three.min.js has of three.js 0.187.0 (MIT, three.LICENSE).  Built by
//   npm install three@0.187.0 esbuild@0.28.2
//   npx esbuild three.entry.js --bundle --minify --format=iife --global-name=THREE \
//     --legal-comments=inline --outfile=three.min.js
export {
  Color, CylinderGeometry, DirectionalLight, GridHelper, HemisphereLight, InstancedMesh, Matrix4,
  MeshLambertMaterial, PerspectiveCamera, Quaternion, Scene, SphereGeometry, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";
