// Cases of calls in an order that nobody thought of: mappings, interrupts, configuration space; and a sweep of every
// register of configuration space.

import type { Json } from "../../lines.ts";
import type { RecordedMachine } from "../../machine.ts";
import type { X86Case } from "../../x86/format.ts";
import { caseOf, container, ioctl, Numbers, opened } from "./builder.ts";
import { DEVICES } from "./substitute.ts";

const PAGE = 4096;
const EMULATED =
  "contents of capabilities are those of the emulated device; what can be written and what is hidden is the kernel's";

/** Mappings of IOMMU types 1, 3 and 6 on few pages, so that they meet. */
export function randomMappings(machine: RecordedMachine, seeds: number, steps: number): X86Case[] {
  return [1, 3, 6].flatMap((type) =>
    Array.from({ length: seeds }, (_, seed) => {
      const numbers = new Numbers(type * 1000 + seed);
      const begin = [
        ...container("edu0", type),
        { op: "mmap", as: "M", size: 0x20_0000, align: 0x20_0000, nohuge: 1 },
        { op: "mmap", as: "B", size: PAGE },
      ];
      const body = Array.from({ length: steps }, () => mappingSteps(numbers)).flat();
      return caseOf(machine, `random.map.type${type}.${seed}`, "mappings in any order", [...begin, ...body]);
    }),
  );
}

function mappingSteps(numbers: Numbers): Json[] {
  const first = numbers.below(40);
  const pages = 1 + numbers.below(12);
  const iova = 0x10_0000 + first * PAGE;
  const size = pages * PAGE;
  switch (numbers.below(9)) {
    case 0:
    case 1:
    case 2: {
      const vaddr = `&M+0x${(numbers.below(256) * PAGE).toString(16)}`;
      const flags = numbers.pick([3, 3, 3, 1, 2, 0, 4, 7]);
      return [ioctl("C", "VFIO_IOMMU_MAP_DMA", { in: { argsz: 32, flags, vaddr, iova, size } }), { op: "vmlck" }];
    }
    case 3:
    case 4:
      return [
        ioctl("C", "VFIO_IOMMU_UNMAP_DMA", { in: { argsz: 24, flags: numbers.pick([0, 0, 0, 4]), iova, size } }),
        { op: "vmlck" },
      ];
    case 5:
      return [
        ioctl("C", "VFIO_IOMMU_UNMAP_DMA", {
          in: { argsz: 48, flags: 1, iova, size, bitmap_pgsize: PAGE, bitmap_size: 8, bitmap_data: "&B" },
        }),
        { op: "dump", at: "&B", size: 16 },
      ];
    case 6:
      return [ioctl("C", "VFIO_IOMMU_DIRTY_PAGES", { in: { argsz: 8, flags: numbers.pick([1, 2]) } })];
    case 7:
      return [
        ioctl("C", "VFIO_IOMMU_DIRTY_PAGES", {
          in: { argsz: 48, flags: 4, iova, size, bitmap_pgsize: PAGE, bitmap_size: 8, bitmap_data: "&B" },
        }),
        { op: "dump", at: "&B", size: 16 },
      ];
    default:
      return numbers.below(6) === 0
        ? [ioctl("C", "VFIO_IOMMU_UNMAP_DMA", { in: { argsz: 24, flags: 2, iova: 0, size: 0 } })]
        : [ioctl("C", "VFIO_IOMMU_GET_INFO", { in: { argsz: 256 } })];
  }
}

/** Interrupts of devices with few and many vectors. Nothing raises them but the requests themselves. */
export function randomInterrupts(machine: RecordedMachine, seeds: number, steps: number): X86Case[] {
  return ["edu0", "nvme0", "xhci0", "nic0", "mf1", "br3u"].flatMap((device, at) =>
    Array.from({ length: seeds }, (_, seed) => {
      const numbers = new Numbers(50_000 + at * 100 + seed);
      const events = [0, 1, 2, 3].map((n) => ({ op: "eventfd", as: `E${n}`, init: 0 }));
      const body = Array.from({ length: steps }, () => interruptSteps(numbers)).flat();
      return caseOf(machine, `random.irq.${device}.${seed}`, "interrupt requests in any order", [
        ...opened(device),
        ...events,
        ...body,
      ]);
    }),
  );
}

const ACTIONS = { mask: 8, unmask: 16, trigger: 32 };
const NONE = 1;
const BOOL = 2;
const EVENTFD = 4;

function interruptSteps(numbers: Numbers): Json[] {
  const index = numbers.pick([0, 0, 1, 1, 2, 2, 2, 3, 4]);
  if (numbers.below(8) === 0) return [ioctl("D", "VFIO_DEVICE_GET_IRQ_INFO", { in: { argsz: 16, index } })];
  const start = numbers.pick([0, 0, 0, 1, 2]);
  const count = numbers.pick([0, 1, 1, 2, 3]);
  const action = numbers.pick([ACTIONS.trigger, ACTIONS.trigger, ACTIONS.trigger, ACTIONS.mask, ACTIONS.unmask]);
  const data = numbers.pick([NONE, BOOL, EVENTFD, EVENTFD, EVENTFD]);
  const head = { flags: action | data, index, start, count };
  const fds = Array.from({ length: count }, () => numbers.pick(["$E0", "$E1", "$E2", "$E3", -1]));
  const bools = Array.from({ length: count }, () => numbers.below(2));
  const request =
    data === EVENTFD
      ? { in: { argsz: 20 + 4 * count, ...head }, fds }
      : data === BOOL
        ? { in: { argsz: 20 + count, ...head }, bools }
        : { in: { argsz: 20, ...head } };
  const reads = [0, 1, 2, 3].map((n) => ({ op: "evread", fd: `E${n}`, ms: 0 }));
  return [ioctl("D", "VFIO_DEVICE_SET_IRQS", request), ...reads];
}

/** Every register of configuration space is written with ones, then zeroes, and read after each. */
export function configSweeps(machine: RecordedMachine): X86Case[] {
  return DEVICES.map((device) => {
    const body = Array.from({ length: 80 }, (_, at) => at * 4).flatMap((off) => [
      { op: "pwrite", fd: "D", region: 7, off, bytes: "ffffffff" },
      { op: "pread", fd: "D", region: 7, off, size: 4 },
      { op: "pwrite", fd: "D", region: 7, off, bytes: "00000000" },
      { op: "pread", fd: "D", region: 7, off, size: 4 },
    ]);
    const why = "every register written with ones and zeroes";
    return caseOf(machine, `config.sweep.${device}`, why, [...opened(device), ...body], EMULATED);
  });
}

/** The emulated devices keep what is written between their capabilities, over resets and cases. */
const CLEARED = Array.from({ length: 48 }, (_, at) => {
  return { op: "pwrite", fd: "D", region: 7, off: 64 + at * 4, bytes: "00000000" };
});

/** Reads and writes of configuration space at any place and of any size. */
export function randomConfig(machine: RecordedMachine, seeds: number, steps: number): X86Case[] {
  return DEVICES.flatMap((device, at) =>
    Array.from({ length: seeds }, (_, seed) => {
      const numbers = new Numbers(90_000 + at * 100 + seed);
      const body = Array.from({ length: steps }, () => {
        const size = numbers.pick([1, 1, 2, 2, 3, 4, 4, 8]);
        const off = numbers.pick([4, 6, 12, 16, 20, 36, 48, 52, 60, 64, 80, 160, 200, 224]) + numbers.below(6);
        const bytes = Array.from({ length: size }, () => numbers.below(256).toString(16).padStart(2, "0")).join("");
        return [
          { op: "pwrite", fd: "D", region: 7, off, bytes },
          { op: "pread", fd: "D", region: 7, off: off & ~3, size: 12 },
        ];
      }).flat();
      const why = "configuration space written anywhere";
      return caseOf(
        machine,
        `random.config.${device}.${seed}`,
        why,
        [...opened(device), ...body, ...CLEARED],
        EMULATED,
      );
    }),
  );
}
