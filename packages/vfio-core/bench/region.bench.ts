// What one MMIO access of a VMM costs on the modelled host: client, system call boundary, vfio-pci, device model.
import { bench, describe } from "vitest";
import { EDU, openDevice, testHost } from "../test/fixture.ts";

const { process } = testHost();
const { device } = openDevice(process, EDU);
device.writeConfig(4, 2, 2);
const out = new Uint32Array(2);
const mapping = device.mapRegion(0);

describe("vfio-core region access", () => {
  bench("read 4 bytes of a BAR", () => {
    device.readRegion(0, 0, 4, out);
  });
  bench("write 4 bytes of a BAR", () => {
    device.writeRegion(0, 4, 4, 0x12345678, 0);
  });
  bench("read 8 bytes of a BAR", () => {
    device.readRegion(0, 0x80, 8, out);
  });
  bench("load 4 bytes through a mapping", () => {
    mapping.load(0, 4);
  });
  bench("read 4 bytes of configuration space", () => {
    device.readConfig(0, 4);
  });
});
