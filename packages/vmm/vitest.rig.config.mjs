// Level-2 guests with passed-through devices, on a real kernel's KVM and VFIO in machines that a rig boots. Programs and
// a driver for the guest are compiled here.
import { rigTests } from "../../vitest.rig.mjs";

export default rigTests(["gcc", "make"]);
