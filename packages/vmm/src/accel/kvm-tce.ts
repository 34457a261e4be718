// The TCE side of the accelerator `kvm`: tables that the kernel keeps, and VFIO groups whose hardware tables it writes.
// Source: Documentation/virt/kvm/api.rst (KVM_CREATE_SPAPR_TCE_64), devices/vfio.rst; QEMU 7.2 target/ppc/kvm.c.
// Invariants: a refusal is a reason in words and never ends the VM: the table is then this program's; everything that was
// made is closed by who asked for it, the KVM-VFIO device by close().
import { type Mapping, MinivmmError } from "@minivmm/host";
import {
  H_PUT_TCE_INDIRECT,
  H_STUFF_TCE,
  KVM_CAP_PPC_ENABLE_HCALL,
  KVM_CAP_SPAPR_MULTITCE,
  type KvmVm,
} from "@minivmm/kvm";
import { KvmVfioDevice } from "@minivmm/kvm-device";
import { KvmSpaprTce } from "@minivmm/spapr-iommu";
import type { KernelTceTable, TceAcceleration, WindowGeometry } from "../machines/pseries/tce-acceleration.ts";

export class KvmTce implements TceAcceleration {
  readonly canKeepTables: boolean;
  readonly canLinkGroups: boolean;
  private readonly vm: KvmVm;
  private vfio: KvmVfioDevice | undefined;

  /** Switches on the calls that a new VM leaves to user space, where the kernel has them. Throws KvmError. */
  constructor(vm: KvmVm) {
    this.vm = vm;
    if (vm.checkExtension(KVM_CAP_SPAPR_MULTITCE) > 0) {
      for (const call of [H_PUT_TCE_INDIRECT, H_STUFF_TCE]) vm.enableCap(KVM_CAP_PPC_ENABLE_HCALL, [BigInt(call), 1n]);
    }
    this.canKeepTables = KvmSpaprTce.isAvailable(vm, "emulated");
    this.canLinkGroups = KvmSpaprTce.isAvailable(vm, "vfio");
  }

  createTable({ liobn, pageShift, busHi, busLo, entries }: WindowGeometry): KernelTceTable | string {
    let table: KvmSpaprTce | undefined;
    try {
      const busAddress = (BigInt(busHi) << 32n) | BigInt(busLo);
      table = KvmSpaprTce.create(this.vm, { liobn, pageShift, busAddress, size: BigInt(entries) << BigInt(pageShift) });
      return new MappedTable(table);
    } catch (error) {
      table?.close();
      return reasonOf(error);
    }
  }

  addGroup(groupFd: number): string | undefined {
    return this.attempt(() => {
      this.vfio ??= KvmVfioDevice.create(this.vm);
      this.vfio.add(groupFd);
    });
  }

  removeGroup(groupFd: number): void {
    // A group that was never taken is not there to be given back.
    this.attempt(() => this.vfio?.remove(groupFd));
  }

  linkGroup(groupFd: number, tableFd: number): string | undefined {
    const { vfio } = this;
    if (vfio === undefined) return "KVM was not told of the group";
    return this.attempt(() => vfio.setSpaprTce(groupFd, tableFd));
  }

  close(): void {
    this.vfio?.close();
    this.vfio = undefined;
  }

  private attempt(work: () => void): string | undefined {
    try {
      work();
      return undefined;
    } catch (error) {
      return reasonOf(error);
    }
  }
}

/** A kernel's table in this program's memory. */
class MappedTable implements KernelTceTable {
  readonly fd: number;
  readonly words: Uint32Array | null;
  private readonly table: KvmSpaprTce;
  private readonly mapping: Mapping;

  /** Throws SpaprError REFUSED when it cannot be mapped. */
  constructor(table: KvmSpaprTce) {
    this.table = table;
    this.fd = table.fd;
    this.mapping = table.map();
    const { bytes } = this.mapping;
    this.words = bytes && new Uint32Array(bytes.buffer, bytes.byteOffset, table.entries * 2);
  }

  load(word: number): number {
    return this.mapping.load(word * 4, 4);
  }

  store(word: number, value: number): void {
    try {
      this.mapping.store(word * 4, 4, value);
    } catch {
      // The kernel has no page for it: the value is lost, as it is when KVM itself stores one.
    }
  }

  close(): void {
    this.table.close();
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof MinivmmError) return error.message;
  throw error;
}
