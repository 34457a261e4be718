// A function described by data alone: ids, capabilities and BARs whose contents are plain memory. It fills the places of
// a topology that only need to be there: a host bridge, a network card in the same group, a device to be reset.
import { type BarDescription, type BarWidth, ROM_BAR } from "../bar.ts";
import { addAf } from "../caps/af.ts";
import { Msi } from "../caps/msi.ts";
import { addPcie } from "../caps/pcie.ts";
import { addPm } from "../caps/pm.ts";
import { type DeviceIdentity, PciDevice } from "../device.ts";

export interface PassiveOptions extends DeviceIdentity {
  readonly bars?: readonly { index: number; type: BarDescription["type"]; size: number; prefetchable?: boolean }[];
  /** Contents of the expansion ROM; needs a BAR of type rom. */
  readonly rom?: Uint8Array;
  /** PCI Express capability; PCI_EXP_TYPE_* (default endpoint) and whether FLR exists. Absent: conventional. */
  readonly express?: { readonly type?: number; readonly flr?: boolean };
  readonly pm?: { readonly noSoftReset?: boolean };
  readonly af?: boolean;
  readonly msi?: { readonly vectors?: number };
}

export class PassiveDevice extends PciDevice {
  readonly #memory = new Map<number, Uint8Array>();

  constructor(options: PassiveOptions) {
    super(options.express ? { configSize: 4096, ...options } : options);
    for (const bar of options.bars ?? []) {
      this.addBar({ prefetchable: false, ...bar });
      const bytes = new Uint8Array(bar.size);
      if (bar.index === ROM_BAR && options.rom) bytes.set(options.rom.subarray(0, bar.size));
      this.#memory.set(bar.index, bytes);
    }
    if (options.pm) addPm(this, options.pm);
    if (options.msi) new Msi(this, options.msi);
    if (options.express) addPcie(this, options.express);
    if (options.af) addAf(this);
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    const bytes = this.#memory.get(bar);
    const at = (i: number): number => (bytes?.[offset + i] ?? 0xff) << ((i & 3) * 8);
    out[0] = 0;
    out[1] = 0;
    for (let i = 0; i < width; i++) out[i >> 2]! |= at(i);
  }

  writeBar(bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    const bytes = this.#memory.get(bar);
    if (!bytes || bar === ROM_BAR) return;
    for (let i = 0; i < width && offset + i < bytes.length; i++)
      bytes[offset + i] = (i < 4 ? lo : hi) >>> ((i & 3) * 8);
  }

  protected onReset(): void {
    for (const [bar, bytes] of this.#memory) if (bar !== ROM_BAR) bytes.fill(0);
  }
}

export function passive(options: PassiveOptions): PassiveDevice {
  return new PassiveDevice(options);
}
