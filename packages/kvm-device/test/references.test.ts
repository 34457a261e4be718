import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KvmDeviceError, KvmVfioDevice } from "../src/index.ts";
import { testHost } from "./fixture.ts";

const step = fc.record({
  what: fc.constantFrom("open", "close", "attach", "unset", "create", "drop", "add", "remove" as const),
  group: fc.boolean(),
  vm: fc.boolean(),
});

describe("kvm-device: any order of opens, registrations and closes", () => {
  it.each(["6.12", "6.1", "4.12"] as const)("leaks no reference and ends clean on %s", (profile) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), fc.boolean(), (steps, coherent) => {
        const host = testHost({ profile, coherent });
        const vms = [host.newVm(), host.newVm()] as const;
        const files = new Map<number, ReturnType<typeof host.open>>();
        const devices = new Map<number, KvmVfioDevice>();
        for (const { what, group, vm } of steps) {
          const id = group ? host.groups.a : host.groups.b;
          const file = files.get(id);
          const device = devices.get(vm ? 1 : 0);
          const attempt = (run: () => unknown): void => {
            try {
              run();
            } catch (error) {
              expect(error).toHaveProperty("errno");
            }
          };
          if (what === "open" && !file) attempt(() => files.set(id, host.open(id)));
          if (what === "close" && file) files.delete(id) && file.close();
          if (what === "attach" && file) attempt(() => host.attach(file));
          if (what === "unset" && file) attempt(() => file.unsetContainer());
          if (what === "create" && !device)
            attempt(() => devices.set(vm ? 1 : 0, KvmVfioDevice.create(vms[vm ? 1 : 0].vm)));
          if (what === "drop" && device) devices.delete(vm ? 1 : 0) && device.close();
          if (what === "add" && file && device) attempt(() => device.add(file.fd));
          if (what === "remove" && file && device) attempt(() => device.remove(file.fd));
          for (const { model } of vms) {
            expect(model.assignedDeviceCount).toBe(host.deviceOf(model)?.size ?? 0);
            expect(model.noncoherentDmaCount).toBeLessThanOrEqual(coherent && profile === "6.12" ? 0 : 1);
          }
        }
        host.process.exit();
        expect(host.kvm.vms.size).toBe(0);
        for (const group of host.core.groups.values()) {
          expect([group.opened, group.containerUsers, group.kvm, group.container]).toEqual([false, 0, null, null]);
        }
        expect(KvmDeviceError.name).toBe("KvmDeviceError");
      }),
      { numRuns: 150 },
    );
  });
});
