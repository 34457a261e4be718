// Binary statistics of a VM or vCPU (KVM_GET_STATS_FD): whatever the kernel counts, by name.
// Source: Documentation/virt/kvm/api.rst, "KVM_GET_STATS_FD". Only counters of one number are taken.

import type { Host } from "@minivmm/host";
import { kvm_stats_desc, kvm_stats_header, kvmRequests } from "../uapi.ts";

/** Values above 2^53 are rounded. Empty on kernels without statistics (before 5.14). */
export function readStatistics(host: Host, fd: number): Record<string, number> {
  const file = host.ioctl(fd, kvmRequests(host.arch).KVM_GET_STATS_FD);
  if (file < 0) return {};
  try {
    const read = (offset: number, length: number): Uint8Array => {
      const bytes = new Uint8Array(length);
      const moved = host.pread(file, bytes, offset);
      return moved === length ? bytes : new Uint8Array(0);
    };
    const head = read(0, kvm_stats_header.size);
    if (head.length === 0) return {};
    const { name_size, num_desc, desc_offset, data_offset } = kvm_stats_header.decode(head);
    const descriptorBytes = kvm_stats_desc.size + name_size;
    const descriptors = read(desc_offset, num_desc * descriptorBytes);
    const values: Record<string, number> = {};
    for (let at = 0; at < descriptors.length; at += descriptorBytes) {
      const { size, offset } = kvm_stats_desc.decode(descriptors, at);
      const name = descriptors.subarray(at + kvm_stats_desc.size, at + descriptorBytes);
      const value = read(data_offset + offset, 8);
      if (size !== 1 || value.length === 0) continue;
      const text = new TextDecoder().decode(name.subarray(0, Math.max(name.indexOf(0), 0)));
      values[text] = Number(new DataView(value.buffer).getBigUint64(0, true));
    }
    return values;
  } finally {
    host.close(file);
  }
}
