// A function of the host passed through to the guest: registers behind BARs are the device's own, configuration space
// is the device's except for what ShadowFunction keeps, interrupts come by eventfd.
// Source: QEMU 7.2 hw/vfio/pci.c: every configuration write goes to the device first and then to the guest's copy.
// Invariant: nothing that the guest writes throws; what the host refuses is kept in `problems`.
import type { Host } from "@minivmm/host";
import {
  type BarDescription,
  PCI_INTERRUPT_PIN,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
} from "@minivmm/pci";
import { VFIO_PCI_CONFIG_REGION_INDEX, type VfioDevice } from "@minivmm/vfio-core";
import { VmmError } from "../errors.ts";
import { decodedBarAddress } from "./emulated.ts";
import type { EndpointWires, PciEndpoint } from "./endpoint.ts";
import { programMessages } from "./messages.ts";
import { type HostFunction, ShadowFunction } from "./shadow-function.ts";
import { VfioIrqs } from "./vfio-irqs.ts";

const PROBLEMS_MAX = 8;

export class VfioPciEndpoint implements PciEndpoint {
  readonly name: string;
  readonly configSize: 256 | 4096;
  readonly problems: string[] = [];
  private readonly device: VfioDevice;
  private readonly host: Host;
  private readonly shadow: ShadowFunction;
  private irqs: VfioIrqs | undefined;

  /** `device` has been opened by a VfioSession, which also closes it. Throws VmmError PASSTHROUGH for what is no PCI function. */
  constructor(name: string, host: Host, device: VfioDevice) {
    this.name = name;
    this.host = host;
    this.device = device;
    const configBytes = device.region(VFIO_PCI_CONFIG_REGION_INDEX).size;
    if (configBytes < 256) {
      throw new VmmError(`device ${name}: its configuration space has ${configBytes} bytes, so it is no PCI function`, {
        code: "PASSTHROUGH",
        details: { configBytes },
      });
    }
    this.configSize = configBytes >= 4096 ? 4096 : 256;
    const hostFunction: HostFunction = {
      configSize: this.configSize,
      readConfig: (offset, width) => device.readConfig(offset, width),
      barSize: (index) => device.region(index).size,
    };
    this.shadow = new ShadowFunction(hostFunction);
  }

  get bars(): readonly BarDescription[] {
    return this.shadow.bars;
  }

  get interruptPin(): number {
    return this.shadow.config.read(PCI_INTERRUPT_PIN, 1);
  }

  get msiVectors(): number {
    return this.shadow.msi?.vectors ?? 0;
  }

  get msixVectors(): number {
    return this.shadow.msix?.vectors ?? 0;
  }

  connect(wires: EndpointWires): void {
    this.shadow.irq = { intx: () => {}, msi: (_vector, hi, lo, data) => wires.message(hi, lo, data) };
    this.irqs = new VfioIrqs(this.host, this.device, this.shadow, {
      intx: (level) => wires.intx(level),
      problem: (message) => this.problem(message),
    });
    this.irqs.sync();
  }

  readConfig(offset: number, width: 1 | 2 | 4): number {
    const { emulated, config } = this.shadow;
    let ours = 0;
    for (let i = 0; i < width; i++) ours += emulated[offset + i]!;
    if (ours === width) return config.read(offset, width);
    let value = this.device.readConfig(offset, width);
    for (let i = 0; i < width && ours > 0; i++) {
      if (emulated[offset + i] === 0) continue;
      const byte = config.bytes[offset + i]!;
      value = ((value & ~(0xff << (i * 8))) | (byte << (i * 8))) >>> 0;
    }
    return width === 4 ? value >>> 0 : value & (2 ** (width * 8) - 1);
  }

  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    this.device.writeConfig(offset, width, value);
    this.shadow.config.write(offset, width, value);
    this.irqs?.sync();
  }

  barAddress(bar: BarDescription): number {
    return decodedBarAddress(this.shadow, bar);
  }

  readBar(index: number, offset: number, width: 1 | 2 | 4 | 8, out: Uint32Array): void {
    const { msix } = this.shadow;
    if (msix?.owns(index, offset)) {
      msix.read(offset, width, out);
      return;
    }
    this.device.readRegion(index, offset, width, out);
  }

  writeBar(index: number, offset: number, width: 1 | 2 | 4 | 8, lo: number, hi: number): void {
    const { msix } = this.shadow;
    if (msix?.owns(index, offset)) {
      msix.write(offset, width, lo, hi);
      this.irqs?.sync();
      return;
    }
    this.device.writeRegion(index, offset, width, lo, hi);
  }

  programMessages(kind: "msi" | "msix", hi: number, lo: number, firstData: number, count: number): void {
    programMessages(this.shadow, kind, hi, lo, firstData, count);
    this.irqs?.sync();
  }

  intxEnded(): void {
    this.irqs?.intxEnded();
  }

  /**
   * A reset turns messages off. They go off in the host first and in the guest's copy, so that the guest can set them up
   * anew; BARs keep what the guest wrote, which their decoding needs once COMMAND is restored.
   */
  prepareReset(): void {
    const { msi, msix } = this.shadow;
    if (msi?.enabled) this.clearConfig(msi.offset + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE);
    if (msix?.enabled) this.clearConfig(msix.offset + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
    msix?.reset();
  }

  close(): void {
    this.irqs?.disable();
  }

  private clearConfig(offset: number, bits: number): void {
    this.writeConfig(offset, 2, this.shadow.config.read(offset, 2) & ~bits);
  }

  private problem(message: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(message);
  }
}
