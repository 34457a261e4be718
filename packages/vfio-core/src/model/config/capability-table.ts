/**
 * Standard capabilities (ids 0x01..0x15) as a user of vfio-pci sees them: how long each is, and which bits it may touch.
 *
 * Length 0 means hidden: the capability is unlinked from the chain and its bytes become raw.
 * Source: pci_cap_length and the init_pci_cap_*_perm functions of vfio_pci_config.c.
 */
import { ALL, NONE, type PermissionMap } from "./permissions.ts";

/** Hardware's configuration space, as much of it as the tables need. */
export interface ConfigReader {
  read(offset: number, size: number): number;
}

export interface CapabilityRule {
  readonly name: string;
  /** Bytes that belong to the capability; 0 hides it. */
  length(hw: ConfigReader, at: number): number;
  permissions?(map: PermissionMap, hw: ConfigReader, at: number): void;
}

export const PCI_CAP_ID_PM = 0x01;
export const PCI_CAP_ID_VPD = 0x03;
export const PCI_CAP_ID_MSI = 0x05;
export const PCI_CAP_ID_EXP = 0x10;
export const PCI_CAP_ID_MSIX = 0x11;
export const PCI_CAP_ID_AF = 0x13;

const MSI_FLAGS_64BIT = 0x80;
const MSI_FLAGS_MASKBIT = 0x100;
const EXP_TYPE_RC_END = 9;

const fixed = (bytes: number) => () => bytes;
const hidden = (name: string): CapabilityRule => ({ name, length: fixed(0) });

function msiLength(hw: ConfigReader, at: number): number {
  const flags = hw.read(at + 2, 2);
  return 10 + (flags & MSI_FLAGS_64BIT ? 4 : 0) + (flags & MSI_FLAGS_MASKBIT ? 10 : 0);
}

function msiPermissions(map: PermissionMap, hw: ConfigReader, at: number): void {
  const flags = hw.read(at + 2, 2);
  const wide = (flags & MSI_FLAGS_64BIT) !== 0;
  const data = wide ? 12 : 8;
  map.set(at + 2, 1, ALL, ALL);
  map.set(at + 4, 4, ALL, ALL);
  if (wide) map.set(at + 8, 4, ALL, ALL);
  map.set(at + data, 2, ALL, ALL);
  if (!(flags & MSI_FLAGS_MASKBIT)) return;
  map.set(at + data + 4, 4, NONE, ALL);
  map.set(at + data + 8, 4, NONE, ALL);
}

function expressLength(hw: ConfigReader, at: number): number {
  const flags = hw.read(at + 2, 2);
  const integrated = ((flags >> 4) & 0xf) === EXP_TYPE_RC_END;
  if ((flags & 0xf) === 1) return integrated ? 12 : 20;
  return integrated ? 44 : 52;
}

export const CAPABILITIES: ReadonlyMap<number, CapabilityRule> = new Map<number, CapabilityRule>([
  [
    PCI_CAP_ID_PM,
    {
      name: "power management",
      length: fixed(8),
      permissions(map, _hw, at) {
        map.set(at + 2, 2, 0xf800, NONE); // PME_Support reads 0
        map.set(at + 4, 2, 0x8100, 0x7efc); // PME bits read 0; PowerState moves by the kernel's hand only
        map.set(at + 6, 2, NONE, ALL);
      },
    },
  ],
  [0x02, { name: "AGP", length: fixed(12) }],
  [
    PCI_CAP_ID_VPD,
    {
      name: "vital product data",
      length: fixed(8),
      permissions(map, _hw, at) {
        map.set(at + 2, 2, ALL, ALL);
        map.set(at + 4, 4, ALL, ALL);
      },
    },
  ],
  [0x04, hidden("slot identification")],
  [PCI_CAP_ID_MSI, { name: "MSI", length: msiLength, permissions: msiPermissions }],
  [0x06, hidden("CompactPCI hot swap")],
  [
    0x07,
    {
      name: "PCI-X",
      length: (hw, at) => ((hw.read(at + 2, 2) >> 12) & 3 ? 24 : 8),
      permissions(map, hw, at) {
        map.set(at + 2, 2, NONE, ALL);
        if ((hw.read(at + 2, 2) >> 12) & 3) map.set(at + 8, 4, NONE, ALL);
      },
    },
  ],
  [0x08, { name: "HyperTransport", length: (hw, at) => (hw.read(at + 3, 1) & 0xe0 ? 24 : 28) }],
  [
    0x09,
    {
      name: "vendor specific",
      length: (hw, at) => hw.read(at + 2, 1),
      permissions(map, hw, at) {
        for (let i = 2; i < hw.read(at + 2, 1); i++) map.set(at + i, 1, NONE, ALL);
      },
    },
  ],
  [0x0a, hidden("debug port")],
  [0x0b, hidden("CompactPCI resource control")],
  [0x0c, hidden("standard hot plug")],
  [0x0d, hidden("bridge subsystem ids")],
  [0x0e, hidden("AGP 8x")],
  [0x0f, hidden("secure device")],
  [
    PCI_CAP_ID_EXP,
    {
      name: "PCI Express",
      length: expressLength,
      permissions(map, hw, at) {
        map.set(at + 8, 2, 0xf0e0, 0xfdff); // DEVCTL: FLR, MRRS and MPS virtual; phantom functions fixed
        if (expressLength(hw, at) >= 44) map.set(at + 0x28, 2, NONE, 0xffdf); // DEVCTL2 without ARI forwarding
      },
    },
  ],
  [PCI_CAP_ID_MSIX, { name: "MSI-X", length: fixed(12) }],
  [0x12, { name: "SATA", length: (hw, at) => ((hw.read(at + 4, 1) & 0xf) === 0xf ? 16 : 8) }],
  [
    PCI_CAP_ID_AF,
    { name: "advanced features", length: fixed(6), permissions: (map, _hw, at) => map.set(at + 4, 1, 1, 1) },
  ],
]);
