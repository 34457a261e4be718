// Bridges with a type 1 header: PCI Express ports, PCIe-to-PCI and conventional bridges. The model holds bus numbers and
// forwarding windows; raising the secondary bus reset bit resets everything below (PCI-to-PCI Bridge 1.2, section 3.2.5).
// Each kind has the ids and capabilities of the part that QEMU models: its generic root port, TI's XIO3130 switch and
// the PCIe-to-PCI bridge with a standard hot-plug controller.
import type { BarWidth } from "./bar.ts";
import { addAcs, addAer } from "./caps/extended.ts";
import { Msi } from "./caps/msi.ts";
import { Msix } from "./caps/msix.ts";
import { addPcie, type PcieLink } from "./caps/pcie.ts";
import { addPm } from "./caps/pm.ts";
import { Shpc } from "./caps/shpc.ts";
import { addSsvid } from "./caps/ssvid.ts";
import { PciDevice } from "./device.ts";
import * as regs from "./registers.ts";
import type { BridgeKind, BridgeOverrides } from "./topology/description.ts";

interface Kind {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  readonly interruptPin: number;
  /** PCI_EXP_TYPE_*; -1: conventional. */
  readonly type: number;
  readonly acs: boolean;
}

const RED_HAT = 0x1b36;
const TEXAS_INSTRUMENTS = 0x104c;
const { PCI_EXP_TYPE_ROOT_PORT, PCI_EXP_TYPE_UPSTREAM, PCI_EXP_TYPE_DOWNSTREAM, PCI_EXP_TYPE_PCI_BRIDGE } = regs;
const KINDS: Readonly<Record<BridgeKind, Kind>> = {
  "root-port": {
    vendor: RED_HAT,
    device: 0x000c,
    revision: 0,
    interruptPin: 1,
    type: PCI_EXP_TYPE_ROOT_PORT,
    acs: true,
  },
  "upstream-port": {
    vendor: TEXAS_INSTRUMENTS,
    device: 0x8232,
    revision: 2,
    interruptPin: 0,
    type: PCI_EXP_TYPE_UPSTREAM,
    acs: false,
  },
  "downstream-port": {
    vendor: TEXAS_INSTRUMENTS,
    device: 0x8233,
    revision: 1,
    interruptPin: 0,
    type: PCI_EXP_TYPE_DOWNSTREAM,
    acs: true,
  },
  "pcie-pci-bridge": {
    vendor: RED_HAT,
    device: 0x000e,
    revision: 0,
    interruptPin: 1,
    type: PCI_EXP_TYPE_PCI_BRIDGE,
    acs: false,
  },
  "pci-bridge": { vendor: RED_HAT, device: 0x0001, revision: 0, interruptPin: 1, type: -1, acs: false },
};

/** The generic root port: 16 GT/s, 32 lanes. */
const ROOT_LINK: PcieLink = { speed: 4, width: 32 };
const ROOT_BAR_SIZE = 0x1000;
const ROOT_PBA = 0x800;
const SHPC_BAR_SIZE = 0x100;
/** Conventional buses: 66 MHz and fast back-to-back. */
const PCI_STATUS_FAST = 0x00a0;
const CONTROL_EXPRESS = 0x005f;
const CONTROL_CONVENTIONAL = 0x0bff;

export interface BridgeOptions extends BridgeOverrides {
  readonly kind: BridgeKind;
  readonly acs?: boolean;
  /** Ports: physical slot number. Default 0. */
  readonly slot?: number;
  /** Ports: the slot can be hot-plugged. Default false. */
  readonly hotplug?: boolean;
}

export class BridgeDevice extends PciDevice {
  readonly kind: BridgeKind;
  /** Runs when software asserts secondary bus reset; set by the topology. */
  onSecondaryReset: () => void = () => undefined;
  #shpc: Shpc | null = null;

  constructor(options: BridgeOptions) {
    const kind = KINDS[options.kind];
    super(
      {
        ...kind,
        vendor: options.vendor ?? kind.vendor,
        device: options.device ?? kind.device,
        classCode: regs.PCI_CLASS_BRIDGE_PCI,
        configSize: kind.type >= 0 ? 4096 : 256,
      },
      1,
    );
    this.kind = options.kind;
    this.#defineWindows(kind.type === PCI_EXP_TYPE_PCI_BRIDGE || kind.type < 0);
    this.#addCapabilities(options, kind);
    this.config.onWrite(regs.PCI_BRIDGE_CONTROL, 2, (offset, _size, _value, old) => {
      const before = (old >>> ((regs.PCI_BRIDGE_CONTROL - offset) * 8)) & regs.PCI_BRIDGE_CTL_BUS_RESET;
      const after = this.config.read(regs.PCI_BRIDGE_CONTROL, 2) & regs.PCI_BRIDGE_CTL_BUS_RESET;
      if (after && !before) this.onSecondaryReset();
    });
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    if (this.msix?.owns(bar, offset)) this.msix.read(offset, width, out);
    else if (this.#shpc && bar === 0) this.#shpc.read(offset, width, out);
    else {
      out[0] = bar === 0 ? 0 : 0xffffffff;
      out[1] = out[0];
    }
  }

  writeBar(bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    if (this.msix?.owns(bar, offset)) this.msix.write(offset, width, lo, hi);
    else if (this.#shpc && bar === 0) this.#shpc.write(offset, width, lo);
  }

  protected onReset(): void {
    this.#shpc?.reset();
  }

  #addCapabilities(options: BridgeOptions, { type, acs }: Kind): void {
    const slot = { number: options.slot ?? 0, hotplug: options.hotplug ?? false };
    const noSoftReset = options.noSoftReset;
    switch (options.kind) {
      case "root-port":
        this.addBar({ index: 0, type: "mem32", size: ROOT_BAR_SIZE, prefetchable: false });
        addPcie(this, { type, slot, link: ROOT_LINK, flr: options.flr ?? false, at: 0x54 });
        new Msix(this, { vectors: 1, bar: 0, table: 0, pba: ROOT_PBA, at: 0x48 });
        addSsvid(this, { vendor: RED_HAT }, 0x40);
        addAer(this, { root: true, multipleHeaders: true });
        break;
      case "upstream-port":
      case "downstream-port":
        addPcie(this, {
          type,
          flr: options.flr ?? true,
          at: 0x90,
          ...(type === PCI_EXP_TYPE_DOWNSTREAM && { slot, link: null }),
        });
        addSsvid(this, {}, 0x80);
        new Msi(this, { at: 0x70 });
        addAer(this, { multipleHeaders: true });
        break;
      case "pcie-pci-bridge":
        this.addBar({ index: 0, type: "mem64", size: SHPC_BAR_SIZE, prefetchable: false });
        new Msi(this, { maskable: true, at: 0x8c });
        addPm(this, { noSoftReset: noSoftReset ?? false, softReset: false, at: 0x84 });
        addPcie(this, { type, flr: options.flr ?? false, at: 0x48 });
        this.#shpc = new Shpc(this, 0x40);
        addAer(this);
        return;
      case "pci-bridge":
        addPm(this, { noSoftReset: noSoftReset ?? false });
        return;
    }
    if (noSoftReset !== undefined) addPm(this, { noSoftReset });
    if (options.acs ?? acs) addAcs(this, { at: 0x148 });
  }

  #defineWindows(conventional: boolean): void {
    const { config } = this;
    for (const at of [regs.PCI_PRIMARY_BUS, regs.PCI_SECONDARY_BUS, regs.PCI_SUBORDINATE_BUS]) {
      config.define(at, 1, { write: 0xff });
    }
    config.define(regs.PCI_SEC_LATENCY_TIMER, 1, { write: 0xff });
    config.define(regs.PCI_IO_BASE, 1, { write: 0xf0 });
    config.define(regs.PCI_IO_LIMIT, 1, { write: 0xf0 });
    const status = conventional ? PCI_STATUS_FAST : 0;
    config.define(regs.PCI_STATUS, 2, { value: status, rw1c: 0xf900 });
    config.define(regs.PCI_SEC_STATUS, 2, { value: status, rw1c: 0xf900 });
    config.define(regs.PCI_MEMORY_BASE, 2, { write: 0xfff0 });
    config.define(regs.PCI_MEMORY_LIMIT, 2, { write: 0xfff0 });
    config.define(regs.PCI_PREF_MEMORY_BASE, 2, { value: 1, write: 0xfff0 });
    config.define(regs.PCI_PREF_MEMORY_LIMIT, 2, { value: 1, write: 0xfff0 });
    config.define(regs.PCI_PREF_BASE_UPPER32, 4, { write: 0xffffffff });
    config.define(regs.PCI_PREF_LIMIT_UPPER32, 4, { write: 0xffffffff });
    const control = conventional ? CONTROL_CONVENTIONAL : CONTROL_EXPRESS;
    config.define(regs.PCI_BRIDGE_CONTROL, 2, { write: control, rw1c: conventional ? 0x0400 : 0 });
  }
}
