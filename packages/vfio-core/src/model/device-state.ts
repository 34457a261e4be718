/**
 * Everything a vfio-pci device has only while it is open: virtual configuration, regions, interrupts, ioeventfds.
 *
 * Made at the first open, thrown away at the last close. Source: vfio_pci_core_enable and what it sets up.
 */
import { NO_IRQ, type PciFunction, restoreConfig, type SavedConfig, saveConfig, setPowerState } from "@minivmm/pci";
import { VFIO_PCI_MSI_IRQ_INDEX } from "../uapi.ts";
import { type HostBar, hostBars } from "./config/bars.ts";
import { VirtualConfig } from "./config/virtual-config.ts";
import { LowPower } from "./feature.ts";
import { IoEventFds } from "./ioeventfd.ts";
import { Interrupts } from "./irq/interrupts.ts";
import type { InterruptLines } from "./irq/lines.ts";
import type { Profile } from "./profile.ts";
import { BarRegions } from "./regions.ts";

const PCI_PM_CTRL = 4;
const D3HOT = 3;
const NO_SOFT_RESET = 8;

export interface DeviceStateOptions {
  readonly fn: PciFunction;
  readonly profile: Profile;
  readonly pci23: boolean;
  readonly dynamicMsix: boolean;
  readonly multiMsi: boolean;
  readonly lines: InterruptLines;
  /** FLR through configuration space; the result does not matter. */
  readonly functionReset: () => void;
}

export class DeviceState {
  readonly fn: PciFunction;
  readonly profile: Profile;
  readonly pci23: boolean;
  readonly dynamicMsix: boolean;
  readonly multiMsi: boolean;
  readonly lines: InterruptLines;
  readonly bars: readonly HostBar[];
  readonly barWidth: 4 | 8;
  readonly config: VirtualConfig;
  readonly regions: BarRegions;
  readonly irqs: Interrupts;
  readonly ioeventfds: IoEventFds;
  readonly lowPower = new LowPower();
  readonly #pmControl: number;
  #beforeD3: SavedConfig | null = null;

  constructor(options: DeviceStateOptions) {
    const { fn } = options;
    this.fn = fn;
    this.profile = options.profile;
    this.pci23 = options.pci23;
    this.dynamicMsix = options.dynamicMsix;
    this.multiMsi = options.multiMsi;
    this.lines = options.lines;
    this.barWidth = options.profile.barWidth;
    this.bars = hostBars(fn);
    this.config = new VirtualConfig({
      hw: {
        read: (at, size) => fn.readConfig(at, size as 1 | 2 | 4),
        write: (at, size, v) => fn.writeConfig(at, size as 1 | 2 | 4, v),
      },
      size: fn.config.size,
      bars: this.bars,
      nointx: false,
      virtual: fn.physfn ? { vendor: fn.vendorId, device: fn.deviceId } : undefined,
      effects: {
        // Mappings ask for every access, so there is nothing to take away.
        memoryDisabled: () => undefined,
        intxDisable: (on) => (on ? this.irqs.intx.mask() : this.irqs.intx.unmask()),
        powerState: (state) => this.setPower(state as 0 | 1 | 2 | 3),
        functionReset: options.functionReset,
        msiActive: () => this.irqs.mode === VFIO_PCI_MSI_IRQ_INDEX,
        msiQueueSize: () => this.irqs.messages.queueSize,
      },
    });
    const pm = this.config.capabilities.get(1) ?? 0;
    this.#pmControl = pm === 0 ? 0 : pm + PCI_PM_CTRL;
    this.regions = new BarRegions(this);
    this.irqs = new Interrupts(this);
    this.ioeventfds = new IoEventFds(this);
  }

  get irqMode(): number {
    return this.irqs.mode;
  }

  /** Hot: asked for every access to a memory BAR. */
  memoryAccessible(): boolean {
    return this.config.memoryEnabled && !this.inD3();
  }

  inD3(): boolean {
    return this.#pmControl !== 0 && ((this.fn.config.bytes[this.#pmControl] as number) & 3) === D3HOT;
  }

  /** PMCSR as the user wants it. A function that resets on its way out of D3hot gets its configuration back. */
  setPower(state: 0 | 1 | 2 | 3): void {
    if (this.#pmControl === 0) return;
    // A physical function stays up for its virtual ones.
    if (state > 0 && (this.fn.iov?.numVfs ?? 0) > 0) return;
    const keepsState = (this.fn.readConfig(this.#pmControl, 2) & NO_SOFT_RESET) !== 0;
    const wasD3 = this.inD3();
    if (state === D3HOT && !wasD3 && !keepsState) this.#beforeD3 = saveConfig(this.fn);
    setPowerState(this.fn, state);
    if (!wasD3 || this.inD3() || !this.#beforeD3) return;
    restoreConfig(this.fn, this.#beforeD3);
    this.#beforeD3 = null;
  }

  /** Last close: nothing of this state may act any more. */
  close(): void {
    this.lowPower.exit();
    this.fn.device.irq = NO_IRQ;
    this.irqs.close();
    this.ioeventfds.close();
  }
}
