// What is proven of each device: the function in the level-1 machine of devices.args, the modules that drive it in the
// guest, and each kind of interrupt that it is to work with. guest/checks holds what the guest does with it.

/** A script of guest/checks. */
export type Check = "nvme" | "e1000e" | "edu" | "hda" | "usb";

export interface Device {
  readonly name: string;
  readonly check: Check;
  /** In the level-1 machine. */
  readonly bdf: string;
  /** vendor:device, by which the guest finds the function whatever its address there. */
  readonly id: string;
  /** Those that it needs are found out. */
  readonly modules: readonly string[];
  /** What is special about it. */
  readonly shows: string;
  /** Interrupts, with what makes the driver use them. */
  readonly kinds: readonly (readonly [kind: "msix" | "msi" | "intx", append: string])[];
  /** Interrupts that there must be, on all CPUs together. */
  readonly enough: number;
  /** More words for the check. */
  readonly append?: string;
  /** Whether the test makes a disk for it, which is then called disk-NAME. */
  readonly disk?: true;
}

const usb = (driver: string, speed: string) => ({
  check: "usb" as const,
  kinds: [["intx", ""] as const],
  modules: [driver, "usb_storage", "sd_mod"],
  append: `DRIVER=${driver === "uhci_hcd" ? driver : driver.replace("_", "-")} SPEED=${speed} usb_storage.delay_use=0`,
  enough: 10,
  disk: true as const,
});

export const DEVICES: readonly Device[] = [
  {
    name: "nvme",
    check: "nvme",
    bdf: "0000:01:00.0",
    id: "1b36:0010",
    modules: ["nvme"],
    shows: "4 KiB-aligned BAR, function-level reset",
    kinds: [["msix", ""]],
    enough: 3,
    disk: true,
  },
  {
    name: "e1000e",
    check: "e1000e",
    bdf: "0000:03:00.0",
    id: "8086:10d3",
    modules: ["e1000e"],
    shows: "four BARs, network",
    kinds: [
      ["msix", ""],
      ["msi", "e1000e.IntMode=1 iomem=relaxed"],
    ],
    enough: 3,
  },
  {
    name: "edu",
    check: "edu",
    bdf: "0000:00:01.0",
    id: "1234:11e8",
    modules: ["edu"],
    shows: "28-bit DMA, no reset",
    kinds: [
      ["intx", "edu.msi=0"],
      ["msi", "edu.msi=1"],
    ],
    enough: 4,
  },
  {
    name: "hda",
    check: "hda",
    bdf: "0000:00:03.0",
    id: "8086:293e",
    modules: ["snd_hda_codec_generic", "snd_hda_intel"],
    shows: "codec by DMA rings, sound",
    kinds: [
      ["msi", "snd_hda_intel.enable_msi=1"],
      ["intx", "snd_hda_intel.enable_msi=0"],
    ],
    enough: 5,
  },
  { name: "uhci", bdf: "0000:00:04.0", id: "8086:7020", shows: "I/O-port BAR", ...usb("uhci_hcd", "12") },
  { name: "ehci", bdf: "0000:00:05.0", id: "8086:24cd", shows: "USB 2.0", ...usb("ehci_pci", "480") },
  { name: "ohci", bdf: "0000:00:06.0", id: "106b:003f", shows: "BAR smaller than a page", ...usb("ohci_pci", "12") },
];

/** Functions of one slot, which one hot reset takes together. */
export const SLOT: readonly string[] = [0, 1, 2, 3, 4].map((each) => `0000:02:00.${each}`);

export interface Case {
  readonly name: string;
  readonly device: Device;
  readonly kind: string;
  readonly cpus: number;
  /** Which 64 KiB of the device's disk this case writes, from 1 on. */
  readonly area: number;
  /** The kernel command line. */
  readonly append: string;
}

// Errors, warnings and the kernel's first words (notices) only: each character on the console is an exit. The emulator
// below does not stop guests at XSETBV as KVM asks it to, so KVM knows nothing of the state they switch on: noxsave.
const APPEND = "console=ttyS0 loglevel=6 noxsave panic=-1 cryptomgr.notests tsc=reliable";

/** Every device with each kind of interrupt, on one CPU and on two; or those whose names `wanted` finds. */
export function casesFor(wanted: RegExp): Case[] {
  const cases: Case[] = [];
  for (const cpus of [1, 2]) {
    for (const device of DEVICES) {
      for (const [kind, arguments_] of device.kinds) {
        const name = `${device.name}-${kind}-${cpus}`;
        const area = cases.length + 1;
        const facts = `CHECK=${device.check} FUNCTION=${device.id} KIND=${kind} CPUS=${cpus} ENOUGH=${device.enough}`;
        const words = [APPEND, facts, `AREA=${area} MODULES=${device.name}`, arguments_, device.append ?? ""];
        cases.push({ name, device, kind, cpus, area, append: words.filter((word) => word !== "").join(" ") });
      }
    }
  }
  return cases.filter(({ name }) => wanted.test(name));
}
