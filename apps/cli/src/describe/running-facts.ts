// What is known of the pages of a VM that runs: what it tells of itself, in the shape that a described VM's pages have.
// Invariant: nothing is opened or asked here; what a VM does not tell stays open.
import type { BarNow, ContainerNow, RamNow, RunningAttributes } from "@minivmm/vmm";
import type { BarFacts, ContainerFacts } from "@minivmm/vmm/attributes";
import { formatSize } from "../options/size.ts";
import { grouped } from "../render/numbers.ts";
import type { BarOnBus, PageFacts, RamFacts } from "./page-facts.ts";

/** `host` for people: what the VM's devices are on; `modelled`: and it is not this machine. */
export function runningFacts(vm: RunningAttributes, host: string, modelled: boolean): PageFacts {
  const { machine, accelerator, cpu, nonCoherentDma, combined } = vm;
  const vendor = machine === "pseries" ? "power" : cpu.vendor;
  const vendorAssumed = vendor === null || (machine === "pc" && vendor === "power");
  const containers = vm.containers.map(containerFacts);
  return {
    machine,
    kind: machine,
    runnable: true,
    host,
    kvm: accelerator === "kvm",
    vendor: vendorAssumed ? "intel" : vendor,
    vendorAssumed,
    kernel: cpu.kernel,
    nonCoherent: nonCoherentDma === null ? [false, true] : [nonCoherentDma],
    containers,
    ram: vm.ram.map((piece, index) => ramFacts(piece, index, vm)),
    bars: vm.bars.map((bar) => barOnBus(bar, combined !== null)),
    notes: [
      ...(vendorAssumed ? ["the host does not name its CPU: Intel is assumed"] : []),
      ...(modelled && machine === "pc"
        ? ["the CPU is in this machine's KVM, which knows nothing of modelled devices"]
        : []),
    ],
    now: [lockedWords(vm), ...combinedWords(vm)],
  };
}

function containerFacts({ pinnedBytes: _, ...container }: ContainerNow): ContainerFacts {
  return { ...container, asked: true, why: null, optional: false, spapr: null };
}

function ramFacts({ start, bytes }: RamNow, index: number, { ram, containers }: RunningAttributes): RamFacts {
  const name = ram.length === 1 ? "RAM" : `RAM ${index + 1}`;
  return { name, bytes, now: { address: start, details: [["pinned now", pinnedWords(bytes, containers)]] } };
}

/** RAM is pinned as a whole for a container, or as the guest maps it. */
function pinnedWords(bytes: number, containers: readonly ContainerNow[]): string {
  if (containers.length === 0) return "nothing";
  return containers
    .map(({ name, pinnedBytes }) => {
      const what = pinnedBytes === null ? "what the guest has mapped for DMA" : `all ${formatSize(bytes)}`;
      return `${what}, for container ${name}`;
    })
    .join("; ");
}

function barOnBus(bar: BarNow, combining: boolean): BarOnBus {
  const { device, hostFunction, index, address, directBytes } = bar;
  return {
    name: `${hostFunction ?? device} BAR ${index}`,
    bar: barFacts(bar),
    access: address === null ? "none" : directBytes > 0 ? "mapped" : "trapped",
    behind: hostFunction === null ? "model" : "vfio-pci",
    gathered: combining && bar.burstable,
    now: { address, details: barDetails(bar) },
  };
}

function barFacts({ index, kind, bytes, prefetchable, directBytes, msixTable }: BarNow): BarFacts {
  return { index, kind, size: bytes, prefetchable, mappable: directBytes > 0 ? "yes" : "no", msixTable };
}

function barDetails({ device, hostFunction, bytes, overlapped, directBytes, writes }: BarNow): [string, string][] {
  const details: [string, string][] = [];
  if (hostFunction !== null) details.push(["device", device]);
  if (overlapped) details.push(["overlapped", "another BAR answers for some of its addresses"]);
  if (directBytes > 0) details.push(["directly", `${formatSize(directBytes)} of ${formatSize(bytes)}`]);
  if (writes !== null) {
    const { writes: single, bursts, bytes: sum } = writes;
    details.push(["stores", `${grouped(single)} writes and ${grouped(bursts)} bursts, ${grouped(sum)} bytes in all`]);
  }
  return details;
}

function lockedWords({ lockedBytes }: RunningAttributes): string {
  if (lockedBytes === null) return "what this process has locked is not known";
  return `this process has ${formatSize(lockedBytes)} of locked memory (VmLck)`;
}

function combinedWords({ combined }: RunningAttributes): string[] {
  if (combined === null) return [];
  const { bursts, stores, bytes } = combined;
  if (stores === undefined || bytes === undefined) return [`stores combined so far: ${grouped(bursts)} bursts`];
  return [
    `stores combined so far: ${grouped(stores)}, which became ${grouped(bursts)} bursts (${grouped(bytes)} bytes)`,
  ];
}
