// How much memory this process may lock for a VM.
// All of the guest's memory is locked while a device is passed through. On POWER the tables of DMA windows are charged too:
// 1 GiB of 4 KiB pages by default, and one of 64 KiB pages over all of the guest's memory; powernv keeps two copies of each.
// Source: lock_acct of vfio_iommu_type1.c, tce_iommu_create_table of vfio_iommu_spapr_tce.c, pnv_pci_ioda2_get_table_size.
import { textFile } from "@minivmm/pci-hotreset";
import { tceTableBytes } from "@minivmm/vmm/attributes";
import { type CheckResult, type Examination, fail, pass } from "./check.ts";

const KIB = 1024;
const MIB = 2 ** 20;
const COPIES = 2;
const DEFAULT_WINDOW = 2 ** 30;
/** log2 of the pages of the default window, and of the one over RAM. */
const DEFAULT_SHIFT = 12;
const RAM_SHIFT = 16;
const CAP_IPC_LOCK = 14n;

/** Bytes that the kernel charges for one device's windows. */
export function windowOverhead({ host, memoryBytes }: Examination): number {
  if (host.arch !== "ppc64le") return 0;
  const overRam = 2 ** Math.ceil(Math.log2(Math.max(memoryBytes, 2 ** RAM_SHIFT)));
  const table = (shift: number, bytes: number): number => tceTableBytes(shift, bytes, 1, host.pageSize) * COPIES;
  return table(DEFAULT_SHIFT, DEFAULT_WINDOW) + table(RAM_SHIFT, overRam);
}

export function checkMemlock(examination: Examination): CheckResult {
  const id = "memlock";
  const { host, memoryBytes } = examination;
  const overhead = windowOverhead(examination);
  const needed = memoryBytes + overhead;
  const { soft, hard } = host.getrlimit("memlock");
  const exempt = mayLock(host);
  const json = (limit: number) => (limit === Number.POSITIVE_INFINITY ? null : limit);
  const details = { needed, guestMemory: memoryBytes, windows: overhead, soft: json(soft), hard: json(hard), exempt };
  const parts = overhead === 0 ? "" : ` (memory ${size(memoryBytes)}, windows ${size(overhead)})`;
  const numbers = `the VM needs ${size(needed)}${parts}, the limit is ${size(soft)}`;
  if (soft >= needed) return pass(id, numbers, details);
  if (exempt) return pass(id, `${numbers}, which CAP_IPC_LOCK overrules`, details);
  const kib = Math.ceil(needed / KIB);
  if (hard >= needed) return fail(id, numbers, `raise it in this shell: ulimit -l ${kib}`, details);
  const remedy = `raise it as root: "memlock ${kib}" in /etc/security/limits.conf, or LimitMEMLOCK= of the service`;
  return fail(id, numbers, remedy, details);
}

/** Whether this process has CAP_IPC_LOCK; false when the kernel does not tell. */
function mayLock(host: Examination["host"]): boolean {
  const match = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(textFile(host, "/proc/self/status") ?? "");
  return match !== null && ((BigInt(`0x${match[1]}`) >> CAP_IPC_LOCK) & 1n) === 1n;
}

/** Bytes for people: "512 MiB", "4.1 MiB". */
export function size(bytes: number): string {
  if (bytes === Number.POSITIVE_INFINITY) return "unlimited";
  if (bytes < MIB) return `${Math.ceil(bytes / KIB)} KiB`;
  const value = bytes / MIB;
  return `${Number.isInteger(value) ? value : value.toFixed(1)} MiB`;
}
