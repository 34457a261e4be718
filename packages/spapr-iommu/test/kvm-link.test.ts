import { EBADF, EINVAL } from "@minivmm/host";
import { H_PUT_TCE, H_SUCCESS, KvmSystem } from "@minivmm/kvm";
import { describe, expect, it } from "vitest";
import { KvmSpaprTce } from "../src/index.ts";
import { GIB, LIOBN, vfioRig } from "./kvm-rig.ts";

describe("spapr-iommu KVM link", () => {
  it.each([
    ["the same window", {}, {}, 0],
    ["a smaller one", {}, { size: GIB / 2n }, 0],
    ["larger guest pages", {}, { pageShift: 16 }, 0],
    ["smaller guest pages", { window: { pageShift: 16 } }, {}, -EINVAL],
    ["a larger window", {}, { size: GIB + 4096n }, -EINVAL],
    ["another start", {}, { busAddress: 0x1_0000n, size: 0x1_0000n }, -EINVAL],
  ])("%s", (_what, host, guest, expected) => {
    const made = vfioRig(host);
    expect(made.link(made.table(guest))).toBe(expected);
  });

  it("wants exactly the same window before 4.19", () => {
    const made = vfioRig({ profile: "4.12" });
    expect(made.link(made.table())).toBe(0);
    expect(made.link(made.table({ liobn: 2, size: GIB / 2n }))).toBe(-EINVAL);
    expect(made.link(made.table({ liobn: 3, pageShift: 16 }))).toBe(-EINVAL);
  });

  it("takes tables of its own VM only", () => {
    const made = vfioRig();
    const { process, tce, model, vm, iommuGroups } = made;
    const attach = (fd: number) => tce.link?.attach(model, process, fd, iommuGroups[0]!);
    expect(attach(999)).toBe(-EBADF);
    expect(attach(vm.fd)).toBe(-EINVAL);
    const other = KvmSystem.open(process).createVm();
    expect(attach(KvmSpaprTce.create(other, { liobn: LIOBN, size: GIB }).fd)).toBe(-EINVAL);
    expect(attach(made.table().fd)).toBe(0);
  });

  it("counts attachments: a second one needs a second release", () => {
    const made = vfioRig();
    made.register();
    const table = made.table();
    expect([made.link(table), made.link(table)]).toEqual([0, 0]);
    const put = (ioba: number) => {
      expect(made.call(H_PUT_TCE, LIOBN, ioba, 0x1_0003)).toBe(H_SUCCESS);
      return made.hardware().permission(ioba / 4096);
    };
    made.unlink();
    expect(put(0x1000)).toBe(3);
    made.unlink();
    expect(put(0x2000)).toBe(0);
    made.unlink();
  });

  it("copies nothing, in neither direction", () => {
    const made = vfioRig();
    made.register();
    const table = made.table();
    made.call(H_PUT_TCE, LIOBN, 0x1000, 0x1_0003);
    made.spapr.mapDma(0, 0x2000, Math.floor(made.memory.base / 2 ** 32), made.memory.base % 2 ** 32, 0x1000, 3);
    made.link(table);
    expect(made.hardware().permission(1)).toBe(0);
    expect(table.entry(2)).toBe(0n);
  });

  it("keeps a removed window's table until the guest's table goes, and does not follow a new window", () => {
    const made = vfioRig();
    made.register();
    const table = made.table();
    made.link(table);
    const old = made.hardware();
    made.spapr.removeWindow(0n);
    expect(made.call(H_PUT_TCE, LIOBN, 0x1000, 0x1_0003)).toBe(H_SUCCESS);
    expect(old.permission(1)).toBe(3);
    made.spapr.createWindow({ pageShift: 12, windowSize: GIB });
    made.unlink();
    expect(old.isHeld).toBe(true);
    made.call(H_PUT_TCE, LIOBN, 0x2000, 0x1_0003);
    expect(made.hardware().permission(2)).toBe(0);
    expect(made.link(table)).toBe(0);
    made.call(H_PUT_TCE, LIOBN, 0x2000, 0x1_0003);
    expect([made.hardware().permission(2), old.permission(2)]).toEqual([3, 3]);
    table.close();
    expect(old.isHeld).toBe(false);
  });

  it("reaches the new window through an old link on pseries, where the default window keeps its number", () => {
    const made = vfioRig({ platform: "pseries" });
    made.register();
    made.link(made.table());
    made.spapr.removeWindow(0n);
    made.spapr.createWindow({ pageShift: 12, windowSize: GIB });
    expect(made.call(H_PUT_TCE, LIOBN, 0x3000, 0x1_0003)).toBe(H_SUCCESS);
    expect(made.hardware().permission(3)).toBe(3);
    expect(made.call(H_PUT_TCE, LIOBN, 0x3000, 0)).toBe(H_SUCCESS);
    expect(made.hardware().permission(3)).toBe(0);
  });

  it("detaches every window of a group today, and only the first before 4.19", () => {
    for (const [profile, left] of [
      ["6.12", 0],
      ["4.12", 1],
    ] as const) {
      const made = vfioRig({ profile });
      const start = made.spapr.createWindow({ pageShift: 16, windowSize: GIB });
      const low = made.table();
      const high = KvmSpaprTce.create(made.vm, { liobn: 2, pageShift: 16, busAddress: start, size: GIB });
      expect([made.link(low), made.link(high)]).toEqual([0, 0]);
      const tables = [made.hardware(0, 0), made.hardware(0, 1)];
      made.unlink();
      for (const window of [0n, start]) made.spapr.removeWindow(window);
      expect(tables.filter((table) => table.isHeld).length).toBe(left);
    }
  });

  it("finds the kernel's own table while VFIO does not own the group, which no call may map into", () => {
    const made = vfioRig({ pageSize: 4096 });
    const table = made.table();
    expect(made.iommuGroups[1]?.owner).toBe(null);
    expect(made.link(table, 1)).toBe(0);
    made.register();
    expect(made.call(H_PUT_TCE, LIOBN, 0, 0x1_0003)).not.toBe(H_SUCCESS);
    expect(made.counters().reasons.noUserView).toBe(1);
    made.unlink(1);
    expect(made.call(H_PUT_TCE, LIOBN, 0, 0x1_0003)).toBe(H_SUCCESS);
  });
});
