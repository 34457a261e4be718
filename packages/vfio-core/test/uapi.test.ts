// Numbers and layouts of the ABI against the C header, and the chain walker against anything.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as uapi from "../src/index.ts";

describe("vfio-core uapi", () => {
  it("vfio-core: request numbers per architecture", () => {
    const x86 = uapi.vfioIoctls("x86_64");
    expect([x86.VFIO_GET_API_VERSION, x86.VFIO_DEVICE_SET_IRQS, x86.VFIO_DEVICE_FEATURE]).toEqual([
      0x3b64, 0x3b6e, 0x3b75,
    ]);
    expect(uapi.vfioIoctls("ppc64le").VFIO_GROUP_GET_DEVICE_FD).toBe(0x20003b6a);
  });

  it("vfio-core: struct sizes and offsets", () => {
    expect([
      uapi.vfio_group_status.size,
      uapi.vfio_device_info.size,
      uapi.vfio_region_info.size,
      uapi.vfio_irq_info.size,
      uapi.vfio_irq_set.size,
      uapi.vfio_device_ioeventfd.size,
      uapi.vfio_device_feature.size,
    ]).toEqual([8, 24, 32, 16, 20, 32, 8]);
    expect(uapi.vfio_region_info.offsets).toMatchObject({ cap_offset: 12, size: 16, offset: 24 });
    expect(uapi.vfio_device_ioeventfd.offsets).toMatchObject({ offset: 8, data: 16, fd: 24 });
  });

  it("vfio-core: a capability chain always ends, whatever the bytes say", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 128 }), fc.nat(200), (bytes, first) => {
        const found = uapi.capabilityChain(bytes, first);
        expect(found.length).toBeLessThanOrEqual(bytes.length / 1);
        for (const { bytes: each } of found) expect(each.length).toBeGreaterThanOrEqual(8);
      }),
    );
  });
});
