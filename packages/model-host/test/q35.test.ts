// The modelled q35 beside what Linux 6.12 and 6.1 showed of the real one: every function in sysfs, and every register of
// configuration space through VFIO, read and written.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { iommuGroupOf, VFIO_TYPE1v2_IOMMU, VfioContainer, VfioGroup } from "@minivmm/vfio-core";
import { describe, expect, it } from "vitest";
import { modelHost, modelHostDescription, modelHostNames, parseModelSpec } from "../src/index.ts";

function lines<T>(name: string): T[] {
  const text = gunzipSync(readFileSync(new URL(`recordings/${name}`, import.meta.url))).toString("utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}

/** One function as sysfs showed it; bound to vfio-pci where there is no driver of the host's. */
interface RecordedFunction {
  kernel: "6.12" | "6.1";
  function: string;
  group: number;
  driver: string | null;
  reset: string;
  irq: number;
  resource: string[];
  /** Bytes, and the dwords that are not zero, by offset. */
  size: number;
  config: Record<string, string>;
}

/** One function as a user of VFIO saw it. */
interface RecordedUse {
  kernel: "6.12" | "6.1";
  function: string;
  info: string[];
  /** "offset: first read, after ones, after zeroes, after the first again, what the writes returned" */
  dword?: string[];
  byte?: string[];
}

const text = (content: Uint8Array | number): string =>
  typeof content === "number" ? "" : Buffer.from(content).toString();
const hex = (value: number, digits: number): string => (value >>> 0).toString(16).padStart(digits, "0");

describe.each(["6.12", "6.1"] as const)("model-host q35: sysfs on Linux %s", (profile) => {
  const recorded = lines<RecordedFunction>("q35-functions.jsonl.gz");
  const own = recorded.filter(({ kernel }) => kernel === profile);
  const others = recorded.filter((each) => !own.some((mine) => mine.function === each.function));
  const host = modelHost("q35", { profile });
  const process = host.spawn();

  it("has the recorded functions in the recorded groups", () => {
    const names = [...own, ...others].map((each) => each.function).sort();
    expect(host.topology.functions.map((fn) => fn.name).sort()).toEqual(names);
    const groups = names.map((name) => [name, host.topology.get(name).group?.id]);
    expect(groups).toEqual(names.map((name) => [name, recorded.find((each) => each.function === name)?.group]));
  });

  it.each([...own, ...others].map((each) => [each.function, each] as const))("shows %s", (name, each) => {
    const at = `/sys/bus/pci/devices/${name}`;
    expect(
      text(process.readFile(`${at}/resource`))
        .trim()
        .split("\n"),
    ).toEqual(each.resource);
    expect(text(process.readFile(`${at}/irq`))).toBe(`${each.irq}\n`);
    expect(text(process.readFile(`${at}/reset_method`)).trim()).toBe(each.reset);
    expect(process.readlink(`${at}/driver`)).toEqual(each.driver ? `/sys/bus/pci/drivers/${each.driver}` : -2);
    const config = process.readFile(`${at}/config`) as Uint8Array;
    expect(config.length).toBe(each.size);
    const view = new DataView(config.buffer, config.byteOffset);
    const seen: Record<string, string> = {};
    for (let offset = 0; offset < config.length; offset += 4) {
      const word = view.getUint32(offset, true);
      if (word !== 0) seen[hex(offset, 3)] = hex(word, 8);
    }
    // The real driver had put idle functions to sleep; the two state bits are left out.
    const { pmOffset } = host.topology.get(name).device;
    const control = hex(pmOffset + 4, 3);
    const awake = { ...each.config };
    const asleep = Number.parseInt(awake[control] ?? "0", 16);
    if (pmOffset && asleep & 3) awake[control] = hex(asleep & ~3, 8);
    if (pmOffset && awake[control] === "00000000") delete awake[control];
    expect(seen).toEqual(awake);
  });
});

describe.each(["6.12", "6.1"] as const)("model-host q35: VFIO on Linux %s", (profile) => {
  const recorded = lines<RecordedUse>("q35-vfio.jsonl.gz");
  const host = modelHost("q35", { profile });

  it.each(recorded.filter(({ dword }) => dword).map((each) => [each.function, each] as const))(
    "gives a user the registers of %s, which takes what the real one took",
    (bdf, each) => {
      const process = host.spawn({ capabilities: ["IPC_LOCK"] });
      const container = VfioContainer.open(process);
      const group = VfioGroup.open(process, iommuGroupOf(process, bdf));
      group.setContainer(container);
      container.setIommu(VFIO_TYPE1v2_IOMMU);
      const { fd } = group.device(bdf);
      const other = recorded.find((use) => use.kernel === profile && use.function === bdf);
      expect(information(process, fd)).toEqual((other ?? each).info);
      expect(probe(process, fd, 4, each.dword?.length ?? 0)).toEqual(each.dword);
      expect(probe(process, fd, 1, each.byte?.length ?? 0)).toEqual(each.byte);
      process.exit();
    },
  );
});

type Process = ReturnType<ReturnType<typeof modelHost>["spawn"]>;
const CONFIG = 7 * 2 ** 40;

function probe(process: Process, fd: number, width: 1 | 4, count: number): string[] {
  const bytes = new Uint8Array(4);
  const view = new DataView(bytes.buffer);
  return Array.from({ length: count }, (_, n) => {
    const at = CONFIG + n * width;
    const read = (): number => {
      bytes.fill(0);
      process.pread(fd, bytes.subarray(0, width), at);
      return view.getUint32(0, true);
    };
    const write = (value: number): number => {
      view.setUint32(0, value, true);
      return process.pwrite(fd, bytes.subarray(0, width), at);
    };
    const first = read();
    const results = [write(0xffffffff)];
    const seen = [first, read()];
    write(0);
    seen.push(read());
    results.push(write(first));
    seen.push(read());
    return `${hex(n * width, 3)}: ${seen.map((value) => hex(value, width * 2)).join(" ")} ${results.join(" ")}`;
  });
}

const VFIO_DEVICE_GET_INFO = 0x3b6b;

/** Regions, interrupts and the device itself, one line each. */
function information(process: Process, fd: number): string[] {
  const ask = (request: number, size: number, index: number): [DataView, number] => {
    const view = new DataView(new ArrayBuffer(size));
    view.setUint32(0, size, true);
    view.setUint32(8, index, true);
    const result = process.ioctl(fd, request, new Uint8Array(view.buffer));
    return [view, result < 0 ? -1 : 0];
  };
  const regions = Array.from({ length: 10 }, (_, index) => {
    const [view, result] = ask(VFIO_DEVICE_GET_INFO + 1, 256, index);
    const size = result < 0 ? "0" : view.getBigUint64(16, true).toString(16);
    return `region ${index}: ${result} ${result < 0 ? 0 : view.getUint32(4, true).toString(16)} ${size}`;
  });
  const interrupts = Array.from({ length: 6 }, (_, index) => {
    const [view, result] = ask(VFIO_DEVICE_GET_INFO + 2, 16, index);
    return `irq ${index}: ${result} ${view.getUint32(4, true).toString(16)} ${view.getUint32(12, true)}`;
  });
  const [device] = ask(VFIO_DEVICE_GET_INFO, 24, 0);
  const numbers = `${device.getUint32(8, true)} ${device.getUint32(12, true)}`;
  return [...regions, ...interrupts, `info ${device.getUint32(4, true).toString(16)} ${numbers}`];
}

describe("model-host q35: ways to boot it", () => {
  it("without an IOMMU there are no groups, and nothing is bound to vfio-pci", () => {
    using host = modelHost("q35", { iommu: "none" });
    expect(host.topology.groups).toEqual([]);
    expect(host.topology.functions.filter((fn) => fn.driver === "vfio-pci")).toEqual([]);
    expect(host.spawn().readlink("/sys/bus/pci/devices/0000:00:01.0/iommu_group")).toBe(-2);
  });

  it("a line that cannot be shared is refused to the second device on it", () => {
    for (const nointxmask of [true, false]) {
      using host = modelHost("q35", { nointxmask });
      const process = host.spawn({ capabilities: ["IPC_LOCK"] });
      const container = VfioContainer.open(process);
      const enable = ["0000:00:01.0", "0000:00:05.0"].map((bdf) => {
        const group = VfioGroup.open(process, iommuGroupOf(process, bdf));
        group.setContainer(container);
        if (bdf.endsWith("01.0")) container.setIommu(VFIO_TYPE1v2_IOMMU);
        const device = group.device(bdf);
        return () => device.setIrqs({ index: 0, start: 0, fds: [process.eventfd(0, 0)] });
      });
      enable[0]?.();
      if (nointxmask) expect(enable[1]).toThrow(expect.objectContaining({ errno: 16 }));
      else expect(enable[1]).not.toThrow();
    }
  });

  it("reads the ways from text, and refuses them where they mean nothing", () => {
    expect(parseModelSpec("model:q35,iommu=none,nointxmask")).toEqual({ name: "q35", iommu: "none", nointxmask: true });
    expect(parseModelSpec("q35,aw=39,intremap=off,profile=6.1")).toEqual({
      name: "q35",
      addressWidth: 39,
      interruptRemapping: false,
      profile: "6.1",
    });
    for (const wrong of ["q35,aw=40", "q35,intremap", "q35,iommu=type1", "q35,nointxmask=1"]) {
      expect(() => parseModelSpec(wrong)).toThrow(expect.objectContaining({ code: "MODEL_OPTION" }));
    }
    expect(() => modelHostDescription("power9", { addressWidth: 39 })).toThrow("no type1 IOMMU");
    expect(modelHostDescription("q35", { addressWidth: 39 }).iommu).toMatchObject({ kind: "type1", addressWidth: 39 });
    expect(modelHostNames()).toContain("q35");
  });

  it("interrupts go where the board wires them once a function is enabled", () => {
    using host = modelHost("q35");
    const { topology } = host;
    const line = (bdf: string): [number, number] => [topology.get(bdf).irq, topology.get(bdf).gsi];
    expect([line("00:01.0"), line("00:05.0"), line("00:1d.7"), line("04:03.0"), line("00:03.0")]).toEqual([
      [10, 21],
      [10, 21],
      [19, 19],
      [21, 21],
      [0, 0],
    ]);
    const process = host.spawn({ capabilities: ["IPC_LOCK"] });
    const container = VfioContainer.open(process);
    const group = VfioGroup.open(process, iommuGroupOf(process, "0000:00:01.0"));
    group.setContainer(container);
    container.setIommu(VFIO_TYPE1v2_IOMMU);
    group.device("0000:00:01.0").close();
    expect(line("00:01.0")).toEqual([21, 21]);
  });
});
