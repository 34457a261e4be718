// Type1Container: what a user calls, and errors that say what to do.
import { describe, expect, it } from "vitest";
import { Type1Container, VfioContainer, VfioError } from "../src/index.ts";
import { ram, type1Host } from "./type1-fixture.ts";

const PAGE = 4096;

function client(options: Parameters<typeof type1Host>[0] = {}) {
  const host = type1Host(options);
  const at = (page: number, pages = 1) => ({ address: BigInt(host.memory.address + page * PAGE), size: pages * PAGE });
  return { ...host, type1: new Type1Container(host.container), at };
}

function failure(act: () => unknown): VfioError {
  try {
    act();
  } catch (error) {
    if (error instanceof VfioError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}

describe.each(["6.12", "6.1"] as const)("vfio-core type1 client on Linux %s", (profile) => {
  it("vfio-core type1 client: asks, maps, unmaps", () => {
    const { type1, at, process } = client({ profile });
    expect(type1.info()).toEqual({
      pageSizes: 0x40201000n,
      pageSize: PAGE,
      iovaRanges: [
        { start: 0n, end: 0xfedfffffn },
        { start: 0xfef00000n, end: 0xffffffffffffn },
      ],
      dmaAvail: 65535,
      maxDirtyBitmapSize: 0x10000000,
    });
    type1.mapDma({ iova: 0x10000n, memory: at(0, 4) });
    type1.mapDma({ iova: 0x20000n, memory: new Uint8Array(new SharedArrayBuffer(2 * PAGE)), write: false });
    expect(type1.info().dmaAvail).toBe(65533);
    expect(type1.unmapDma({ iova: 0x10000n, size: 0x4000n })).toBe(0x4000n);
    expect(type1.unmapAll()).toBe(2n * BigInt(PAGE));
    expect(process.mm.lockedPages).toBe(0);
  });

  it("vfio-core type1 client: tracks dirty pages without leaving memory behind", () => {
    const { type1, at, process } = client({ profile });
    type1.startDirtyTracking();
    type1.mapDma({ iova: 0x10000n, memory: at(0, 4) });
    const areas = process.mm.areas.length;
    expect([...type1.dirtyPages({ iova: 0x10000n, size: 0x4000n }).bitmap]).toEqual([0xf, 0, 0, 0, 0, 0, 0, 0]);
    const last = type1.unmapDmaDirty({ iova: 0x10000n, size: 0x4000n });
    expect([last.unmapped, last.bitmap[0]]).toEqual([0x4000n, 0xf]);
    expect(process.mm.areas.length).toBe(areas);
    type1.stopDirtyTracking();
    expect(failure(() => type1.dirtyPages({ iova: 0n, size: 0x1000n })).code).toBe("REFUSED");
  });

  it("vfio-core type1 client: gives addresses up and names new ones", () => {
    const { type1, at } = client({ profile });
    type1.mapDma({ iova: 0n, memory: at(0, 2) });
    expect(type1.releaseAddresses({ iova: 0n, size: 0x2000n })).toBe(0x2000n);
    const again = failure(() => type1.releaseAddresses({ iova: 0n, size: 0x2000n }));
    expect([again.code, again.message]).toEqual(["PARTIAL_UNMAP", expect.stringContaining("given up already")]);
    type1.updateAddress(0n, at(0, 2));
    expect(failure(() => type1.updateAddress(0x8000n, at(0))).code).toBe("NO_MAPPING");
  });
});

describe("vfio-core type1 client errors", () => {
  it("vfio-core type1 client: memlock names limit and need", () => {
    const { type1, at, process } = client();
    process.setrlimit("memlock", { soft: 0x10000, hard: 0x10000 });
    type1.mapDma({ iova: 0n, memory: at(0, 8) });
    const error = failure(() => type1.mapDma({ iova: 0x100000n, memory: at(0, 16) }));
    expect(error.code).toBe("MEMLOCK");
    expect(error.details).toMatchObject({ limit: 0x10000, locked: 0x8000, need: 0x18000 });
    expect(error.message).toContain(
      "it needs 98304 bytes (96 KiB) of locked memory, 32768 of them in use already, and the limit is 65536 bytes (64 KiB)",
    );
    expect(error.hint).toContain("ulimit -l 96");
  });

  it("vfio-core type1 client: tells the reasons of EINVAL apart", () => {
    const { type1, at } = client();
    const code = (iova: bigint, memory: { address: bigint; size: number }) =>
      failure(() => type1.mapDma({ iova, memory })).code;
    expect(code(0xfee00000n, at(0))).toBe("IOVA_RANGE");
    expect(code(2n ** 48n, at(0))).toBe("IOVA_RANGE");
    expect(code(2n ** 64n - 4096n, at(0, 2))).toBe("IOVA_RANGE");
    expect(code(0x800n, at(0))).toBe("UNALIGNED");
    expect(code(0n, { ...at(0), size: 0 })).toBe("UNALIGNED");
    expect(failure(() => type1.mapDma({ iova: 0n, memory: at(0), read: false, write: false })).code).toBe("REFUSED");
  });

  it("vfio-core type1 client: overlap, missing memory, too many, a cut, the wrong type, no type", () => {
    const { type1, at, process } = client({ type1: { dmaEntryLimit: 1 } });
    const gone = ram(process, 1);
    gone.close();
    const missing = { address: BigInt(gone.address), size: PAGE };
    expect(failure(() => type1.mapDma({ iova: 0n, memory: missing })).code).toBe("BAD_MEMORY");
    type1.mapDma({ iova: 0n, memory: at(0, 4) });
    expect(failure(() => type1.mapDma({ iova: 0x3000n, memory: at(0, 4) })).code).toBe("OVERLAP");
    expect(failure(() => type1.mapDma({ iova: 0x30000n, memory: at(0) })).code).toBe("MAPPING_LIMIT");
    expect(failure(() => type1.unmapDma({ iova: 0n, size: 0x1000n })).code).toBe("PARTIAL_UNMAP");
    expect(failure(() => client({ type: 1 }).type1.startDirtyTracking()).code).toBe("TYPE1_VERSION");
    const bare = new Type1Container(VfioContainer.open(process));
    expect(failure(() => bare.info()).code).toBe("NO_IOMMU_TYPE");
    expect(failure(() => bare.mapDma({ iova: 0n, memory: at(0) })).code).toBe("REFUSED");
  });
});
