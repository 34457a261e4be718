/**
 * Drivers that every modelled host has besides vfio-pci, in the order in which a kernel registers them, and what they
 * do to the functions they are given: they bind, and refuse what they could not work with.
 *
 * Source: drivers/pci/pcie/portdrv.c, drivers/pci/pci-stub.c, drivers/nvme/host/pci.c.
 */
import { ENODEV } from "@minivmm/host";
import {
  PCI_CLASS_BRIDGE_PCI,
  PCI_CLASS_STORAGE_EXPRESS,
  PCI_COMMAND,
  PCI_COMMAND_MEMORY,
  PCI_EXP_TYPE_DOWNSTREAM,
  PCI_EXP_TYPE_RC_EC,
  PCI_EXP_TYPE_ROOT_PORT,
  PCI_EXP_TYPE_UPSTREAM,
  type PciFunction,
} from "@minivmm/pci";
import { type DriverHooks, PciDriver } from "./driver.ts";
import { PCI_ANY_ID, type PciDeviceId } from "./pci-ids.ts";

const ofClass = (code: number): PciDeviceId[] => [
  { vendor: PCI_ANY_ID, device: PCI_ANY_ID, class: code, classMask: 0xffffff },
];
const PORTS = [PCI_EXP_TYPE_ROOT_PORT, PCI_EXP_TYPE_UPSTREAM, PCI_EXP_TYPE_DOWNSTREAM, PCI_EXP_TYPE_RC_EC];
const NVME_REG_CSTS = 0x1c;
const NVME_CSTS_CFS = 2;

/** What the drivers need of the kernel. */
export interface HostDriverServices {
  /** A driver's line for the kernel's log about a function of its. */
  report(fn: PciFunction, line: string): void;
  /** pci_sriov_configure_simple. */
  sriovConfigure(fn: PciFunction, count: number): number;
}

export function hostDrivers(services: HostDriverServices): PciDriver[] {
  const port: DriverHooks = { probe: (fn) => (PORTS.includes(fn.pcieType) ? 0 : -ENODEV) };
  const stub: DriverHooks = {
    probe(fn) {
      services.report(fn, "claimed by stub");
      return 0;
    },
  };
  const nvme: DriverHooks = {
    probe: (fn) => (becomesReady(fn) ? 0 : -ENODEV),
    sriovConfigure: (fn, count) => services.sriovConfigure(fn, count),
  };
  return [
    new PciDriver("pcieport", ofClass(PCI_CLASS_BRIDGE_PCI), port),
    new PciDriver("pci-stub", null, stub),
    new PciDriver("nvme", ofClass(PCI_CLASS_STORAGE_EXPRESS), nvme),
  ];
}

/** A controller whose status says that it failed, as that of a virtual function without resources does, never will. */
function becomesReady(fn: PciFunction): boolean {
  const command = fn.readConfig(PCI_COMMAND, 2);
  fn.writeConfig(PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY);
  const out = new Uint32Array(2);
  fn.readBar(0, NVME_REG_CSTS, 4, out);
  return ((out[0] as number) & NVME_CSTS_CFS) === 0;
}
