/**
 * ENOMEM of a call that pins memory: is it RLIMIT_MEMLOCK, what would be needed, and how the limit is raised.
 * Source: lock_acct (vfio_iommu_type1.c), account_locked_vm (mm/util.c), update_unpinned (iommufd/pages.c).
 */
import { type Host, lockedBytes } from "@minivmm/host";

export interface LockedMemoryShortage {
  /** The limit is too low; otherwise the host itself is short of memory. */
  readonly limited: boolean;
  /** Bytes. `limit` is the soft one; `need` what it must be at least. */
  readonly details: { readonly limit: number; readonly locked: number; readonly need: number };
  readonly why: string;
  readonly hint: string;
}

export interface ShortageOptions {
  /** Who is charged: this process (type1, sPAPR), or its user for all iommufds, whose sum nobody tells. Default "process". */
  readonly counted?: "process" | "user";
  /** The size is a lower bound: the kernel charges for more than what is known here. Default: for "user". */
  readonly atLeast?: boolean;
}

/** `size`: bytes that were to be pinned. */
export function lockedMemoryShortage(
  host: Host,
  size: number | bigint,
  { counted = "process", atLeast = counted === "user" }: ShortageOptions = {},
): LockedMemoryShortage {
  const { soft, hard } = host.getrlimit("memlock");
  const locked = counted === "user" ? 0 : (lockedBytes(host.readFile("/proc/self/status")) ?? 0);
  const need = locked + Number(size);
  const details = { limit: soft, locked, need };
  if (soft === Number.POSITIVE_INFINITY || (!atLeast && soft >= need)) {
    const why = "the host is short of memory to pin (ENOMEM)";
    return { limited: false, details, why, hint: "Free memory on the host, or give the guest less." };
  }
  const already = locked > 0 ? `, ${locked} of them in use already` : "";
  const least = atLeast ? " at least" : "";
  const why = `it needs${least} ${bytes(need)} of locked memory${already}, and the limit is ${bytes(soft)} (ENOMEM)`;
  return { limited: true, details, why, hint: `${raise(need, hard, counted)} Or grant CAP_IPC_LOCK.` };
}

function raise(need: number, hard: number, counted: "process" | "user"): string {
  const kib = Math.ceil(need / 1024);
  const all = counted === "user" ? "All of a user's iommufds count together. " : "";
  if (hard >= need) return `${all}Raise the limit in this shell: ulimit -l ${kib}.`;
  const ways = `memlock in /etc/security/limits.conf, LimitMEMLOCK= of the service, or ulimit -l ${kib} before it starts`;
  return `${all}Raise the limit to ${kib} KiB as root: ${ways}.`;
}

/** "98304 bytes (96 KiB)" */
function bytes(count: number): string {
  const [unit, name] = count >= 0x40_0000 ? [0x10_0000, "MiB"] : [1024, "KiB"];
  const value = count / (unit as number);
  return `${count} bytes (${Number.isInteger(value) ? value : value.toFixed(1)} ${name})`;
}
