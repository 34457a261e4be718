import { ModelKernel } from "@minivmm/host/model";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KvmSystem, kvm_ioeventfd, kvm_irqfd, kvmRequests } from "../src/index.ts";
import { ModelKvm } from "../src/model/index.ts";

const R = kvmRequests("x86_64");

describe("kvm model: any sequence of requests", () => {
  it("answers with a number, never throws, and leaves nothing behind", () => {
    const request = fc.oneof(
      fc.record({
        what: fc.constant("irqfd" as const),
        fd: fc.nat(8),
        gsi: fc.nat(3),
        flags: fc.nat(4),
        other: fc.nat(8),
      }),
      fc.record({
        what: fc.constant("ioeventfd" as const),
        fd: fc.nat(8),
        gsi: fc.nat(3),
        flags: fc.nat(8),
        other: fc.nat(9),
      }),
      fc.record({
        what: fc.constant("signal" as const),
        fd: fc.nat(8),
        gsi: fc.nat(3),
        flags: fc.nat(0),
        other: fc.nat(0),
      }),
      fc.record({
        what: fc.constant("close" as const),
        fd: fc.nat(8),
        gsi: fc.nat(0),
        flags: fc.nat(0),
        other: fc.nat(0),
      }),
      fc.record({
        what: fc.constant("eoi" as const),
        fd: fc.nat(0),
        gsi: fc.nat(3),
        flags: fc.nat(0),
        other: fc.nat(0),
      }),
    );
    fc.assert(
      fc.property(fc.array(request, { maxLength: 40 }), (requests) => {
        const kvm = new ModelKvm(new ModelKernel());
        const host = kvm.kernel.spawn();
        const system = KvmSystem.open(host);
        const vm = system.createVm();
        vm.createIrqchip();
        const model = [...kvm.vms][0];
        for (let i = 0; i < 4; i++) host.eventfd(0, 0);
        for (const { what, fd, gsi, flags, other } of requests) {
          if (fd === vm.fd && what === "close") continue;
          let result = 0;
          if (what === "irqfd")
            result = host.ioctl(vm.fd, R.KVM_IRQFD, kvm_irqfd.encode({ fd, gsi, flags, resamplefd: other }));
          if (what === "ioeventfd") {
            const bytes = kvm_ioeventfd.encode({ fd, addr: BigInt(gsi), len: other, flags });
            result = host.ioctl(vm.fd, R.KVM_IOEVENTFD, bytes);
          }
          if (what === "signal") result = host.write(fd, new Uint8Array(new BigUint64Array([1n]).buffer));
          if (what === "close") result = host.close(fd);
          if (what === "eoi") model?.irqfds.endOfInterrupt(gsi);
          expect(Number.isInteger(result)).toBe(true);
        }
        host.exit();
        expect(kvm.vms.size).toBe(0);
        expect(model?.irqfds.size).toBe(0);
        expect(host.fds.list()).toEqual([]);
      }),
    );
  });
});
