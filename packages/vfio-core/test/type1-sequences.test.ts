// Sequences of map, unmap, attach and detach by two processes against a plain list of mappings: same answers, the same
// pages charged to each process, and nothing left when the last group has gone. No call may throw.
import { EEXIST, EFAULT, EINVAL, ENOMEM, ENOSPC } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { iommuGroupOf, VfioGroup, vfioIoctls } from "../src/index.ts";
import { NVME, PASSIVE } from "./fixture.ts";
import { ram, type1Host } from "./type1-fixture.ts";

const PAGE = 4096;
const MEMORY = 16;
const LIMIT = 24;
const ENTRIES = 6;

interface Plain {
  iova: number;
  pages: number;
  owner: number;
}

const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant("map" as const),
      who: fc.nat(1),
      iova: fc.nat(40),
      pages: fc.nat(12),
      vaddr: fc.nat(18),
    }),
  },
  { weight: 4, arbitrary: fc.record({ op: fc.constant("unmap" as const), iova: fc.nat(40), pages: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant("all" as const) }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant("group" as const), which: fc.nat(2) }) },
);

/** What MAP_DMA must answer. IOVA page 20 is reserved; `vaddr` counts pages of a memory of MEMORY pages. */
function expectMap(
  list: Plain[],
  used: number,
  { iova, pages, vaddr }: { iova: number; pages: number; vaddr: number },
) {
  if (pages === 0) return -EINVAL;
  if (list.some((each) => each.iova < iova + pages && each.iova + each.pages > iova)) return -EEXIST;
  if (list.length === ENTRIES) return -ENOSPC;
  if (iova <= 20 && iova + pages > 20) return -EINVAL;
  const present = Math.max(0, Math.min(pages, MEMORY - vaddr));
  if (used + present > LIMIT) return -ENOMEM;
  return present < pages ? -EFAULT : 0;
}

/** What UNMAP_DMA must answer, and what it takes. */
function expectUnmap(list: Plain[], v2: boolean, iova: number, pages: number): { result: number; gone: Plain[] } {
  if (pages === 0) return { result: -EINVAL, gone: [] };
  const end = iova + pages;
  const hit = list.filter((each) => each.iova < end && each.iova + each.pages > iova);
  const cut = hit.some((each) => each.iova < iova || each.iova + each.pages > end);
  if (v2 && cut) return { result: -EINVAL, gone: [] };
  // Version 1 stops where a mapping starts before the range, which can only be the first one.
  const gone = hit.some((each) => each.iova < iova) ? [] : hit;
  return { result: gone.reduce((sum, each) => sum + each.pages * PAGE, 0), gone };
}

describe.each([1, 3])("vfio-core type1 sequences of type %i", (type) => {
  it("vfio-core type1 sequences: agree with a list, and everything comes back", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const reserved = { start: 20n * 4096n, end: 21n * 4096n - 1n, type: "reserved" as const };
        const host = type1Host({ type, type1: { dmaEntryLimit: ENTRIES, reservedRegions: [reserved] } });
        const { process, container, core } = host;
        const owners: ModelProcess[] = [process, process.fork()];
        const memories = owners.map((owner) => ram(owner, MEMORY));
        for (const owner of owners) owner.setrlimit("memlock", { soft: LIMIT * PAGE, hard: LIMIT * PAGE });
        // Behind the memory comes what mmap put there before; take it away so that a run over the end finds nothing.
        for (const [i, { address }] of memories.entries()) owners[i]?.mm.munmap(address + MEMORY * PAGE, 64 * PAGE);
        const groups = [
          host.group,
          ...[NVME, PASSIVE].map((bdf) => VfioGroup.open(process, iommuGroupOf(process, bdf))),
        ];
        const { VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER, VFIO_SET_IOMMU } = vfioIoctls(process.arch);
        const inside = new Set([0]);
        const fd = new Uint8Array(new Int32Array([container.fd]).buffer);
        let list: Plain[] = [];
        const used = (owner: number) => list.reduce((sum, each) => sum + (each.owner === owner ? each.pages : 0), 0);

        for (const step of commands) {
          if (step.op === "map") {
            const memory = memories[step.who]!;
            const request = {
              iova: step.iova * PAGE,
              vaddr: memory.address + step.vaddr * PAGE,
              size: step.pages * PAGE,
            };
            const want = inside.size === 0 ? -EINVAL : expectMap(list, used(step.who), step);
            expect(host.dma.by(owners[step.who]!).map(request)).toBe(want);
            if (want === 0) list.push({ iova: step.iova, pages: step.pages, owner: step.who });
          } else if (step.op === "unmap") {
            const { result, gone } = expectUnmap(list, type === 3, step.iova, step.pages);
            expect(host.dma.unmap(step.iova * PAGE, step.pages * PAGE)).toBe(inside.size === 0 ? -EINVAL : result);
            list = list.filter((each) => !gone.includes(each));
          } else if (step.op === "all") {
            const bytes = list.reduce((sum, each) => sum + each.pages * PAGE, 0);
            expect(host.dma.unmap(0, 0, 2)).toBe(inside.size === 0 ? -EINVAL : bytes);
            list = [];
          } else if (inside.delete(step.which)) {
            expect(process.ioctl(groups[step.which]!.fd, VFIO_GROUP_UNSET_CONTAINER)).toBe(0);
            if (inside.size === 0) list = [];
          } else {
            expect(process.ioctl(groups[step.which]!.fd, VFIO_GROUP_SET_CONTAINER, fd)).toBe(0);
            if (inside.size === 0) expect(process.ioctl(container.fd, VFIO_SET_IOMMU, type)).toBe(0);
            inside.add(step.which);
          }
          expect(owners.map((owner) => owner.mm.lockedPages)).toEqual([used(0), used(1)]);
          for (const each of list) {
            const domain = core.groups.get(groups[[...inside][0]!]!.id)?.iommuGroup.domain;
            expect(domain?.read(0, each.iova * PAGE, new Uint8Array(each.pages * PAGE))).toBe(true);
          }
        }

        for (const which of inside) groups[which]!.unsetContainer();
        expect(owners.map((owner) => owner.mm.lockedPages)).toEqual([0, 0]);
        const physical = memories.map(({ address }, i) => owners[i]!.mm.virtToPhys(address));
        for (const owner of owners) owner.exit();
        // Pins kept a memory alive until here, if one had leaked.
        for (const at of physical) expect(host.kernel.physical.resolve(at, 1)).toBeNull();
      }),
      { numRuns: 150 },
    );
  });

  it("vfio-core type1 sequences: no bytes that a user hands over make a call throw", () => {
    const host = type1Host({ type });
    const { process, container, memory } = host;
    const word = fc.oneof(
      fc.nat(0x50),
      fc.constantFrom(0xfffff000, 0xffffffff, 0x1000, 0x80000000),
      fc.nat(0xffffffff),
    );
    const request = fc.constantFrom(0x3b70, 0x3b71, 0x3b72, 0x3b75);
    fc.assert(
      fc.property(request, fc.array(word, { maxLength: 16 }), fc.boolean(), (number, words, aim) => {
        const bytes = new Uint8Array(Uint32Array.from(words).buffer);
        if (aim && bytes.length >= 16) new DataView(bytes.buffer).setBigUint64(8, BigInt(memory.address), true);
        const result = process.ioctl(container.fd, number, bytes);
        expect(Number.isInteger(result) && result <= 0).toBe(true);
      }),
      { numRuns: 3000 },
    );
    host.group.unsetContainer();
    expect(process.mm.lockedPages).toBe(0);
  });
});
