// Random sequences of everything that maps, copies, unmaps, attaches, detaches, opens and closes, by two processes on two
// iommufds, checked against a plain account of which page is mapped where: pins and charges are exactly those of pages
// that hardware shows, nothing is thrown, and after the last close nothing is left.
import { ENOENT, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import type { ModelProcess, OpenFile } from "@minivmm/host/model";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { iommuGroupOf, vfioIoctls } from "../src/index.ts";
import { iommufdOf } from "../src/model/index.ts";
import * as uapi from "../src/uapi-iommufd.ts";
import { BRIDGED, BRIDGED_FREE, EDU, NVME } from "./fixture.ts";
import { iommufdHost, nodeName, type RawIommufd, rawDevice, rawIommufd } from "./iommufd-fixture.ts";
import { ram } from "./type1-fixture.ts";

const PAGE = 4096;
const PAGES = 32;
/** A descriptor that is not open. */
const CLOSED = 9999;
const DEVICES = [EDU, NVME, BRIDGED, BRIDGED_FREE];
const ioctls = vfioIoctls("x86_64");

interface Step {
  readonly what: (typeof WHAT)[number];
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

const WHAT = [
  "alloc",
  "destroy",
  "map",
  "map",
  "map",
  "copy",
  "copy",
  "unmap",
  "unmap",
  "unmapAll",
  "allow",
  "huge",
  "open",
  "bind",
  "bind",
  "attach",
  "attach",
  "attach",
  "detach",
  "hwpt",
  "close",
  "iommufd",
  "group",
  "groupDevice",
] as const;

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom(...WHAT),
  a: fc.nat(3),
  // Mostly numbers that objects have.
  b: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 2 }) }, { weight: 3, arbitrary: fc.nat(7) }),
  c: fc.nat(PAGES),
  d: fc.nat(PAGES),
});

/** One mapped range of a space, in pages: which memory, and from which of its pages on. */
interface PlainArea {
  readonly iova: number;
  readonly pages: number;
  readonly memory: object;
  readonly first: number;
}

class World {
  readonly host = iommufdHost();
  readonly process: ModelProcess = this.host.process;
  readonly memory = ram(this.process, PAGES);
  readonly physical: number = this.process.mm.virtToPhys(this.memory.address);
  readonly files: OpenFile[] = [];
  readonly io: RawIommufd[] = [];
  readonly spaces: Map<number, PlainArea[]>[] = [];
  readonly iommufds: number[] = [];
  /** Open descriptors of devices, by path of opening. */
  readonly devices: number[] = [];
  readonly groups: number[] = [];

  constructor() {
    this.host.core.bind(BRIDGED_FREE, "vfio-pci");
    this.process.close(this.host.fd);
    this.openIommufd();
    this.openIommufd();
  }

  openIommufd(): void {
    const fd = this.process.open("/dev/iommu", O_RDWR | O_CLOEXEC);
    this.iommufds.push(fd);
    this.io.push(rawIommufd(this.process, fd));
    this.spaces.push(new Map());
    this.files.push(this.process.fileOf(fd) as OpenFile);
  }

  run({ what, a, b, c, d }: Step): number {
    const which = a % this.io.length;
    const io = this.io[which] as RawIommufd;
    const spaces = this.spaces[which] as Map<number, PlainArea[]>;
    const device = this.devices[a % Math.max(this.devices.length, 1)] ?? CLOSED;
    switch (what) {
      case "alloc": {
        const id = io.alloc();
        if (id > 0) spaces.set(id, []);
        return id;
      }
      case "destroy": {
        const result = io.destroy(b);
        if (result === 0) spaces.delete(b);
        return result;
      }
      case "map": {
        const pages = Math.max(d % 9, 1);
        const va = this.memory.address + (c % PAGES) * PAGE;
        // Every fourth one asks for a place; some reach out of the memory.
        const iova = io.map(b, { va, size: pages * PAGE, ...(d % 4 === 0 ? {} : { iova: d * PAGE }) });
        if (iova >= 0) spaces.get(b)?.push({ iova: iova / PAGE, pages, memory: {}, first: 0 });
        return iova;
      }
      case "copy": {
        const pages = Math.max(d % 7, 1);
        const to = c % 2 === 0 ? b : (b + d) % 4;
        const parts = slices(spaces.get(b) ?? [], c, pages);
        const copy = { from: b, to, src: c * PAGE, size: pages * PAGE };
        const dst = io.copy({ ...copy, ...(d % 3 === 0 ? {} : { dst: ((c + d) % 64) * PAGE }) });
        if (dst >= 0) for (const part of parts) spaces.get(to)?.push({ ...part, iova: dst / PAGE + part.iova });
        return dst;
      }
      case "unmap": {
        const pages = Math.max(d % 17, 1);
        const list = spaces.get(b);
        const result = io.unmap(b, c * PAGE, pages * PAGE);
        if (list && (result >= 0 || result === -ENOENT))
          spaces.set(
            b,
            list.filter((each) => !goes(list, each, c, pages)),
          );
        return result;
      }
      case "unmapAll": {
        const result = io.unmapAll(b);
        if (result >= 0) spaces.set(b, []);
        return result;
      }
      case "allow":
        return io.allow(b, c % 3 === 0 ? [] : [[c * PAGE, (c + d + 1) * PAGE - 1]]);
      case "huge":
        return io.option(uapi.IOMMU_OPTION_OP_SET, uapi.IOMMU_OPTION_HUGE_PAGES, b, BigInt(c % 2));
      case "open": {
        const name = nodeName(this.process, DEVICES[b % DEVICES.length] as string);
        return this.keep(this.devices, this.process.open(`/dev/vfio/devices/${name}`, O_RDWR));
      }
      case "bind":
        return rawDevice(this.process, device).bind(this.iommufds[b % this.iommufds.length] as number);
      case "attach":
        return rawDevice(this.process, device).attach(b);
      case "detach":
        return rawDevice(this.process, device).detach();
      case "hwpt":
        return io.call("IOMMU_HWPT_ALLOC", uapi.iommu_hwpt_alloc, { dev_id: b, pt_id: c % 8 }).result;
      case "close":
        if (this.devices.length === 0) return 0;
        return this.process.close(this.devices.splice(a % this.devices.length, 1)[0] as number);
      case "iommufd":
        if (this.io.length < 3 && b % 2 === 0) this.openIommufd();
        else if (b === 7) this.closeIommufd(which);
        return 0;
      case "group": {
        const id = iommuGroupOf(this.process, DEVICES[b % DEVICES.length] as string);
        const group = this.keep(this.groups, this.process.open(`/dev/vfio/${id}`, O_RDWR));
        if (group < 0) return group;
        const arg = new Uint8Array(new Int32Array([this.iommufds[which] as number]).buffer);
        const result = this.process.ioctl(group, ioctls.VFIO_GROUP_SET_CONTAINER, arg);
        this.learnSpaces(which);
        return result;
      }
      case "groupDevice": {
        const group = this.groups[a % Math.max(this.groups.length, 1)] ?? CLOSED;
        const name = new TextEncoder().encode(`${DEVICES[b % DEVICES.length]}\0`);
        const fd = this.keep(this.devices, this.process.ioctl(group, ioctls.VFIO_GROUP_GET_DEVICE_FD, name));
        if (c % 4 === 0 && this.groups.length > 0)
          this.process.close(this.groups.splice(a % this.groups.length, 1)[0] as number);
        return fd;
      }
    }
  }

  /** The number is not used again here; bound devices keep the file. */
  closeIommufd(which: number): void {
    this.process.close(this.iommufds[which] as number);
    this.iommufds[which] = CLOSED;
    this.io[which] = rawIommufd(this.process, CLOSED);
  }

  /** A group makes an address space by itself. */
  learnSpaces(which: number): void {
    const context = iommufdOf(this.files[which] as OpenFile);
    for (const { id, type } of context?.objects.all() ?? []) {
      const spaces = this.spaces[which] as Map<number, PlainArea[]>;
      if (type === "ioas" && !spaces.has(id)) spaces.set(id, []);
    }
  }

  keep(list: number[], fd: number): number {
    if (fd >= 0) list.push(fd);
    return fd;
  }

  /** Distinct pages that hardware shows, by the plain account. */
  shown(): number {
    const seen = new Map<object, Set<number>>();
    this.spaces.forEach((spaces, which) => {
      const file = this.files[which] as OpenFile;
      const context = file.refs > 0 ? iommufdOf(file) : null;
      for (const [id, areas] of spaces) {
        const ioas = context?.objects.all().find((each) => each.id === id);
        const table = ioas && "table" in ioas ? (ioas.table as { domains: readonly object[] }) : null;
        if (!table || table.domains.length === 0) continue;
        for (const { memory, first, pages } of areas) {
          const set = seen.get(memory) ?? new Set();
          for (let i = 0; i < pages; i++) set.add(first + i);
          seen.set(memory, set);
        }
      }
    });
    return [...seen.values()].reduce((sum, set) => sum + set.size, 0);
  }

  pins() {
    const { mm } = this.process;
    return {
      pinned: mm.pinnedPages,
      charged: this.host.core.iommufd?.accounts.lockedBy(this.process),
      mm: mm.lockedPages,
    };
  }
}

/** What a copy takes; IOVAs relative to its start. */
function slices(areas: readonly PlainArea[], from: number, pages: number): PlainArea[] {
  return areas
    .map(({ iova, pages: length, memory, first }) => {
      const low = Math.max(iova, from);
      const high = Math.min(iova + length, from + pages);
      return { iova: low - from, pages: high - low, memory, first: first + (low - iova) };
    })
    .filter(({ pages: length }) => length > 0);
}

/** Does unmapping take `area`: it lies inside, and no area before it is cut? */
function goes(areas: readonly PlainArea[], area: PlainArea, from: number, pages: number): boolean {
  const inside = (each: PlainArea) => each.iova >= from && each.iova + each.pages <= from + pages;
  const touched = (each: PlainArea) => each.iova < from + pages && each.iova + each.pages > from;
  const cut = areas.filter((each) => touched(each) && !inside(each)).map(({ iova }) => iova);
  return inside(area) && area.iova < Math.min(...cut, Number.POSITIVE_INFINITY);
}

describe("vfio-core iommufd: sequences", () => {
  it("never leak a pin, a reference or a descriptor, and answer errnos only", () => {
    let shownAtAll = 0;
    let successes = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
        const world = new World();
        // A usual beginning, so that what follows meets attached hardware.
        for (const what of ["alloc", "alloc", "open", "bind", "attach", "map"] as const) {
          world.run({ what, a: 0, b: what === "attach" || what === "map" ? 1 : 0, c: 0, d: 21 });
        }
        for (const each of steps) {
          const result = world.run(each);
          expect(Number.isInteger(result) && result > -134).toBe(true);
          if (result >= 0) successes++;
          const shown = world.shown();
          shownAtAll += shown;
          expect(world.pins()).toEqual({ pinned: shown, charged: shown, mm: 0 });
        }
        const { process, host, files } = world;
        process.exit();
        expect(world.pins()).toEqual({ pinned: 0, charged: 0, mm: 0 });
        expect(files.map(({ refs }) => refs)).toEqual(files.map(() => 0));
        expect(host.kernel.physical.resolve(world.physical, 1)).toBeNull();
        for (const bdf of DEVICES) {
          const device = host.core.device(bdf);
          expect(device).toMatchObject({ openCount: 0, nodeFiles: 0, iommufd: null });
          expect(device?.group).toMatchObject({ opened: false, boundByNode: 0, iommufd: null, container: null });
          expect(device?.fn.group).toMatchObject({ owner: null, domain: null });
        }
      }),
      { numRuns: 150 },
    );
    // The sequences reach what they are for.
    expect(shownAtAll).toBeGreaterThan(1000);
    expect(successes).toBeGreaterThan(1000);
  });
});
