// The desktop that the recorded cases ran on: a q35 with root ports, a conventional bridge, a switch and shared slots.
import { edu, memoryDisk, nvme, type PassiveOptions, passive } from "../../src/devices/index.ts";
import {
  type DeviceFactories,
  type FunctionDescription,
  PciTopology,
  type TopologyDescription,
} from "../../src/index.ts";

export const models: DeviceFactories = {
  edu: () => edu(),
  nvme: () => nvme({ disk: memoryDisk(4096) }),
  passive: (options) => passive(options as unknown as PassiveOptions),
};

type Extra = Partial<Omit<PassiveOptions, "vendor" | "device" | "classCode">>;

export function plain(at: string, ids: number, classCode: number, extra: Extra = {}): FunctionDescription {
  return { at, model: "passive", options: { vendor: ids >>> 16, device: ids & 0xffff, classCode, ...extra } };
}

const e1000e = (at: string): FunctionDescription =>
  plain(at, 0x808610d3, 0x020000, {
    express: {},
    pm: {},
    bars: [
      { index: 0, type: "mem32", size: 0x20000 },
      { index: 1, type: "mem32", size: 0x20000 },
      { index: 2, type: "io", size: 32 },
      { index: 3, type: "mem32", size: 0x4000 },
      { index: 6, type: "rom", size: 0x40000 },
    ],
  });
const ohci = (at: string): FunctionDescription =>
  plain(at, 0x106b003f, 0x0c0310, { bars: [{ index: 0, type: "mem32", size: 256 }] });
const port = (
  at: string,
  children: FunctionDescription[],
  more: Partial<FunctionDescription> = {},
): FunctionDescription => ({
  at,
  bridge: "root-port",
  driver: "pcieport",
  children,
  ...more,
});

export const q35: TopologyDescription = {
  domains: [
    {
      devices: [
        plain("00.0", 0x808629c0, 0x060000),
        { at: "02.0", model: "edu" },
        port("03.0", [
          e1000e("00.0"),
          plain("00.1", 0x1b360002, 0x070002, { bars: [{ index: 0, type: "io", size: 8 }] }),
        ]),
        port("04.0", [{ at: "00.0", model: "edu" }]),
        port("05.0", [{ at: "00.0", model: "nvme" }], { reserveBuses: 2 }),
        port("06.0", [
          {
            at: "00.0",
            bridge: "pcie-pci-bridge",
            children: [
              { at: "01.0", model: "edu" },
              plain("02.0", 0x8086100e, 0x020000, { bars: [{ index: 0, type: "mem32", size: 0x20000 }] }),
              plain("03.0", 0x808624cd, 0x0c0320, { bars: [{ index: 0, type: "mem32", size: 1024 }] }),
              plain("04.0", 0x80862668, 0x040300, { bars: [{ index: 0, type: "mem32", size: 0x4000 }] }),
              ohci("05.0"),
              ohci("06.0"),
            ],
          },
        ]),
        port("07.0", [
          {
            at: "00.0",
            bridge: "upstream-port",
            children: [
              { at: "00.0", bridge: "downstream-port", acs: false, children: [e1000e("00.0")] },
              { at: "01.0", bridge: "downstream-port", acs: false, children: [{ at: "00.0", model: "nvme" }] },
            ],
          },
        ]),
        plain("08.0", 0x1b360005, 0x00ff00),
        port("09.0", [{ at: "00.0", model: "nvme" }, e1000e("00.1")]),
        plain("1d.0", 0x80862934, 0x0c0300, { bars: [{ index: 4, type: "io", size: 32 }] }),
        plain("1d.7", 0x8086293a, 0x0c0320, { bars: [{ index: 0, type: "mem32", size: 4096 }] }),
        plain("1f.0", 0x80862918, 0x060100),
        plain("1f.2", 0x80862922, 0x010601),
        plain("1f.3", 0x80862930, 0x0c0500),
      ],
    },
  ],
};

export const q35Topology = (): PciTopology => PciTopology.fromDescription(q35, { models });

/** Group members as short names: "01:00.0 01:00.1". */
export const partition = (topology: PciTopology): string[] =>
  topology.groups.map((group) => group.functions.map((fn) => fn.name.slice(5)).join(" "));
