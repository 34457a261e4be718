import { EINTR } from "@minivmm/host";
import { ManualClock, ModelKernel } from "@minivmm/host/model";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KvmSystem, kvm_enable_cap, kvm_one_reg, kvm_userspace_memory_region, kvmRequests } from "../src/index.ts";
import { EngineExit, installPowerKvm, ModelKvm } from "../src/model/index.ts";
import { ScriptedEngine } from "./support/scripted-engine.ts";

const R = kvmRequests("ppc64le");
const REQUESTS = Object.values(R);

const scalar = fc.oneof(fc.integer({ min: -2, max: 5 }), fc.bigInt(0n, 2n ** 64n - 1n));
const bytes = fc.uint8Array({ minLength: 0, maxLength: 1300 });
const slot = fc
  .record({
    slot: fc.nat(3),
    flags: fc.nat(3),
    guest_phys_addr: fc.nat(8).map((n) => BigInt(n) * 65536n),
    memory_size: fc.nat(4).map((n) => BigInt(n) * 65536n),
    userspace_addr: fc.nat(40).map((n) => BigInt(n) * 65536n),
  })
  .map((value) => kvm_userspace_memory_region.encode(value));
const oneReg = fc
  .record({ nr: fc.nat(0xd0), size: fc.integer({ min: 0, max: 8 }), addr: fc.bigInt(0n, 2n ** 20n) })
  .map(({ nr, size, addr }) => kvm_one_reg.encode({ id: (1n << 60n) | (BigInt(size) << 52n) | BigInt(nr), addr }));
const cap = fc
  .record({ cap: fc.constantFrom(68, 104, 0), args: fc.array(fc.bigInt(0n, 0x500n), { maxLength: 4 }) })
  .map((value) => kvm_enable_cap.encode(value));
const argument = fc.oneof(scalar, bytes, slot, oneReg, cap);
const exit = fc.record({
  reason: fc.constantFrom(...Object.values(EngineExit)),
  nr: fc.oneof(fc.constantFrom(0xe0, 0xdc, 0xe8, 0x20, 0x31c, 0xf000, 0x2c), fc.nat(0x500)),
  args: fc.array(fc.bigInt(0n, 2n ** 64n - 1n), { maxLength: 6 }),
  gpa: fc.nat(2 ** 31),
  size: fc.constantFrom(1, 2, 4, 8),
  write: fc.boolean(),
});

describe("kvm POWER vCPU: any sequence of requests and exits", () => {
  it("answers with numbers, never throws, and leaves nothing behind", () => {
    const step = fc.oneof(
      fc.record({
        what: fc.constant("ioctl" as const),
        fd: fc.nat(6),
        request: fc.constantFrom(...REQUESTS),
        argument,
      }),
      fc.record({ what: fc.constant("run" as const), exit }),
      fc.record({ what: fc.constant("close" as const), fd: fc.nat(6) }),
      fc.record({ what: fc.constant("time" as const), ms: fc.nat(50) }),
      fc.record({ what: fc.constant("immediate" as const), on: fc.boolean() }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const clock = new ManualClock();
        const kvm = new ModelKvm(new ModelKernel({ arch: "ppc64le", clock }));
        const engines: ScriptedEngine[] = [];
        installPowerKvm(kvm, (memory) => {
          const engine = new ScriptedEngine(memory);
          engines.push(engine);
          return engine;
        });
        const host = kvm.kernel.spawn();
        const vm = KvmSystem.open(host).createVm();
        const vcpu = vm.createPowerVcpu(0);
        vcpu.enablePapr();
        vm.createPowerVcpu(3);
        host.eventfd(0, 0);
        for (const step of steps) {
          if (step.what === "ioctl") {
            const result = host.ioctl(step.fd, step.request, step.argument);
            expect(Number.isInteger(result)).toBe(true);
          } else if (step.what === "run") {
            const { reason, nr, args, gpa, size, write } = step.exit;
            engines[0]?.cpu.script.push(() => {
              const { cpu } = engines[0] as ScriptedEngine;
              [BigInt(nr), ...args].forEach((value, n) => {
                cpu.gpr64[3 + n] = value;
              });
              Object.assign(cpu.exit, { gpa, size, write, message: "scripted" });
              return reason;
            });
            const result = host.ioctl(vcpu.fd, R.KVM_RUN, 0);
            expect(result === 0 || result < 0).toBe(true);
            if (result === -EINTR) expect(engines[0]?.cpu.script.length ?? 0).toBeLessThanOrEqual(steps.length);
          } else if (step.what === "close") {
            host.close(step.fd);
          } else if (step.what === "time") {
            clock.advance(step.ms);
          } else {
            vcpu.immediateExit = step.on;
          }
        }
        host.exit();
        expect(kvm.vms.size).toBe(0);
        expect(engines.every(({ released }) => released)).toBe(true);
        expect(host.fds.list()).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
