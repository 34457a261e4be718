// The rig of this package with KVM: a VM with 4 MiB of guest memory, a container of version 2 with a 1 GiB window, and
// tables that are linked as the KVM-VFIO device would.
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "@minivmm/host";
import type { ModelProcess } from "@minivmm/host/model";
import { H_PUT_TCE_INDIRECT, H_STUFF_TCE, KVM_CAP_PPC_ENABLE_HCALL, KvmSystem } from "@minivmm/kvm";
import { ModelKvm, type ModelVm } from "@minivmm/kvm/model";
import { KvmSpaprTce, type KvmTceWindow, SpaprContainer } from "../src/index.ts";
import { installKvmSpaprTce, type KvmSpaprTceOptions } from "../src/model/index.ts";
import { attachedContainer, type RigOptions, rig } from "./rig.ts";

export const MEMORY = 0x40_0000;
export const GIB = 1n << 30n;
export const LIOBN = 0x8000_0000;

export interface KvmRigOptions extends RigOptions {
  guestMmu?: KvmSpaprTceOptions["guestMmu"];
  realMode?: boolean;
  /** The guest's memory. */
  memory?: Uint8Array;
}

/** A VM on a machine without containers. */
export function vmRig(options: KvmRigOptions = {}) {
  return withVm(rig(options), options);
}

/** A VM beside a container with one group; its window in 4 KiB pages. */
export function vfioRig(
  options: KvmRigOptions & { window?: { pageShift: number; size?: bigint }; groups?: number } = {},
) {
  const made = attachedContainer("v2", options);
  const spapr = new SpaprContainer(made.container);
  spapr.removeWindow(0n);
  spapr.createWindow({ pageShift: options.window?.pageShift ?? 12, windowSize: options.window?.size ?? GIB });
  const vm = withVm(made, options);
  const groups = made.functions.map(({ group }) => group!);
  /** What SET_SPAPR_TCE does, and GROUP_DEL. */
  const link = (table: KvmSpaprTce, group = 0) =>
    vm.tce.link?.attach(vm.model, made.process, table.fd, groups[group]!) ?? -1;
  const unlink = (group = 0) => vm.tce.link?.release(vm.model, groups[group]!);
  const register = () => spapr.registerMemory({ address: vm.memory.address, size: vm.memory.bytes.length });
  const hardware = (group = 0, slot = 0) => made.driver.tableGroupOf(groups[group]!).tables[slot]!;
  return { ...vm, container: made.container, spapr, link, unlink, register, hardware, iommuGroups: groups };
}

function anonymous(process: ModelProcess): Uint8Array {
  const mapping = process.mmap({ length: MEMORY, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  if (typeof mapping === "number" || !mapping.bytes) throw new Error("no memory");
  return mapping.bytes;
}

function withVm<R extends ReturnType<typeof rig>>(made: R, options: KvmRigOptions) {
  const kvm = new ModelKvm(made.kernel);
  const tce = installKvmSpaprTce(kvm, {
    iommu: made.driver,
    ...(options.guestMmu && { guestMmu: options.guestMmu }),
    ...(options.realMode !== undefined && { realMode: options.realMode }),
  });
  const { process } = made;
  const bytes = options.memory ?? anonymous(process);
  const vm = KvmSystem.open(process).createVm();
  const address = process.addressOf(bytes);
  const memory = { address, bytes, base: Number(address) };
  vm.setMemoryRegion({ slot: 0, guestAddress: 0n, memory: memory.bytes });
  if (made.kernel.profile !== "3.11") {
    for (const nr of [H_STUFF_TCE, H_PUT_TCE_INDIRECT]) vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [BigInt(nr), 1n]);
  }
  const model = [...kvm.vms].at(-1) as ModelVm;
  const table = (window: Partial<KvmTceWindow> = {}) => KvmSpaprTce.create(vm, { liobn: LIOBN, size: GIB, ...window });
  const call = (nr: number, ...args: (bigint | number)[]) => model.hypercall(nr, ...args).result;
  /** Writes big-endian TCEs to guest memory and returns their guest address. */
  const list = (at: number, entries: readonly (bigint | number)[]) => {
    const view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset);
    for (const [i, entry] of entries.entries()) view.setBigUint64(at + i * 8, BigInt(entry), false);
    return at;
  };
  return { ...made, kvm, tce, vm, model, memory, table, call, list, counters: () => tce.counters(model) };
}
