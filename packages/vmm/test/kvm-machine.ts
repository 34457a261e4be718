// A machine without a CPU on the modelled POWER9, with or without the host's KVM below it: hypercalls pass the stages that a
// guest's pass, and what the device would see of memory can be looked at.

import { KvmSystem } from "@minivmm/kvm";
import { H_TOO_HARD, type ModelVm } from "@minivmm/kvm/model";
import { KvmVfioDevice } from "@minivmm/kvm-device";
import { type ModelHostOptions, type ModelledHost, modelHost } from "@minivmm/model-host";
import { KvmTce } from "../src/accel/kvm-tce.ts";
import { DmaWindows } from "../src/machines/pseries/ddw.ts";
import { SpaprSession } from "../src/pci/spapr-session.ts";
import { type Bench, bench } from "./fakes.ts";

export const NVME = "0001:01:00.0";
export const EDU = "0002:01:00.0";

export interface KvmMachineOptions extends ModelHostOptions {
  readonly kvm: boolean;
  readonly vfioAccel?: boolean;
  readonly dmaWindowBytes?: number;
  /** Somebody else has the VM's KVM-VFIO device, of which there is one. */
  readonly taken?: boolean;
  /** Changes what is known of KVM. */
  readonly facts?: Partial<Record<"canKeepTables" | "canLinkGroups", boolean>>;
}

export type KvmMachine = ReturnType<typeof kvmMachine>;

export function kvmMachine({
  kvm,
  vfioAccel = true,
  dmaWindowBytes = 0x10_0000,
  facts = {},
  taken = false,
  ...host
}: KvmMachineOptions) {
  const model = modelHost("power9", host);
  const process = model.spawn({ memlock: Number.POSITIVE_INFINITY });
  const before = { fds: process.fds.list().length, words: used(model) };
  const system = kvm ? KvmSystem.open(process) : undefined;
  const vm = system?.createVm();
  const other = vm && taken ? KvmVfioDevice.create(vm) : undefined;
  let tce: KvmTce | undefined;
  const b = bench({
    dmaWindowBytes,
    vfioAccel,
    ...(vm && {
      accelerate: (ram) => {
        vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: ram.u8 });
        tce = new KvmTce(vm);
        return Object.assign(tce, facts);
      },
    }),
  });
  const modelVm = [...model.kvm.vms][0] as ModelVm | undefined;
  const session = new SpaprSession({
    host: process,
    ram: b.ram,
    windows: b.machine.tables.on(DmaWindows.liobns),
    acceleration: tce,
  });
  /** A call as a guest makes it: KVM first, then user space. */
  const call = (token: number, ...args: (number | readonly [number, number])[]): number => {
    const wide = args.map((arg) => (typeof arg === "number" ? BigInt(arg) : (BigInt(arg[0]) << 32n) | BigInt(arg[1])));
    const result = modelVm?.hypercall(token, ...wide).result ?? H_TOO_HARD;
    return result === H_TOO_HARD ? b.hcall(token, ...args) : result;
  };
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    b.machine.close();
    session.close();
    b.machine.tables.close();
    tce?.close();
    other?.close();
    vm?.close();
    system?.close();
  };
  return { model, process, b, session, tce, modelVm, call, close, before };
}

/** Words of the kernel's tables that are in use. */
export function used(model: ModelledHost): number {
  return model.iommu?.arena.used ?? 0;
}

/** "index: page of RAM, permissions" of every live entry of a group's window. */
export function hardwareEntries({ model, process, b }: KvmMachine, bdf = NVME, slot = 0): string[] {
  const group = model.topology.find(bdf)?.group;
  const table = group && model.iommu?.tableGroupOf(group).tables[slot];
  const out: string[] = [];
  if (!table) return out;
  const base = Number(process.addressOf(b.ram.u8));
  for (
    let entry = table.nextLive(0, table.entries);
    entry < table.entries;
    entry = table.nextLive(entry + 1, table.entries)
  ) {
    if (table.permission(entry) === 0) continue;
    out.push(`${entry}: ${(table.userAddress(entry) - base).toString(16)} ${table.permission(entry)}`);
  }
  return out;
}

export function guestEntries({ machine }: Bench, liobn: number): string[] {
  const table = machine.tables.find(liobn);
  const out: string[] = [];
  for (let index = 0; index < (table?.entries ?? 0); index++) {
    const [low, high] = [table?.low(index) ?? 0, table?.high(index) ?? 0];
    if (low !== 0 || high !== 0) out.push(`${index}: ${high.toString(16)} ${low.toString(16)}`);
  }
  return out;
}
