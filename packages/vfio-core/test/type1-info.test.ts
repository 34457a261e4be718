// GET_INFO: how much is written back, and where capabilities lie, on both kernels.
import { EFAULT, EINVAL } from "@minivmm/host";
import { describe, expect, it } from "vitest";
import { capabilityChain, vfio_iommu_type1_info } from "../src/index.ts";
import { type1Host } from "./type1-fixture.ts";

function ask(profile: "6.12" | "6.1", argsz: number, room = Math.max(argsz, 24)) {
  const { dma } = type1Host({ profile });
  const bytes = new Uint8Array(Math.max(room, 4)).fill(0xaa);
  new DataView(bytes.buffer).setUint32(0, argsz, true);
  const result = dma.info(bytes.subarray(0, room));
  return { result, bytes };
}

describe.each([
  ["6.12", 120, [24, 56, 72]],
  ["6.1", 116, [24, 56, 68]],
] as const)("vfio-core type1 GET_INFO on Linux %s", (profile, needed, offsets) => {
  it("vfio-core type1 info: a short struct", () => {
    expect(ask(profile, 15).result).toBe(-EINVAL);
    expect(ask(profile, 16, 15).result).toBe(-EFAULT);
    const { result, bytes } = ask(profile, 16);
    expect(result).toBe(0);
    expect(vfio_iommu_type1_info.decode(bytes)).toMatchObject({ argsz: needed, flags: 3, iova_pgsizes: 0x40201000n });
    expect(bytes[16]).toBe(0xaa);
  });

  it("vfio-core type1 info: too small for the chain says how much, and writes no more than the struct", () => {
    for (const argsz of [20, 24, needed - 1]) {
      const { result, bytes } = ask(profile, argsz);
      expect(result).toBe(0);
      expect(vfio_iommu_type1_info.decode(bytes)).toMatchObject({ argsz: needed, cap_offset: 0 });
      expect(bytes.subarray(24).every((byte) => byte === 0xaa)).toBe(true);
      if (argsz >= 24) expect(bytes[20]).toBe(profile === "6.12" ? 0 : 0xaa);
    }
  });

  it("vfio-core type1 info: the chain", () => {
    const { bytes } = ask(profile, needed);
    const { argsz, cap_offset } = vfio_iommu_type1_info.decode(bytes);
    expect(argsz).toBe(needed);
    const chain = capabilityChain(bytes, cap_offset);
    expect(chain.map(({ id, version }) => [id, version])).toEqual([
      [2, 1],
      [3, 1],
      [1, 1],
    ]);
    expect(chain.map((cap) => cap.bytes.byteOffset - bytes.byteOffset)).toEqual([...offsets]);
  });

  it("vfio-core type1 info: memory that ends inside the chain", () => {
    expect(ask(profile, needed, needed - 1).result).toBe(-EFAULT);
  });
});
