// A VM with one vCPU on a modelled POWER kernel whose CPU plays scripts, made afresh for each test.
import { MAP_ANONYMOUS, MAP_PRIVATE, type Mapping, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { ManualClock, ModelKernel, type ModelProcess } from "@minivmm/host/model";
import { type KvmError, type KvmPowerVcpu, KvmSystem, type KvmVm } from "../../src/index.ts";
import { installPowerKvm, ModelKvm } from "../../src/model/index.ts";
import { type ScriptedCpu, ScriptedEngine } from "./scripted-engine.ts";

export const PAGE = 65536;

export class PowerBench {
  readonly clock = new ManualClock();
  readonly kvm = new ModelKvm(new ModelKernel({ arch: "ppc64le", clock: this.clock }));
  readonly engines: ScriptedEngine[] = [];
  readonly host: ModelProcess;
  readonly system: KvmSystem;
  readonly vm: KvmVm;
  vcpu: KvmPowerVcpu;

  constructor() {
    installPowerKvm(this.kvm, (memory) => {
      const engine = new ScriptedEngine(memory);
      this.engines.push(engine);
      return engine;
    });
    this.host = this.kvm.kernel.spawn();
    this.system = KvmSystem.open(this.host);
    this.vm = this.system.createVm();
    this.vcpu = this.vm.createPowerVcpu(0);
  }

  /** The CPU of the first vCPU; made when it is first asked for. */
  cpu(): ScriptedCpu {
    if (this.engines.length === 0) this.vcpu.getRegs();
    return (this.engines[0] as ScriptedEngine).cpu;
  }

  memory(bytes: number): Uint8Array {
    const request = { length: bytes, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS };
    return (this.host.mmap(request) as Mapping).bytes as Uint8Array;
  }
}

export function errnoOf(call: () => unknown): number {
  try {
    call();
  } catch (error) {
    return (error as KvmError).errno ?? 0;
  }
  return 0;
}
