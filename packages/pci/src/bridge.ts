// Bridges with a type 1 header: PCI Express ports, PCIe-to-PCI and conventional bridges. The model holds bus numbers and
// forwarding windows; raising the secondary bus reset bit resets everything below (PCI-to-PCI Bridge 1.2, section 3.2.5).
// Device ids are those of QEMU's generic ports, so that tools which print them find a name.
import type { BarWidth } from "./bar.ts";
import { addAcs, addAer } from "./caps/extended.ts";
import { addPcie } from "./caps/pcie.ts";
import { addPm } from "./caps/pm.ts";
import { PciDevice } from "./device.ts";
import * as regs from "./registers.ts";
import type { BridgeKind, BridgeOverrides } from "./topology/description.ts";

const KINDS = {
  "root-port": { device: 0x000c, type: regs.PCI_EXP_TYPE_ROOT_PORT, acs: true },
  "upstream-port": { device: 0x8232, type: regs.PCI_EXP_TYPE_UPSTREAM, acs: false },
  "downstream-port": { device: 0x8233, type: regs.PCI_EXP_TYPE_DOWNSTREAM, acs: true },
  "pcie-pci-bridge": { device: 0x000e, type: regs.PCI_EXP_TYPE_PCI_BRIDGE, acs: false },
  "pci-bridge": { device: 0x0001, type: -1, acs: false },
} as const;

export interface BridgeOptions extends BridgeOverrides {
  readonly kind: BridgeKind;
  readonly acs?: boolean;
}

export class BridgeDevice extends PciDevice {
  readonly kind: BridgeKind;
  /** Runs when software asserts secondary bus reset; set by the topology. */
  onSecondaryReset: () => void = () => undefined;

  constructor(options: BridgeOptions) {
    const kind = KINDS[options.kind];
    const express = kind.type >= 0;
    const texas = options.kind === "upstream-port" || options.kind === "downstream-port";
    super(
      {
        vendor: options.vendor ?? (texas ? 0x104c : 0x1b36),
        device: options.device ?? kind.device,
        classCode: regs.PCI_CLASS_BRIDGE_PCI,
        configSize: express ? 4096 : 256,
      },
      1,
    );
    this.kind = options.kind;
    defineWindows(this);
    const port = express && options.kind !== "pcie-pci-bridge";
    if (express) addPcie(this, { type: kind.type, flr: options.flr ?? texas });
    addPm(this, { noSoftReset: options.noSoftReset ?? port });
    if (port) addAer(this, { root: options.kind === "root-port" });
    if (port && (options.acs ?? kind.acs)) addAcs(this);
    this.config.onWrite(regs.PCI_BRIDGE_CONTROL, 2, (offset, _size, _value, old) => {
      const before = (old >>> ((regs.PCI_BRIDGE_CONTROL - offset) * 8)) & regs.PCI_BRIDGE_CTL_BUS_RESET;
      const after = this.config.read(regs.PCI_BRIDGE_CONTROL, 2) & regs.PCI_BRIDGE_CTL_BUS_RESET;
      if (after && !before) this.onSecondaryReset();
    });
  }

  readBar(_bar: number, _offset: number, _width: BarWidth, out: Uint32Array): void {
    out[0] = 0xffffffff;
    out[1] = 0xffffffff;
  }
  writeBar(): void {}
  protected onReset(): void {}
}

function defineWindows(bridge: BridgeDevice): void {
  const { config } = bridge;
  for (const at of [regs.PCI_PRIMARY_BUS, regs.PCI_SECONDARY_BUS, regs.PCI_SUBORDINATE_BUS]) {
    config.define(at, 1, { write: 0xff });
  }
  config.define(regs.PCI_SEC_LATENCY_TIMER, 1, { write: 0xff });
  config.define(regs.PCI_IO_BASE, 1, { value: 0x01, write: 0xf0 });
  config.define(regs.PCI_IO_LIMIT, 1, { value: 0x01, write: 0xf0 });
  config.define(regs.PCI_SEC_STATUS, 2, { rw1c: 0xf900 });
  config.define(regs.PCI_MEMORY_BASE, 2, { write: 0xfff0 });
  config.define(regs.PCI_MEMORY_LIMIT, 2, { write: 0xfff0 });
  config.define(regs.PCI_PREF_MEMORY_BASE, 2, { value: 1, write: 0xfff0 });
  config.define(regs.PCI_PREF_MEMORY_LIMIT, 2, { value: 1, write: 0xfff0 });
  config.define(regs.PCI_PREF_BASE_UPPER32, 4, { write: 0xffffffff });
  config.define(regs.PCI_PREF_LIMIT_UPPER32, 4, { write: 0xffffffff });
  config.define(regs.PCI_IO_BASE_UPPER16, 2, { write: 0xffff });
  config.define(regs.PCI_IO_LIMIT_UPPER16, 2, { write: 0xffff });
  config.define(regs.PCI_BRIDGE_CONTROL, 2, { write: 0x007f });
}
