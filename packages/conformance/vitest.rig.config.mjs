// Recordings replayed on real kernels, in machines that a rig boots.
import { rigTests } from "../../vitest.rig.mjs";

export default rigTests();
