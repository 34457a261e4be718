// The commands of random sequences: everything that processes may ask of VFIO, and what happens around it.
import fc from "fast-check";
import type { IrqCall, Kernel } from "./calls.ts";
import type { PlainKernel } from "./plain-kernel.ts";
import * as steps from "./step.ts";
import { type Command, type Fits, nothing, on, type Place, pick, processAt, step, times } from "./step.ts";

/** Processes there may be: more only make the rest rare. */
const PROCESSES = 4;
const { isAny, isContainer, isDevice, isEvent, isGroup, isReady, behindOf, descriptorOf } = steps;

/** Some function; one that is bound to vfio-pci, most of the time. */
function functionAt({ description: { functions } }: PlainKernel, n: number): string {
  const bound = n % 7 === 0 ? [] : functions.filter(({ driver }) => driver === "vfio-pci");
  const all = bound.length > 0 ? bound : functions;
  return all[n % all.length]?.bdf ?? "";
}

/** Opening and closing, processes that come and go. */
export const lifetimes = [
  step("openContainer", pick, (plain, n) => [["openContainer", processAt(plain, n)]]),
  step("openGroup", fc.tuple(pick, pick), (plain, [n, which]) => [
    ["openGroup", processAt(plain, n), functionAt(plain, which)],
  ]),
  step("eventfd", pick, (plain, n) => [["eventfd", processAt(plain, n)]]),
  on("dup", isAny, nothing, (_, at) => ["dup", ...at]),
  on("close", isAny, nothing, (_, at) => ["close", ...at]),
  on("close", isGroup, nothing, (_, at) => ["close", ...at]),
  on("close", isDevice, nothing, (_, at) => ["close", ...at]),
  step("fork", pick, (plain, n) =>
    plain.processes.length < PROCESSES ? [["fork", processAt(plain, n)] as const] : null,
  ),
  step("exit", pick, (plain, n) =>
    plain.processes.filter((each) => each.alive).length > 1 ? [["exit", processAt(plain, n)] as const] : null,
  ),
];

/** The whole way to an open device in one process. */
const flow = step("flow", fc.tuple(pick, pick, fc.constantFrom(1, 3, 3, 3)), (plain, [n, which, type]) => {
  const bdf = functionAt(plain, which);
  const p = processAt(plain, n);
  const fds = [...(plain.processes[p]?.fds ?? [])];
  const last = (fits: Fits) => fds.filter(([, { behind }]) => fits(behind)).at(-1)?.[0] ?? -1;
  return [
    ["eventfd", p],
    ["openContainer", p],
    ["openGroup", p, bdf],
    ["setContainer", p, last(isGroup), last(isContainer)],
    ["setIommu", p, last(isContainer), type],
    ["deviceFd", p, last(isGroup), bdf],
  ];
});

const odd = fc.constantFrom("", "0000:00:1f.9");
/** Groups and containers, and the whole way to a device. */
export const groups = [
  ...times(5, flow),
  on("status", isGroup, nothing, (_, at) => ["status", ...at]),
  on("setContainer", isGroup, pick, (plain, at, other) => [
    "setContainer",
    ...at,
    descriptorOf(plain, at[0], isContainer, other),
  ]),
  on("unsetContainer", isGroup, nothing, (_, at) => ["unsetContainer", ...at]),
  on("setIommu", isContainer, fc.constantFrom(1, 3, 3, 2, 6, 9, 99), (_, at, type) => ["setIommu", ...at, type]),
  on("checkExtension", isContainer, fc.nat(12), (_, at, extension) => ["checkExtension", ...at, extension]),
  on("deviceFd", isGroup, fc.tuple(pick, odd), (plain, at, [which, wrong], n) => {
    const behind = behindOf(plain, at);
    const own = behind?.kind === "group" ? behind.group.devices[n % 3]?.fn.bdf : undefined;
    return ["deviceFd", ...at, n % 13 === 0 ? wrong : n % 4 > 0 && own ? own : functionAt(plain, which)];
  }),
];

const iova = fc.nat(40);
const mapping = fc.record({
  iova,
  vaddr: fc.nat(18),
  pages: fc.integer({ min: 1, max: 10 }),
  flags: fc.constantFrom(3, 3, 3, 1, 2),
});
const oddMapping = fc.record({ iova, vaddr: fc.nat(18), pages: fc.nat(3), flags: fc.nat(9) });
const unmapping = fc.record({ iova, pages: fc.nat(24), flags: fc.constantFrom(0, 0, 0, 0, 1, 4, 4, 8) });

function mappingsOf(plain: PlainKernel, at: Place) {
  const behind = behindOf(plain, at);
  return behind?.kind === "container" ? behind.container.mappings : [];
}
/** On a device the number of DIRTY_PAGES is another ioctl. */
const noDevice = (plain: PlainKernel, at: Place) => behindOf(plain, at)?.kind !== "device";

const dma = [
  ...times(
    4,
    on("map", isReady, mapping, (_, at, call) => ["map", ...at, call]),
  ),
  on("map", isContainer, oddMapping, (_, at, call) => ["map", ...at, call]),
  // Another address for one of the mappings, by whoever has the container.
  on("updateVaddr", isReady, fc.nat(16), (plain, at, vaddr, n) => {
    const all = mappingsOf(plain, at);
    const { iova: from = 0, pages = 1 } = all[n % (all.length || 1)] ?? {};
    return ["map", ...at, { iova: from, vaddr, pages, flags: 4 }];
  }),
  ...times(
    2,
    on("unmap", isReady, unmapping, (_, at, call) => ["unmap", ...at, call]),
  ),
  on("unmapOne", isReady, fc.constantFrom(0, 0, 1, 4), (plain, at, flags, n) => {
    const all = mappingsOf(plain, at);
    const { iova: from = 0, pages = 1 } = all[n % (all.length || 1)] ?? {};
    return ["unmap", ...at, { iova: from, pages, flags }];
  }),
  on("unmapAll", isReady, fc.constantFrom(2, 6, 6, 3), (_, at, flags) => [
    "unmap",
    ...at,
    { iova: 0, pages: 0, flags },
  ]),
  on("dirty", isReady, fc.constantFrom(1, 1, 2), (plain, at, flags) =>
    noDevice(plain, at) ? ["dirty", ...at, flags] : null,
  ),
  on("bitmap", isReady, fc.tuple(iova, fc.nat(60)), (plain, at, [from, pages]) => {
    const mapped = mappingsOf(plain, at).flatMap((each) => Array.from({ length: each.pages }, (_, i) => each.iova + i));
    return noDevice(plain, at) ? ["bitmap", ...at, from, pages, mapped] : null;
  }),
];

const irqRequest = fc.record({
  index: fc.constantFrom(0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 5),
  action: fc.constantFrom(...times(8, 0x20), 0x10, 0x10, 0x08, 0, 0x30),
  kind: fc.constantFrom(4, 4, 4, 4, 1, 1, 2, 0, 6),
  start: fc.constantFrom(0, 0, 0, 0, 1, 2, 4),
  count: fc.constantFrom(1, 1, 1, 1, 0, 2, 3, 5),
  data: fc.array(pick, { minLength: 5, maxLength: 5 }),
});
const bar = fc.record({
  bar: fc.constantFrom(0, 0, 0, 0, 0, 2, 3, 6, 7),
  page: fc.constantFrom(0, 0, 0, 1, 1, 254),
  pages: fc.integer({ min: 1, max: 4 }),
  shared: fc.constantFrom(true, true, true, false),
});

/** The request moved to an index and to vectors that the device has. */
function within(request: IrqCall, counts: readonly number[]): IrqCall {
  const there = counts.flatMap((count, index) => (count > 0 ? [index] : []));
  const index = there.includes(request.index) ? request.index : (there[request.index % (there.length || 1)] ?? 0);
  const available = counts[index] ?? 1;
  const start = request.start % available;
  return { ...request, index, start, count: Math.min(request.count, available - start) };
}

const devices = [
  ...times(
    6,
    on("setIrqs", isDevice, irqRequest, (plain, at, { index, action, kind, start, count, data }) => {
      const value = (n: number) => (n % 13 === 0 ? -1 - (n % 2) : descriptorOf(plain, at[0], isEvent, n));
      const values = data.map((n) => (kind === 2 ? n % 2 : value(n)));
      const request = { index, flags: action | kind, start, count, data: values };
      const behind = behindOf(plain, at);
      const counts = behind?.kind === "device" ? plain.description.irqCounts(behind.device.fn.bdf) : [];
      return ["setIrqs", ...at, (data[0] as number) % 5 === 0 ? request : within(request, counts)];
    }),
  ),
  on("signal", isEvent, fc.integer({ min: 1, max: 3 }), (plain, at, count) => {
    const kind = behindOf(plain, at)?.kind;
    return kind === undefined || kind === "eventfd" ? ["signal", ...at, count] : null;
  }),
  on("ioeventfd", isDevice, fc.tuple(pick, fc.nat(2)), (plain, at, [event, data]) => [
    "ioeventfd",
    ...at,
    data,
    event % 4 === 0 ? -1 : descriptorOf(plain, at[0], isEvent, event),
  ]),
  on("reset", isDevice, nothing, (_, at) => ["reset", ...at]),
  on("mmap", isDevice, bar, (_, at, call) => ["mmap", ...at, call]),
  step("munmap", fc.tuple(pick, fc.nat(3), fc.integer({ min: 1, max: 4 })), (plain, [n, from, pages]) => {
    const areas = plain.processes.flatMap(({ areas }, p) => areas.map((area) => ({ p, area })));
    const found = areas[n % (areas.length || 1)];
    if (!found) return null;
    const { id, from: start, to } = found.area;
    const first = start + (from % (to - start));
    return [["munmap", found.p, id, first, Math.min(pages, to - first)]];
  }),
];

const anyDriver = fc.constantFrom("vfio-pci", "vfio-pci", "vfio-pci", "pci-stub", "e1000");
/** Drivers come and go. */
export const drivers = [
  step("bind", fc.tuple(pick, anyDriver), ({ description: { functions } }, [n, driver]) => {
    const free = n % 5 === 0 ? functions : functions.filter((fn) => fn.driver === null);
    const fn = free[n % (free.length || 1)];
    return fn ? [["bind", fn.bdf, driver] as const] : null;
  }),
  step("unbind", pick, (plain, n) => [["unbind", functionAt(plain, n)]]),
  step("tenSeconds", nothing, (plain) =>
    plain.description.functions.some(({ waiting }) => waiting) ? [["tenSeconds"]] : null,
  ),
];

const external = [
  on("externalGet", isGroup, nothing, (_, at) => ["externalGet", ...at]),
  step("externalPut", pick, (plain, n) =>
    plain.external.length > 0 ? [["externalPut", n % plain.external.length] as const] : null,
  ),
];

/**
 * All commands that make sense on a kernel. Before 5.18 there are in-kernel users of groups, and binding a host driver
 * to a group in use stopped the kernel, so no sequence does that.
 */
export function commandsFor(kernel: Kernel): fc.Arbitrary<Command>[] {
  const common = [...lifetimes, ...groups, ...dma, ...devices];
  return kernel === "4.12" ? [...common, ...external] : [...common, ...drivers];
}
