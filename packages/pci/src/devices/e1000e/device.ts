// Intel's 82574L gigabit Ethernet controller as a PCI function: registers in BAR 0, flash in BAR 1, an address and data
// pair in I/O BAR 2, MSI-X in BAR 3, an expansion ROM. Source: 82574L datasheet, revision 3.4.
// Registers are dwords; an 8-byte access is two of them, a narrower write replaces the whole register.
// Two transmit queues and one of the two receive queues are served; what is sent goes to the wire, or comes back in when
// RCTL or the PHY says loopback.
import { type BarWidth, ROM_BAR } from "../../bar.ts";
import { addAer, addDsn } from "../../caps/extended.ts";
import { Msi } from "../../caps/msi.ts";
import { Msix } from "../../caps/msix.ts";
import { addPcie, mayNotSnoop } from "../../caps/pcie.ts";
import { addPm } from "../../caps/pm.ts";
import { PciDevice } from "../../device.ts";
import { descriptionError } from "../../error.ts";
import { TLP_NO_SNOOP } from "../../ports.ts";
import { optionRom } from "../option-rom.ts";
import { Eeprom } from "./eeprom.ts";
import { CAUSE_MDAC, E1000eInterrupts } from "./interrupts.ts";
import { Phy } from "./phy.ts";
import { Receiver } from "./receive.ts";
import * as regs from "./registers.ts";
import type { RingHost } from "./ring.ts";
import { Transmitter } from "./transmit.ts";

const FLASH_BAR = 1;
const IO_BAR = 2;
const MSIX_BAR = 3;
const FLASH_SIZE = 0x2_0000;
const IO_SIZE = 0x20;
const MSIX_SIZE = 0x4000;
const MSIX_PBA = 0x2000;
const MSIX_VECTORS = 5;
const ROM_SIZE = 0x4_0000;
/** One for a PC's firmware, one for EFI. */
const ROM_IMAGES = [{ blocks: 0x93 }, { blocks: 0x155, type: 3 }] as const;
const IOADDR = 0;
const IODATA = 4;

/** The other end of the cable. */
export interface EthernetWire {
  /** A frame without its checksum, valid during the call. */
  send(frame: Uint8Array): void;
}

export interface E1000eOptions {
  /** Default: nobody is there. */
  readonly wire?: EthernetWire;
  /** Ethernet address, "52:54:00:12:34:56" by default. */
  readonly mac?: string;
  /** DEVCTL can be written, as on the card, so that requests may say No Snoop; QEMU's has it fixed at 0. Default false. */
  readonly transfers?: boolean;
}

/** What every card has in its ROM; made when the first is read. */
let sharedRom: Uint8Array | null = null;

function romOfCard(): Uint8Array {
  sharedRom ??= optionRom({
    vendor: 0x8086,
    device: 0x10d3,
    classCode: 0x020000,
    images: ROM_IMAGES,
    size: ROM_SIZE,
  });
  return sharedRom;
}

export class E1000eDevice extends PciDevice {
  readonly mac: Uint8Array;
  readonly #registers = new Uint32Array(regs.BAR_SIZE / 4);
  readonly #writable = new Uint32Array(regs.BAR_SIZE / 4);
  readonly #interrupts: E1000eInterrupts;
  readonly #eeprom: Eeprom;
  readonly #phy = new Phy();
  readonly #transmitter: Transmitter;
  readonly #receiver: Receiver;
  #ioAddress = 0;
  #linkStatus = regs.STATUS_LINK;

  constructor(options: E1000eOptions = {}) {
    super({
      vendor: 0x8086,
      device: 0x10d3,
      classCode: 0x020000,
      subsystemVendor: 0x8086,
      subsystem: 0,
      interruptPin: 1,
      configSize: 4096,
    });
    this.mac = parseMac(options.mac ?? "52:54:00:12:34:56");
    this.addBar({ index: 0, type: "mem32", size: regs.BAR_SIZE, prefetchable: false });
    this.addBar({ index: FLASH_BAR, type: "mem32", size: FLASH_SIZE, prefetchable: false });
    this.addBar({ index: IO_BAR, type: "io", size: IO_SIZE, prefetchable: false });
    this.addBar({ index: MSIX_BAR, type: "mem32", size: MSIX_SIZE, prefetchable: false });
    this.addBar({ index: ROM_BAR, type: "rom", size: ROM_SIZE, prefetchable: false });
    addPm(this, { version: 2, deviceInit: true, events: true, softReset: false, at: 0xc8 });
    new Msi(this, { at: 0xd0 });
    addPcie(this, { version: 1, at: 0xe0, transfers: options.transfers ?? false });
    new Msix(this, { vectors: MSIX_VECTORS, bar: MSIX_BAR, table: 0, pba: MSIX_PBA, at: 0xa0 });
    addAer(this, { prefixLog: false });
    addDsn(this, serialNumber(this.mac), 0x140);
    this.#eeprom = new Eeprom(this.mac);
    const self = this;
    this.#interrupts = new E1000eInterrupts(
      {
        get messages() {
          return self.msix?.enabled ? "msix" : self.msi?.enabled ? "msi" : "none";
        },
        signal: (vector) => this.signal(vector),
        pin: (level) => this.setIntx(level),
      },
      {
        get ivar() {
          return self.#get(regs.IVAR);
        },
        get eiac() {
          return self.#get(regs.EIAC);
        },
        get iam() {
          return self.#get(regs.IAM);
        },
        get autoMask() {
          return (self.#get(regs.CTRL_EXT) & regs.CTRL_EXT_IAME) !== 0;
        },
      },
    );
    const rings: RingHost = {
      get dma() {
        return self.dma;
      },
      get: (offset) => this.#get(offset),
      set: (offset, value) => this.#set(offset, value),
      raise: (causes) => this.#interrupts.raise(causes),
      attributes: (kind) => ((this.#get(regs.GCR) & kind) !== 0 && mayNotSnoop(this) ? TLP_NO_SNOOP : 0),
      get perQueue() {
        return self.msix?.enabled ?? false;
      },
    };
    this.#receiver = new Receiver(rings);
    this.#transmitter = new Transmitter(rings, (frame) => this.#sent(frame, options.wire ?? null));
    for (const [, offset, , write] of regs.E1000E_REGISTERS) this.#writable[offset >> 2] = write;
    this.#toPowerOn();
  }

  readBar(bar: number, offset: number, width: BarWidth, out: Uint32Array): void {
    if (this.msix?.owns(bar, offset)) {
      this.msix.read(offset, width, out);
      return;
    }
    if (bar === ROM_BAR) {
      out[0] = out[1] = 0;
      const rom = romOfCard();
      for (let i = 0; i < width; i++) out[i >> 2]! |= (rom[offset + i] ?? 0xff) << ((i & 3) * 8);
      return;
    }
    // Narrow reads get the low part of the register that they fall into.
    const word = this.#readWord(bar, offset);
    out[0] = width >= 4 ? word : word & (width === 2 ? 0xffff : 0xff);
    out[1] = width === 8 ? this.#readWord(bar, offset + 4) : 0;
  }

  writeBar(bar: number, offset: number, width: BarWidth, lo: number, hi: number): void {
    if (this.msix?.owns(bar, offset)) {
      this.msix.write(offset, width, lo, hi);
      return;
    }
    this.#writeWord(bar, offset, width >= 4 ? lo >>> 0 : lo & (width === 2 ? 0xffff : 0xff));
    if (width === 8) this.#writeWord(bar, offset + 4, hi >>> 0);
  }

  /** A frame from the wire, without its checksum. False: it was not taken. */
  receive(frame: Uint8Array): boolean {
    return this.#receiver.receive(frame);
  }

  protected onReset(): void {
    this.#ioAddress = 0;
    this.#transmitter.reset();
    this.#phy.reset();
    this.#toPowerOn();
  }

  #toPowerOn(): void {
    this.#registers.fill(0);
    for (const [, offset, reset] of regs.E1000E_REGISTERS) this.#registers[offset >> 2] = reset;
    this.#linkStatus = regs.STATUS_LINK;
    this.#loadAddress();
    this.#interrupts.reset();
  }

  #loadAddress(): void {
    const { mac } = this;
    this.#set(regs.RAL, (mac[0]! | (mac[1]! << 8) | (mac[2]! << 16) | (mac[3]! << 24)) >>> 0);
    this.#set(regs.RAH, (mac[4]! | (mac[5]! << 8) | regs.RAH_VALID) >>> 0);
  }

  #get(offset: number): number {
    return this.#registers[offset >> 2]!;
  }

  #set(offset: number, value: number): void {
    this.#registers[offset >> 2] = value;
  }

  #readWord(bar: number, offset: number): number {
    if (bar === 0) return this.#read(regs.E1000E_ALIASES.get(offset & ~3) ?? offset & ~3);
    if (bar !== IO_BAR) return 0;
    if (offset === IOADDR) return this.#ioAddress;
    return offset === IODATA && this.#ioAddress < regs.BAR_SIZE ? this.#read(this.#ioAddress & ~3) : 0;
  }

  #writeWord(bar: number, offset: number, value: number): void {
    if (bar === 0) this.#write(regs.E1000E_ALIASES.get(offset & ~3) ?? offset & ~3, value);
    else if (bar === IO_BAR && offset === IOADDR) this.#ioAddress = value;
    else if (bar === IO_BAR && offset === IODATA && this.#ioAddress < regs.BAR_SIZE) {
      this.#write(this.#ioAddress & ~3, value);
    }
  }

  #read(offset: number): number {
    switch (offset) {
      case regs.STATUS:
        return this.#status();
      case regs.ICR:
        return this.#interrupts.acknowledge();
      case regs.ICS:
        return this.#interrupts.shown;
      case regs.IMS:
        return this.#interrupts.mask;
      case regs.SWSM: {
        // Reading the semaphore takes it.
        const value = this.#get(offset);
        this.#set(offset, value | regs.SWSM_SMBI);
        return value;
      }
    }
    const value = this.#get(offset);
    const counts = offset >= regs.STATISTICS && offset < regs.STATISTICS_END;
    // Statistics clear when they are read.
    if (counts && this.#writable[offset >> 2] === 0) this.#set(offset, 0);
    return value;
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case regs.CTRL:
        this.#writeControl(value);
        return;
      case regs.STATUS:
        if (!(value & regs.STATUS_PHYRA)) this.#linkStatus &= ~regs.STATUS_PHYRA;
        return;
      case regs.EERD:
        this.#set(offset, this.#eeprom.access(value));
        return;
      case regs.MDIC: {
        const result = this.#phy.access(value, this.#get(regs.MDIC));
        this.#set(offset, result.value);
        if (result.interrupt) this.#interrupts.raise(CAUSE_MDAC);
        return;
      }
      case regs.ICR:
        this.#interrupts.clear(value);
        return;
      case regs.ICS:
        this.#interrupts.raise(value);
        return;
      case regs.IMS:
        this.#interrupts.enable(value);
        return;
      case regs.IMC:
        this.#interrupts.disable(value);
        return;
      case regs.TCTL:
        this.#store(offset, value);
        for (let queue = 0; queue < regs.QUEUES; queue++) this.#transmitter.run(queue);
        return;
      case regs.TDT:
      case regs.TDT + regs.QUEUE_STRIDE:
        this.#store(offset, value);
        this.#transmitter.run((offset - regs.TDT) / regs.QUEUE_STRIDE);
        return;
      default:
        this.#store(offset, value);
    }
  }

  #sent(frame: Uint8Array, wire: EthernetWire | null): void {
    for (const counter of [regs.GPTC, regs.TPT]) this.#set(counter, (this.#get(counter) + 1) >>> 0);
    this.#set(regs.GOTCL, (this.#get(regs.GOTCL) + frame.length) >>> 0);
    const loopback = (this.#get(regs.RCTL) & regs.RCTL_LBM) === regs.RCTL_LBM_MAC || this.#phy.loopback;
    if (loopback) this.#receiver.receive(frame);
    else wire?.send(frame);
  }

  #store(offset: number, value: number): void {
    const mask = this.#writable[offset >> 2]!;
    this.#set(offset, ((this.#get(offset) & ~mask) | (value & mask)) >>> 0);
  }

  /** A reset by software reloads the address from the NVM and leaves everything else. */
  #writeControl(value: number): void {
    this.#set(regs.CTRL, (value & ~regs.CTRL_RST) >>> 0);
    if (value & regs.CTRL_RST) this.#loadAddress();
    if (!(value & regs.CTRL_PHY_RST)) return;
    this.#phy.reset();
    this.#linkStatus |= regs.STATUS_PHYRA;
  }

  /** Speed and duplex are what software forces, or 1000 Mb/s full duplex. */
  #status(): number {
    const control = this.#get(regs.CTRL);
    const forcedDuplex = (control & regs.CTRL_FRCDPX) !== 0;
    const forcedSpeed = control & regs.CTRL_FRCSPD || this.#get(regs.CTRL_EXT) & regs.CTRL_EXT_SPD_BYPS;
    const speed = forcedSpeed ? Math.min((control >>> regs.CTRL_SPEED_SHIFT) & 3, regs.SPEED_1000) : regs.SPEED_1000;
    return (
      this.#linkStatus |
      (speed << regs.STATUS_SPEED_SHIFT) |
      (!forcedDuplex || control & regs.CTRL_FD ? regs.STATUS_FD : 0) |
      (control & regs.CTRL_MASTER_DISABLE ? 0 : regs.STATUS_MASTER_ENABLED)
    );
  }
}

/** The address with ff:ff in its middle, first byte highest. */
function serialNumber(mac: Uint8Array): { hi: number; lo: number } {
  return {
    hi: ((mac[0]! << 24) | (mac[1]! << 16) | (mac[2]! << 8) | 0xff) >>> 0,
    lo: (0xff00_0000 | (mac[3]! << 16) | (mac[4]! << 8) | mac[5]!) >>> 0,
  };
}

function parseMac(text: string): Uint8Array {
  const parts = text.split(":").map((part) => (/^[0-9a-f]{2}$/i.test(part) ? Number.parseInt(part, 16) : Number.NaN));
  if (parts.length === 6 && parts.every((part) => part >= 0)) return Uint8Array.from(parts);
  throw descriptionError(
    `"${text}" is no Ethernet address`,
    "write six bytes in hexadecimal, such as 52:54:00:12:34:56",
  );
}
