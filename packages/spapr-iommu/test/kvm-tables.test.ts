import {
  EBUSY,
  EINVAL,
  EIO,
  ENOMEM,
  ENOTTY,
  MAP_PRIVATE,
  MAP_SHARED,
  type Mapping,
  PROT_READ,
  PROT_WRITE,
} from "@minivmm/host";
import {
  H_GET_TCE,
  H_PUT_TCE,
  H_SUCCESS,
  KVM_CAP_SPAPR_MULTITCE,
  KVM_CAP_SPAPR_TCE,
  KVM_CAP_SPAPR_TCE_64,
  KVM_CAP_SPAPR_TCE_VFIO,
} from "@minivmm/kvm";
import { describe, expect, it } from "vitest";
import { KvmSpaprTce, kvm_create_spapr_tce, kvm_create_spapr_tce_64, kvmTceRequests } from "../src/index.ts";
import { LIOBN, vmRig } from "./kvm-rig.ts";

const requests = kvmTceRequests("ppc64le");
const PAGE = 65536;

function created(options: Parameters<typeof vmRig>[0] = {}) {
  const made = vmRig(options);
  const create = (fields: { page_shift?: number; flags?: number; offset?: bigint; size?: bigint; liobn?: bigint }) =>
    made.process.ioctl(
      made.vm.fd,
      requests.KVM_CREATE_SPAPR_TCE_64,
      kvm_create_spapr_tce_64.encode({ page_shift: 12, size: 0x10n, ...fields }),
    );
  return { ...made, create, locked: () => made.process.mm.lockedPages };
}

describe("spapr-iommu KVM tables: creation", () => {
  it.each([
    ["flags", { flags: 1 }, -EINVAL],
    ["no entries", { size: 0n }, -EINVAL],
    ["pages of 2 KiB", { page_shift: 11 }, -EINVAL],
    ["pages of 32 GiB", { page_shift: 35 }, -EINVAL],
    ["behind the last page", { offset: 0xf_ffff_ffff_fff0n }, -EINVAL],
    ["more than memory can hold", { size: 1n << 40n }, -ENOMEM],
  ])("refuses %s, and charges nothing", (_what, fields, expected) => {
    const { create, locked } = created();
    expect(create(fields)).toBe(expected);
    expect(locked()).toBe(0);
  });

  it("takes the last page, and an end that wraps", () => {
    const { create } = created();
    expect(create({ offset: 0xf_ffff_ffff_ffefn })).toBeGreaterThanOrEqual(0);
    expect(create({ liobn: 1n, offset: (1n << 64n) - 1n, size: 1n })).toBeGreaterThanOrEqual(0);
  });

  it("compares LIOBNs whole, and last", () => {
    const { create, process, locked } = created({ spawn: { memlock: 2 * PAGE } });
    expect(create({ liobn: 5n })).toBeGreaterThanOrEqual(0);
    expect(create({ liobn: 5n })).toBe(-ENOMEM);
    process.rlimits.memlock.soft = 8 * PAGE;
    expect(create({ liobn: 5n })).toBe(-EBUSY);
    expect(create({ liobn: 5n, page_shift: 11 })).toBe(-EINVAL);
    expect(create({ liobn: 0x1_0000_0005n })).toBeGreaterThanOrEqual(0);
    expect(locked()).toBe(4);
  });

  it("charges pages of entries and the struct, until the table is gone", () => {
    const { table, locked } = created();
    const made = table();
    expect(locked()).toBe(32 + 1);
    made.close();
    expect(locked()).toBe(0);
  });

  it("has the old request too: 4 KiB pages from 0 on", () => {
    const { process, vm, locked } = created();
    const old = (window_size: number) =>
      process.ioctl(
        vm.fd,
        requests.KVM_CREATE_SPAPR_TCE,
        kvm_create_spapr_tce.encode({ liobn: BigInt(window_size), window_size }),
      );
    expect(old(4095)).toBe(-EINVAL);
    expect(old(0x4000_0000)).toBeGreaterThanOrEqual(0);
    expect(locked()).toBe(33);
  });

  it("belongs to the VM's process, and keeps its VM", () => {
    const { kernel, process, kvm, vm, table } = created();
    const other = kernel.spawn();
    const fd = other.install(process.fileOf(vm.fd)!.get());
    expect(other.ioctl(fd, requests.KVM_CREATE_SPAPR_TCE_64, kvm_create_spapr_tce_64.encode({}))).toBe(-EIO);
    other.exit();
    const made = table();
    vm.close();
    expect(kvm.vms.size).toBe(1);
    made.close();
    expect(kvm.vms.size).toBe(0);
  });
});

describe("spapr-iommu KVM tables: the descriptor", () => {
  function mapped(made: ReturnType<typeof created>, fd: number, offset = 0, flags = MAP_SHARED): Mapping {
    const mapping = made.process.mmap({ fd, length: 4 * PAGE, prot: PROT_READ | PROT_WRITE, flags, offset });
    if (typeof mapping === "number") throw new Error(`mmap: ${mapping}`);
    return mapping;
  }

  it("maps what the guest wrote, both ways, in bytes", () => {
    const made = created();
    const { fd } = made.table();
    const one = mapped(made, fd);
    const two = mapped(made, fd, 0, MAP_PRIVATE);
    expect(made.call(H_PUT_TCE, LIOBN, 0x1000, 0x1234_5678_9abc_d000n)).toBe(H_SUCCESS);
    expect([one.load(8, 4), one.load(12, 4), two.load(13, 1), one.load(14, 2)]).toEqual([
      0x9abc_d000, 0x1234_5678, 0x56, 0x1234,
    ]);
    two.store(16, 4, 0xffff_fff0);
    two.store(18, 1, 0xab);
    expect(one.load(16, 4)).toBe(0xffab_fff0);
    expect(made.model.hypercall(H_GET_TCE, LIOBN, 0x2000).values[0]).toBe(0xffab_fff0n);
  });

  it("has no pages behind the table's end", () => {
    const made = created();
    const { fd } = made.table({ size: 0x2001n << 12n });
    const mapping = mapped(made, fd);
    expect(mapping.load(2 * PAGE - 4, 4)).toBe(0);
    expect(() => mapping.load(2 * PAGE, 4)).toThrow(expect.objectContaining({ code: "SIGBUS" }));
    expect(() => mapped(made, fd, 8 * PAGE).store(0, 4, 1)).toThrow(expect.objectContaining({ code: "SIGBUS" }));
  });

  it("lives in a mapping after it was closed, with its LIOBN and charge", () => {
    const made = created();
    const { fd } = made.table();
    const mapping = mapped(made, fd);
    made.process.close(fd);
    expect(made.call(H_PUT_TCE, LIOBN, 0x1000, 0x3)).toBe(H_SUCCESS);
    expect(mapping.load(8, 4)).toBe(3);
    expect(made.create({ liobn: BigInt(LIOBN) })).toBe(-EBUSY);
    mapping.close();
    expect(made.locked()).toBe(0);
    expect(made.create({ liobn: BigInt(LIOBN) })).toBeGreaterThanOrEqual(0);
  });

  it("does nothing else", () => {
    const { process, table } = created();
    const { fd } = table();
    const bytes = new Uint8Array(8);
    expect([process.read(fd, bytes), process.write(fd, bytes), process.ioctl(fd, 0)]).toEqual([
      -EINVAL,
      -EINVAL,
      -ENOTTY,
    ]);
  });

  it("gives all its memory back to the arena", () => {
    const made = created();
    // What lasts as long as the VM is there after its first hypercall.
    const first = made.table();
    made.call(H_PUT_TCE, LIOBN, 0, 3);
    first.close();
    const before = made.driver.arena.used;
    const table = made.table();
    for (const ioba of [0, 0x1000_0000, 0x2000_0000]) made.call(H_PUT_TCE, LIOBN, ioba, 3);
    expect(made.driver.arena.used).toBeGreaterThan(before);
    table.close();
    expect(made.driver.arena.used).toBe(before);
  });
});

describe("spapr-iommu KVM tables: the client", () => {
  it("knows entries by number and says what is wrong", () => {
    const { vm, table, call } = vmRig();
    const made = table({ size: 0x10_0000n });
    call(H_PUT_TCE, LIOBN, 0x3000, 0x7003);
    expect(made.entries).toBe(256);
    expect([made.entry(3), made.entry(4)]).toEqual([0x7003n, 0n]);
    const code = (code: string) => expect.objectContaining({ code, hint: expect.any(String) });
    expect(() => made.entry(256)).toThrow(code("NO_WINDOW"));
    expect(() => table()).toThrow(code("LIOBN_TAKEN"));
    expect(() => KvmSpaprTce.create(vm, { liobn: 2, size: 0x1800n })).toThrow(code("TABLE_REFUSED"));
    expect(() => KvmSpaprTce.create(vm, { liobn: 2, size: 1n << 52n })).toThrow(code("REFUSED"));
    made[Symbol.dispose]();
    expect(() => table()).not.toThrow();
  });

  it("says so where KVM has no such tables, and uses the old request where there is only that", () => {
    const old = vmRig({ profile: "3.11" });
    const made = old.table();
    expect(old.call(H_PUT_TCE, LIOBN, 0x1000, 0x3)).toBe(H_SUCCESS);
    expect(made.entry(1)).toBe(3n);
    expect(() => old.table({ liobn: 2, pageShift: 16 })).toThrow(expect.objectContaining({ code: "NO_KVM_TCE" }));
  });

  it.each([
    ["6.12", [1, 1, 1, 1]],
    ["4.12", [1, 1, 1, 1]],
    ["3.11", [1, 0, 0, 0]],
  ] as const)("finds the capabilities of %s", (profile, expected) => {
    const { vm } = vmRig({ profile });
    const asked = [KVM_CAP_SPAPR_TCE, KVM_CAP_SPAPR_TCE_64, KVM_CAP_SPAPR_MULTITCE, KVM_CAP_SPAPR_TCE_VFIO];
    expect(asked.map((capability) => vm.checkExtension(capability))).toEqual(expected);
    expect(KvmSpaprTce.isAvailable(vm, "emulated")).toBe(true);
    expect(KvmSpaprTce.isAvailable(vm, "vfio")).toBe(profile !== "3.11");
  });

  it("attaches groups through the KVM-VFIO device", () => {
    const made = vmRig().table();
    const seen: number[][] = [];
    made.attachGroup({ setSpaprTce: (...fds) => void seen.push(fds) }, 7);
    expect(seen).toEqual([[7, made.fd]]);
  });
});
