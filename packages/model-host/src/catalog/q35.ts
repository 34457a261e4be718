// "q35": the machine on which the kernel's answers were recorded for x86: QEMU 7.2's Q35 with an emulated VT-d, and the
// devices that give VFIO something of everything: groups of one and of several, a bridge to conventional PCI, a switch
// whose ports do not isolate, virtual functions, hot-plug slots, a display, lines that are shared.
// Addresses, lines and COMMAND are those that its firmware and kernel ended with.
import type { FunctionDescription, HostDescription } from "../description.ts";

/** The function that the option `disk` stands for. */
export const Q35_DISK = "0000:01:00.0";

const MIB = 1024 * 1024;
const VFIO = "vfio-pci";
const PORT = "pcieport";
/** Firmware had its own driver on it and left it a bus master. */
const USED_BY_FIRMWARE = 0x0107;

type Bars = Record<string, { address: number }>;
const bar = (index: number, address: number): Bars => ({ [index]: { address } });
const disk = { kind: "null", size: 64 * MIB };

function edu(at: string, address: number, rest: Partial<FunctionDescription> = {}): FunctionDescription {
  return { at, model: "edu", driver: VFIO, bars: bar(0, address), ...rest };
}

/** `queues`: where firmware had its admin queues, one page each. */
function nvme(
  at: string,
  address: number,
  serial: string,
  queues: number,
  options: Record<string, unknown> = {},
): FunctionDescription {
  const adminQueues = { attributes: 0x00ff_003f, submission: queues, completion: queues + 0x1000 };
  return {
    at,
    model: "nvme",
    options: { disk, serial, commandSets: true, adminQueues, ...options },
    driver: VFIO,
    command: USED_BY_FIRMWARE,
    bars: bar(0, address),
  };
}

function e1000e(base: number, ports: number, mac: string): FunctionDescription {
  return {
    at: "00.0",
    model: "e1000e",
    options: { mac },
    driver: VFIO,
    bars: {
      ...bar(0, base + 0x4_0000),
      ...bar(1, base + 0x6_0000),
      ...bar(2, ports),
      ...bar(3, base + 0x8_0000),
      ...bar(6, base),
    },
  };
}

function uhci(at: string, ports: number, controller = 1, multifunction = false): FunctionDescription {
  return { at, model: "uhci", options: { controller }, driver: VFIO, multifunction, bars: bar(4, ports) };
}

function ehci(at: string, address: number, options: Record<string, unknown>): FunctionDescription {
  return { at, model: "ehci", options, driver: VFIO, multifunction: false, bars: bar(0, address) };
}

interface Forwarded {
  /** First and last port. */
  readonly io: readonly [number, number];
  readonly memory: readonly [number, number];
  readonly prefetchable: readonly [number, number];
}

function windows({ io, memory, prefetchable }: Forwarded): NonNullable<FunctionDescription["windows"]> {
  const window = ([first, end]: readonly [number, number]) => ({ base: first, size: end - first });
  return { io: window(io), memory32: window(memory), memory64: window(prefetchable) };
}

const rootPorts: FunctionDescription[] = [
  {
    at: "02.0",
    bridge: "root-port",
    multifunction: true,
    hotplug: true,
    slot: 100,
    windows: windows({
      io: [0x6000, 0x7000],
      memory: [0xfe60_0000, 0xfe80_0000],
      prefetchable: [0xfd00_0000, 0xfd20_0000],
    }),
    children: [nvme("00.0", 0xfe60_0000, "nvme0", 0x7ffd_8000)],
  },
  {
    at: "02.1",
    bridge: "root-port",
    slot: 101,
    windows: windows({
      io: [0x4000, 0x5000],
      memory: [0xfde0_0000, 0xfe20_0000],
      prefetchable: [0xfce0_0000, 0xfd00_0000],
    }),
    children: [
      edu("00.0", 0xfde0_0000, { multifunction: true }),
      { at: "00.1", model: "pci-testdev", driver: VFIO, bars: { ...bar(0, 0xfe00_8000), ...bar(1, 0x4000) } },
      edu("00.2", 0xfdf0_0000),
      { at: "00.3", model: "ich9-intel-hda", driver: VFIO, bars: bar(0, 0xfe00_0000) },
      nvme("00.4", 0xfe00_4000, "mf4", 0x7ffd_0000),
    ],
  },
  {
    at: "02.2",
    bridge: "root-port",
    slot: 102,
    windows: windows({
      io: [0x3000, 0x4000],
      memory: [0xfd40_0000, 0xfda0_0000],
      prefetchable: [0xfcc0_0000, 0xfce0_0000],
    }),
    children: [
      {
        at: "00.0",
        bridge: "pcie-pci-bridge",
        windows: windows({
          io: [0x3000, 0x4000],
          memory: [0xfd40_0000, 0xfd80_0000],
          prefetchable: [0xfcc0_0000, 0xfce0_0000],
        }),
        bars: bar(0, 0xfd80_0000),
        children: [
          edu("01.0", 0xfd40_0000),
          edu("02.0", 0xfd50_0000),
          uhci("03.0", 0x3000, 1, true),
          ehci("03.7", 0xfd60_0000, { companions: 1 }),
        ],
      },
    ],
  },
  {
    at: "02.3",
    bridge: "root-port",
    slot: 103,
    windows: windows({
      io: [0x2000, 0x3000],
      memory: [0xfe40_0000, 0xfe60_0000],
      prefetchable: [0xfca0_0000, 0xfcc0_0000],
    }),
    children: [e1000e(0xfe40_0000, 0x2000, "52:54:00:00:00:01")],
  },
  {
    at: "02.4",
    bridge: "root-port",
    slot: 104,
    windows: windows({
      io: [0x8000, 0xa000],
      memory: [0xfda0_0000, 0xfde0_0000],
      prefetchable: [0xfc40_0000, 0xfc80_0000],
    }),
    children: [
      {
        at: "00.0",
        bridge: "upstream-port",
        driver: PORT,
        windows: windows({
          io: [0x8000, 0xa000],
          memory: [0xfda0_0000, 0xfde0_0000],
          prefetchable: [0xfc40_0000, 0xfc80_0000],
        }),
        children: [
          {
            at: "00.0",
            bridge: "downstream-port",
            acs: false,
            slot: 10,
            hotplug: true,
            driver: PORT,
            windows: windows({
              io: [0x8000, 0x9000],
              memory: [0xfdc0_0000, 0xfde0_0000],
              prefetchable: [0xfc60_0000, 0xfc80_0000],
            }),
            children: [nvme("00.0", 0xfdc0_0000, "nvme1", 0x7ffc_e000)],
          },
          {
            at: "01.0",
            bridge: "downstream-port",
            acs: false,
            slot: 11,
            hotplug: true,
            driver: PORT,
            windows: windows({
              io: [0x9000, 0xa000],
              memory: [0xfda0_0000, 0xfdc0_0000],
              prefetchable: [0xfc40_0000, 0xfc60_0000],
            }),
            children: [e1000e(0xfda0_0000, 0x9000, "52:54:00:00:00:02")],
          },
        ],
      },
    ],
  },
  {
    at: "02.5",
    bridge: "root-port",
    hotplug: true,
    slot: 105,
    windows: windows({
      io: [0x7000, 0x8000],
      memory: [0xfe20_0000, 0xfe40_0000],
      prefetchable: [0xfc80_0000, 0xfca0_0000],
    }),
    children: [
      {
        ...nvme("00.0", 0xfe20_0000, "nvme2", 0x7ffc_6000, {
          queues: 6,
          vectors: 4,
          sriov: { vfs: 2, flexibleQueues: 4, flexibleVectors: 2 },
        }),
        bars: { ...bar(0, 0xfe20_0000), ...bar(7, 0xfe20_4000) },
      },
    ],
  },
].map((port, index) => ({
  multifunction: false,
  driver: PORT,
  bars: bar(0, 0xfea0_4000 + index * 0x1000),
  ...(port as FunctionDescription),
}));

const chipset: FunctionDescription[] = [
  { at: "1f.0", model: "ich9-lpc", multifunction: true },
  {
    at: "1f.2",
    model: "ich9-ahci",
    multifunction: true,
    command: USED_BY_FIRMWARE,
    bars: { ...bar(4, 0x50c0), ...bar(5, 0xfea0_d000) },
  },
  { at: "1f.3", model: "ich9-smbus", multifunction: true, bars: bar(4, 0x0700) },
];

export const q35: HostDescription = {
  name: "q35",
  arch: "x86_64",
  iommu: { kind: "type1", snoopControl: false },
  memlock: 8 * MIB,
  drivers: [
    { name: "shpchp", class: 0x060400 },
    { name: "virtio-pci", class: 0x078000 },
  ],
  domains: [
    {
      domain: 0,
      windows: {
        memory32: { base: 0x8000_0000, size: 0x7ec0_0000 },
        memory64: { base: 0x8000_0000, size: 0x8_8000_0000 },
        io: { base: 0x0600, size: 0xfa00 },
      },
      interrupts: {
        slots: [
          { devices: [0, 24], rotate: true, gsi: 20 },
          { devices: [25, 29], rotate: false, gsi: 16 },
          { devices: [30, 30], rotate: false, gsi: 20 },
          { devices: [31, 31], rotate: false, gsi: 16 },
        ],
        lines: [10, 10, 11, 11],
      },
      command: 0x0103,
      ports: { firstIrq: 25 },
      devices: [
        { at: "00.0", model: "q35-host-bridge" },
        edu("01.0", 0xfe80_0000),
        ...rootPorts,
        {
          at: "03.0",
          model: "vga",
          options: { memory: 4 },
          driver: VFIO,
          bars: { ...bar(0, 0xfc00_0000), ...bar(2, 0xfea0_a000) },
          // What is left of the network card's boot ROM after it has found nothing to boot from.
          shadowRom: { vendor: 0x8086, device: 0x10d3, class: 0x020000, blocks: 0x93, resident: 7 },
        },
        { at: "04.0", model: "nec-xhci", driver: VFIO, bars: bar(0, 0xfea0_0000) },
        edu("05.0", 0xfe90_0000),
        uhci("1d.0", 0x5080, 1, true),
        uhci("1d.1", 0x50a0, 2),
        ehci("1d.7", 0xfea0_b000, { companions: 2, configured: true }),
        {
          at: "1e.0",
          model: "virtio-serial",
          driver: "virtio-pci",
          messages: true,
          bars: { ...bar(0, 0x5000), ...bar(1, 0xfea0_c000), ...bar(4, 0xfd20_0000) },
        },
        ...chipset,
      ],
    },
  ],
};
