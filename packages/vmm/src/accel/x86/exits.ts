// What one exit of a vCPU asks of the machine, carried out: a port access (possibly a string of them), a memory access.
// The same code serves the CPU whose thread has the machine and those that write letters to it.
// Source: Documentation/virt/kvm/api.rst, KVM_EXIT_IO and KVM_EXIT_MMIO.
// Invariant: nothing here allocates or throws; a read leaves its value where KVM takes it from when it is run again.
import type { KvmVcpu } from "@minivmm/kvm";

/** Ports and memory that are not RAM, as a vCPU reaches them. */
export interface ExitTarget {
  /** CPU whose access comes next, for a target to which that matters. */
  cpu?: number;
  readPort(port: number, width: 1 | 2 | 4): number;
  writePort(port: number, width: 1 | 2 | 4, value: number): void;
  /** `out[0]` low half, `out[1]` high half. */
  readMemory(address: number, width: 1 | 2 | 4 | 8, out: Uint32Array): void;
  writeMemory(address: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void;
}

const halves = new Uint32Array(2);

/** KVM_EXIT_IO */
export function portExit(vcpu: KvmVcpu, target: ExitTarget): void {
  const { ioPort: port, ioCount: count, ioIsOut: out } = vcpu;
  const width = vcpu.ioWidth;
  const { bytes } = vcpu;
  let at = vcpu.ioDataOffset;
  for (let i = 0; i < count; i++, at += width) {
    if (out) {
      let value = bytes[at]!;
      if (width > 1) value |= bytes[at + 1]! << 8;
      if (width > 2) value = (value | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
      target.writePort(port, width, value);
    } else {
      const value = target.readPort(port, width);
      bytes[at] = value;
      if (width > 1) bytes[at + 1] = value >>> 8;
      if (width > 2) {
        bytes[at + 2] = value >>> 16;
        bytes[at + 3] = value >>> 24;
      }
    }
  }
}

/** KVM_EXIT_MMIO. KVM splits accesses into at most 8 bytes; odd lengths come from instructions that cross a page. */
export function memoryExit(vcpu: KvmVcpu, target: ExitTarget): void {
  const { mmioAddress: address, mmioLength: length } = vcpu;
  if (length === 1 || length === 2 || length === 4 || length === 8) {
    if (vcpu.mmioIsWrite) {
      target.writeMemory(address, length, vcpu.mmioLo, vcpu.mmioHi);
    } else {
      target.readMemory(address, length, halves);
      vcpu.setMmioData(halves[0]!, halves[1]!);
    }
    return;
  }
  let lo = vcpu.mmioLo;
  let hi = vcpu.mmioHi;
  for (let i = 0; i < length; i++) {
    const shift = (i & 3) * 8;
    if (vcpu.mmioIsWrite) {
      target.writeMemory(address + i, 1, ((i < 4 ? lo : hi) >>> shift) & 0xff, 0);
      continue;
    }
    target.readMemory(address + i, 1, halves);
    const byte = halves[0]! << shift;
    if (i < 4) lo = (lo & ~(0xff << shift)) | byte;
    else hi = (hi & ~(0xff << shift)) | byte;
  }
  if (!vcpu.mmioIsWrite) vcpu.setMmioData(lo >>> 0, hi >>> 0);
}
