// Virtual functions as devices of the kernel: switching them on and off (pci_enable_sriov, pci_disable_sriov), with what
// the driver core does for each of them behind an interface. Source: drivers/pci/iov.c.
// Invariants: all come and all go; they go one after the other, and a driver that takes its time holds up those behind;
// until the last is gone the hardware stays enabled and `numVfs` says how many there were.
import { EINVAL, EIO, ENODEV, ENOMEM, ENOSYS } from "@minivmm/host";
import type { Sriov } from "../caps/sriov.ts";
import type { PciDevice } from "../device.ts";
import * as regs from "../registers.ts";
import { probeResetMethods } from "../reset/methods.ts";
import { PciBus, PciFunction } from "../topology/graph.ts";
import type { IovState } from "../topology/iov-state.ts";
import type { PciTopology } from "../topology/topology.ts";
import { setNumVfs } from "./physical-function.ts";

/** What happens around virtual functions that PCI itself does not do. */
export interface IovHost {
  readonly topology: PciTopology;
  /** The function is on its bus: links between it and its physical function, then a driver for it. */
  appeared(virtfn: PciFunction, index: number): void;
  /** Its driver has to go, and its links. `done` when it did, which may be later. */
  leaving(virtfn: PciFunction, index: number, done: () => void): void;
  /** A line for the kernel's log about the physical function. */
  report(physfn: PciFunction, line: string): void;
}

const ENABLE = regs.PCI_SRIOV_CTRL_VFE | regs.PCI_SRIOV_CTRL_MSE;

/** Make `count` virtual functions. 0, or -errno with nothing changed. */
export function enableSriov(host: IovHost, physfn: PciFunction, count: number): number {
  const { iov } = physfn;
  const { sriov } = physfn.device;
  if (!iov || !sriov) return -ENODEV;
  const initial = physfn.readConfig(sriov.offset + regs.PCI_SRIOV_INITIAL_VF, 2);
  const refused = refusal(host, physfn, iov, initial, count);
  if (refused !== 0 || count === 0) return refused;
  const command = physfn.readConfig(regs.PCI_COMMAND, 2);
  if (iov.bars.length > 0) physfn.writeConfig(regs.PCI_COMMAND, 2, command | regs.PCI_COMMAND_MEMORY);
  const failed = dependency(physfn, sriov);
  if (failed !== 0) return failed;
  setNumVfs(physfn, sriov, iov, count);
  writeControl(physfn, sriov, iov, iov.control | ENABLE);
  const added = addAll(host, physfn, iov, sriov, Math.min(count, initial));
  if (added !== 0) {
    writeControl(physfn, sriov, iov, iov.control & ~ENABLE);
    setNumVfs(physfn, sriov, iov, 0);
    return added;
  }
  iov.numVfs = count;
  return 0;
}

/** Remove all virtual functions; `done` once the last is gone, at once when there are none. */
export function disableSriov(host: IovHost, physfn: PciFunction, done: () => void): void {
  const { iov } = physfn;
  const { sriov } = physfn.device;
  if (!iov || !sriov || iov.numVfs === 0) {
    done();
    return;
  }
  removeFrom(host, iov, 0, () => {
    iov.virtfns.length = 0;
    writeControl(physfn, sriov, iov, iov.control & ~ENABLE);
    iov.numVfs = 0;
    setNumVfs(physfn, sriov, iov, 0);
    done();
  });
}

function refusal(
  host: IovHost,
  physfn: PciFunction,
  iov: IovState<PciFunction>,
  initial: number,
  count: number,
): number {
  if (count === 0) return 0;
  if (iov.numVfs > 0) return -EINVAL;
  const migrates = (physfn.readConfig((physfn.device.sriov?.offset ?? 0) + regs.PCI_SRIOV_CAP, 4) & 1) !== 0;
  if (initial > iov.totalVfs || (!migrates && initial !== iov.totalVfs)) return -EIO;
  if (count < 0 || count > iov.totalVfs || (!migrates && count > initial)) return -EINVAL;
  if (iov.bars.some((bar) => bar.address === 0)) {
    host.report(physfn, "not enough MMIO resources for SR-IOV");
    return -ENOMEM;
  }
  const last = routingId(physfn, iov, count - 1) >> 8;
  if (last > (physfn.bus.isRoot ? 0xff : physfn.bus.subordinate)) {
    const hex = (bus: number): string => bus.toString(16).padStart(2, "0");
    const range = `[bus ${hex(physfn.bus.number)}-${hex(physfn.bus.subordinate)}]`;
    host.report(physfn, `can't enable ${count} VFs (bus ${hex(last)} out of range of ${range})`);
    return -ENOMEM;
  }
  return 0;
}

/** A function that depends on another one can only have virtual functions when that one is a physical function too. */
function dependency(physfn: PciFunction, sriov: Sriov): number {
  const link = physfn.readConfig(sriov.offset + regs.PCI_SRIOV_FUNC_LINK, 1);
  if (link === physfn.devfn) return 0;
  const other = physfn.bus.functions.find((fn) => fn.devfn === link);
  if (!other) return -ENODEV;
  return other.iov ? 0 : -ENOSYS;
}

function addAll(
  host: IovHost,
  physfn: PciFunction,
  iov: IovState<PciFunction>,
  sriov: Sriov<PciDevice>,
  count: number,
): number {
  for (let index = 0; index < count; index++) {
    const device = sriov.vf(index);
    if (!device) {
      // Nothing answers at the address: no header type that the kernel knows.
      for (let i = index - 1; i >= 0; i--) remove(host, iov, i, () => undefined);
      iov.virtfns.length = 0;
      return -EIO;
    }
    add(host, physfn, iov, device, index);
  }
  return 0;
}

function add(host: IovHost, physfn: PciFunction, iov: IovState<PciFunction>, device: PciDevice, index: number): void {
  const id = routingId(physfn, iov, index);
  const bus = busFor(host.topology, physfn.bus, id >> 8);
  const bdf = { domain: bus.domain.number, bus: bus.number, device: (id >> 3) & 31, function: id & 7 };
  const fn = new PciFunction(bus, bdf, device, { physfn, index });
  fn.hotplugSlot = physfn.hotplugSlot && bus === physfn.bus && fn.devfn >> 3 === physfn.devfn >> 3;
  fn.resetMethods = probeResetMethods(fn);
  iov.virtfns[index] = fn;
  host.topology.add(fn);
  host.appeared(fn, index);
}

function removeFrom(host: IovHost, iov: IovState<PciFunction>, index: number, done: () => void): void {
  if (index >= iov.virtfns.length) done();
  else remove(host, iov, index, () => removeFrom(host, iov, index + 1, done));
}

function remove(host: IovHost, iov: IovState<PciFunction>, index: number, done: () => void): void {
  const fn = iov.virtfns[index];
  if (!fn) {
    done();
    return;
  }
  host.leaving(fn, index, () => {
    host.topology.remove(fn);
    done();
  });
}

/** Bus number and devfn; beyond the physical function's bus when the sum carries. */
function routingId(physfn: PciFunction, iov: IovState<PciFunction>, index: number): number {
  return (physfn.bus.number << 8) + physfn.devfn + iov.offset + iov.stride * index;
}

/** The physical function's bus, another one that is there, or a new one that no bridge leads to. */
function busFor(topology: PciTopology, bus: PciBus, number: number): PciBus {
  if (number === bus.number) return bus;
  const { domain } = bus;
  const known = [...topology.buses, ...topology.functions.map((fn) => fn.bus)].find(
    (each) => each.domain === domain && each.number === number,
  );
  return known ?? new PciBus(domain, number, null, bus);
}

function writeControl(fn: PciFunction, sriov: Sriov, iov: IovState<PciFunction>, control: number): void {
  iov.control = control;
  fn.writeConfig(sriov.offset + regs.PCI_SRIOV_CTRL, 2, control);
}
