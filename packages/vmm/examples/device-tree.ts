// Writes a small device tree, reads it back, and prints what is in it.
import { cells64, decodeCells, decodeStrings, fdtNode, findNode, readFdt, writeFdt } from "@minivmm/vmm/boot";

const tree = fdtNode("", { "#address-cells": 2, "#size-cells": 2, compatible: ["example,board", "example,family"] }, [
  fdtNode("memory@0", { device_type: "memory", reg: [...cells64(0), ...cells64(512 * 1024 * 1024)] }),
  fdtNode("chosen", { bootargs: "console=hvc0", "example,empty": true }),
]);

const blob = writeFdt(tree, { reservations: [{ address: 0x10000, size: 0x1000 }] });
const { root, reservations } = readFdt(blob);

console.log(`${blob.length} bytes, ${reservations.length} reservation`);
console.log("compatible:", decodeStrings(root.properties.compatible as Uint8Array).join(", "));
const reg = decodeCells(findNode(root, "/memory@0")?.properties.reg as Uint8Array);
console.log("memory:", reg.map((cell) => `0x${cell.toString(16)}`).join(" "));
