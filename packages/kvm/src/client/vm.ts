// One virtual machine: memory slots, interrupt and doorbell eventfds, devices, vCPUs.
// Source: Documentation/virt/kvm/api.rst, chapter "VM ioctls".
// Invariant: 64-bit numbers are bigint here; these calls set a VM up and are not on its hot path.

import type { Host } from "@minivmm/host";
import { check } from "../error.ts";
import {
  KVM_CAP_COALESCED_MMIO,
  KVM_CREATE_DEVICE_TEST,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_IRQFD_FLAG_DEASSIGN,
  KVM_IRQFD_FLAG_RESAMPLE,
  kvm_create_device,
  kvm_enable_cap,
  kvm_ioeventfd,
  kvm_irqfd,
  kvm_userspace_memory_region,
  kvmRequests,
} from "../uapi.ts";
import { KVM_PPC_MMUV3_GTSE, KVM_PPC_MMUV3_RADIX, kvm_ppc_mmuv3_cfg, PATB_GR } from "../uapi-power.ts";
import { KVM_PIT_SPEAKER_DUMMY, kvm_coalesced_mmio_zone, kvm_pit_config } from "../uapi-x86.ts";
import { CoalescedRing } from "./coalesced.ts";
import { KvmDevice } from "./device.ts";
import { InterruptInputs, type MsiMessage } from "./interrupts.ts";
import { KvmPowerVcpu } from "./power-vcpu.ts";
import { encodeRouting, type GsiRoute } from "./routing.ts";
import { readStatistics } from "./stats.ts";
import { KvmVcpu } from "./vcpu.ts";

export interface MemoryRegion {
  slot: number;
  guestAddress: bigint;
  /** Memory of this process behind the slot; the caller keeps it alive. Absent: the slot is deleted. */
  memory?: Uint8Array;
  /** KVM_MEM_* bits, default 0. */
  flags?: number;
}

export interface IrqFd {
  fd: number;
  gsi: number;
  /** Level interrupts: signalled when the guest has acknowledged. */
  resampleFd?: number;
}

export interface IoEventFd {
  fd: number;
  address: bigint;
  /** Bytes of the access; 0 matches every width. */
  length: 0 | 1 | 2 | 4 | 8;
  /** Only writes of this value; absent: all. */
  match?: bigint;
  /** An I/O port instead of memory. */
  port?: boolean;
}

export interface CoalescedZone {
  address: number;
  /** Bytes. */
  size: number;
  /** Ports instead of memory. */
  port?: boolean;
}

export class KvmVm implements Disposable {
  readonly host: Host;
  readonly fd: number;
  readonly #runPageBytes: number;
  readonly #interrupts: InterruptInputs;

  /** Takes over a VM descriptor; `runPageBytes` is KVM_GET_VCPU_MMAP_SIZE. */
  constructor(host: Host, fd: number, runPageBytes: number) {
    this.host = host;
    this.fd = fd;
    this.#runPageBytes = runPageBytes;
    this.#interrupts = new InterruptInputs(host, fd);
  }

  /** Capabilities may differ from the system's. */
  checkExtension(capability: number): number {
    return this.#ioctl("KVM_CHECK_EXTENSION", capability, { capability });
  }

  enableCap(cap: number, args: bigint[] = []): void {
    this.#ioctl("KVM_ENABLE_CAP", kvm_enable_cap.encode({ cap, args }), { cap });
  }

  setMemoryRegion(region: MemoryRegion): void {
    const { slot, memory } = region;
    const bytes = kvm_userspace_memory_region.encode({
      slot,
      flags: region.flags ?? 0,
      guest_phys_addr: region.guestAddress,
      memory_size: BigInt(memory?.byteLength ?? 0),
      userspace_addr: memory ? this.host.addressOf(memory) : 0n,
    });
    this.#ioctl("KVM_SET_USER_MEMORY_REGION", bytes, { slot, address: `0x${region.guestAddress.toString(16)}` });
  }

  /** Three pages below 4 GiB that Intel processors need; neither RAM nor a device may be there. Before the first vCPU. */
  setTssAddress(address: number): void {
    this.#ioctl("KVM_SET_TSS_ADDR", address, { address: `0x${address.toString(16)}` });
  }

  /** One more such page. */
  setIdentityMapAddress(address: number): void {
    const bytes = new Uint8Array(new BigUint64Array([BigInt(address)]).buffer);
    this.#ioctl("KVM_SET_IDENTITY_MAP_ADDR", bytes, { address: `0x${address.toString(16)}` });
  }

  /** Interrupt controllers in the kernel (x86: two PICs, an I/O APIC, local APICs), with default routes. Before the first vCPU. */
  createIrqchip(): void {
    this.#ioctl("KVM_CREATE_IRQCHIP", 0, {});
  }

  /** The PC's interval timer in the kernel; after createIrqchip. `flags`: KVM_PIT_*. */
  createPit2(flags = KVM_PIT_SPEAKER_DUMMY): void {
    this.#ioctl("KVM_CREATE_PIT2", kvm_pit_config.encode({ flags }), {});
  }

  /** Replaces all routes of GSIs, the default ones too. */
  setGsiRouting(routes: readonly GsiRoute[]): void {
    this.#ioctl("KVM_SET_GSI_ROUTING", encodeRouting(routes), { routes: routes.length });
  }

  /** Raises or lowers an interrupt input, as a device on it would. */
  setIrqLine(gsi: number, level: boolean): void {
    this.#interrupts.setLine(gsi, level);
  }

  /** Delivers a message-signalled interrupt; whether some vCPU has taken it. */
  signalMsi(message: MsiMessage): boolean {
    return this.#interrupts.signal(message);
  }

  /** From now on writes to the zone wait in the ring until somebody reads it or the guest leaves for another reason. */
  registerCoalescedMmio(zone: CoalescedZone): void {
    this.#coalesced("KVM_REGISTER_COALESCED_MMIO", zone);
  }

  /** Undoes registerCoalescedMmio, for every zone that holds all of this one. */
  unregisterCoalescedMmio(zone: CoalescedZone): void {
    this.#coalesced("KVM_UNREGISTER_COALESCED_MMIO", zone);
  }

  #coalesced(
    request: "KVM_REGISTER_COALESCED_MMIO" | "KVM_UNREGISTER_COALESCED_MMIO",
    { address, size, port }: CoalescedZone,
  ): void {
    const bytes = kvm_coalesced_mmio_zone.encode({ addr: BigInt(address), size, pio: port ? 1 : 0 });
    this.#ioctl(request, bytes, { address: `0x${address.toString(16)}`, size });
  }

  /** The ring of coalesced writes, which all vCPUs share and `vcpu` shows; null where KVM has none. */
  coalescedRing(vcpu: KvmVcpu): CoalescedRing | null {
    const page = this.checkExtension(KVM_CAP_COALESCED_MMIO);
    return page > 0 ? CoalescedRing.in(vcpu.bytes, page * this.host.pageSize, this.host.pageSize) : null;
  }

  /** From now on a signal of the eventfd raises the GSI inside the kernel. */
  assignIrqFd(irqfd: IrqFd): void {
    this.#irqfd(irqfd, irqfd.resampleFd === undefined ? 0 : KVM_IRQFD_FLAG_RESAMPLE);
  }

  /** Undoes assignIrqFd; nothing happens when it was not assigned. */
  deassignIrqFd(irqfd: IrqFd): void {
    this.#irqfd(irqfd, KVM_IRQFD_FLAG_DEASSIGN);
  }

  #irqfd({ fd, gsi, resampleFd }: IrqFd, flags: number): void {
    this.#ioctl("KVM_IRQFD", kvm_irqfd.encode({ fd, gsi, flags, resamplefd: resampleFd ?? 0 }), { fd, gsi });
  }

  assignIoEventFd(event: IoEventFd): void {
    this.#ioeventfd(event, 0);
  }

  deassignIoEventFd(event: IoEventFd): void {
    this.#ioeventfd(event, KVM_IOEVENTFD_FLAG_DEASSIGN);
  }

  #ioeventfd(event: IoEventFd, extra: number): void {
    const match = event.match === undefined ? 0 : KVM_IOEVENTFD_FLAG_DATAMATCH;
    const bytes = kvm_ioeventfd.encode({
      datamatch: event.match ?? 0n,
      addr: event.address,
      len: event.length,
      fd: event.fd,
      flags: extra | match | (event.port ? KVM_IOEVENTFD_FLAG_PIO : 0),
    });
    this.#ioctl("KVM_IOEVENTFD", bytes, { fd: event.fd, address: `0x${event.address.toString(16)}` });
  }

  /** Whether this VM can have a device of `type` (KVM_DEV_TYPE_*). */
  supportsDevice(type: number): boolean {
    const bytes = kvm_create_device.encode({ type, flags: KVM_CREATE_DEVICE_TEST });
    return this.host.ioctl(this.fd, kvmRequests(this.host.arch).KVM_CREATE_DEVICE, bytes) >= 0;
  }

  createDevice(type: number): KvmDevice {
    const bytes = kvm_create_device.encode({ type });
    this.#ioctl("KVM_CREATE_DEVICE", bytes, { type });
    return new KvmDevice(this.host, kvm_create_device.decode(bytes).fd, type);
  }

  createVcpu(id: number): KvmVcpu {
    return KvmVcpu.adopt(this.host, this.#ioctl("KVM_CREATE_VCPU", id, { id }), id, this.#runPageBytes);
  }

  /** A vCPU of a POWER guest. */
  createPowerVcpu(id: number): KvmPowerVcpu {
    return KvmPowerVcpu.adopt(this.host, this.#ioctl("KVM_CREATE_VCPU", id, { id }), id, this.#runPageBytes);
  }

  /** Where a radix guest's process table is (KVM_PPC_CONFIGURE_V3_MMU): real address and log2 of its bytes. */
  configureRadix(base: bigint, sizeLog2: number): void {
    const process_table = PATB_GR | base | BigInt(sizeLog2 - 12);
    const bytes = kvm_ppc_mmuv3_cfg.encode({ flags: KVM_PPC_MMUV3_RADIX | KVM_PPC_MMUV3_GTSE, process_table });
    this.#ioctl("KVM_PPC_CONFIGURE_V3_MMU", bytes, { base: `0x${base.toString(16)}`, sizeLog2 });
  }

  /** The kernel's counts by name; empty where it keeps none. */
  statistics(): Record<string, number> {
    return readStatistics(this.host, this.fd);
  }

  close(): void {
    this.host.close(this.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #ioctl(
    request: keyof ReturnType<typeof kvmRequests>,
    arg: number | Uint8Array,
    details: Record<string, unknown>,
  ): number {
    return check(this.host.ioctl(this.fd, kvmRequests(this.host.arch)[request], arg), request, details);
  }
}
