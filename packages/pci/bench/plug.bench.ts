// What the plug of a function costs: a register read through decode checks, and a 16-byte DMA through the bus master
// bit and the group's domain. Both are on the path of every guest access, so neither may allocate.
import { bench, describe } from "vitest";
import { edu } from "../src/devices/index.ts";
import { PciTopology } from "../src/index.ts";

const device = edu();
const topology = PciTopology.fromDescription({ domains: [{ devices: [{ at: "01.0", device }] }] });
const fn = topology.get("00:01.0");
fn.writeConfig(4, 2, 6);
fn.group!.domain = { name: "open", read: () => true, write: () => true };
const out = new Uint32Array(2);
const bytes = new Uint8Array(16);

describe("pci function", () => {
  bench("1000 register reads", () => {
    for (let i = 0; i < 1000; i++) fn.readBar(0, 4, 4, out);
  });
  bench("1000 DMA reads of 16 bytes", () => {
    for (let i = 0; i < 1000; i++) device.dma.read(0, i * 16, bytes);
  });
});
