// Management datagrams of virtual SCSI: what a client asks of an adapter before it logs in.
// Source: PAPR 2.7 section 17.3 (VSCSI), Linux include/scsi/viosrp.h for layouts; the answers are those of a server that
// has no migration, no reservations and no fast failing, as QEMU 7.2 hw/scsi/spapr_vscsi.c.
// Invariant: at most as many bytes go to the client's buffer as it says it has, and never more than there is to say.
import type { DmaPort } from "@minivmm/pci";
import { SRP_VERSION } from "./srp.ts";

const ADAPTER_INFO_TYPE = 0x03;
const CAPABILITIES_TYPE = 0x05;

const MAD_SUCCESS = 0x00;
const MAD_NOT_SUPPORTED = 0xf1;
const MAD_FAILED = 0xf7;

/** mad_common: type (4), status (2), length (2), tag (8). */
const MAD_TYPE = 0;
const MAD_STATUS = 4;
const MAD_LENGTH = 6;
const MAD_BUFFER = 16;
const COMMON_BYTES = 16;
const WITH_BUFFER_BYTES = 24;

/** mad_adapter_info_data. */
const INFO_BYTES = 148;
const INFO_PARTITION_NAME = 8;
const INFO_MAD_VERSION = 108;
const INFO_OS_TYPE = 112;
const INFO_PORT_MAX_TXU = 116;
const OS_LINUX = 2;
const PARTITION_NAME = "minivmm";

/** struct capabilities: flags, name and place, then migration and reservation (type, length, support, value each). */
const CAPABILITIES_BYTES = 92;
const CAPABILITIES_FLAGS = 0;
const CAPABILITY_AT = [68, 80];
const CAPABILITY_SUPPORT = 6;
const CAPABILITY_VALUE = 8;

export class Mad {
  private readonly dma: DmaPort;
  private readonly info: Uint8Array;
  private readonly capabilities = new Uint8Array(CAPABILITIES_BYTES);

  /** `maximumBytes`: data that one command may move. */
  constructor(dma: DmaPort, maximumBytes: number) {
    this.dma = dma;
    this.info = new Uint8Array(INFO_BYTES);
    const ascii = new TextEncoder();
    this.info.set(ascii.encode(SRP_VERSION), 0);
    this.info.set(ascii.encode(PARTITION_NAME), INFO_PARTITION_NAME);
    const view = new DataView(this.info.buffer);
    view.setUint32(INFO_MAD_VERSION, 1);
    view.setUint32(INFO_OS_TYPE, OS_LINUX);
    view.setUint32(INFO_PORT_MAX_TXU, maximumBytes);
  }

  /** Answers a datagram of `length` bytes in place. Returns how many bytes of it go back. */
  answer(iu: Uint8Array, length: number): number {
    const view = new DataView(iu.buffer, iu.byteOffset);
    const type = view.getUint32(MAD_TYPE);
    const known = type === ADAPTER_INFO_TYPE || type === CAPABILITIES_TYPE;
    if (!known) {
      view.setUint16(MAD_STATUS, MAD_NOT_SUPPORTED);
      return COMMON_BYTES;
    }
    const room = view.getUint16(MAD_LENGTH);
    const done =
      length >= WITH_BUFFER_BYTES &&
      (type === ADAPTER_INFO_TYPE ? this.sendInfo(view, room) : this.sendCapabilities(view, room));
    view.setUint16(MAD_STATUS, done ? MAD_SUCCESS : MAD_FAILED);
    return WITH_BUFFER_BYTES;
  }

  private sendInfo(view: DataView, room: number): boolean {
    return this.dma.write(bufferHi(view), bufferLo(view), this.info.subarray(0, room));
  }

  /** The client's own list comes back with everything that it offers declined. */
  private sendCapabilities(view: DataView, room: number): boolean {
    const list = this.capabilities.subarray(0, room);
    if (!this.dma.read(bufferHi(view), bufferLo(view), list)) return false;
    const whole = new DataView(this.capabilities.buffer);
    whole.setUint32(CAPABILITIES_FLAGS, 0);
    for (const at of CAPABILITY_AT) {
      whole.setUint16(at + CAPABILITY_SUPPORT, 0);
      whole.setUint32(at + CAPABILITY_VALUE, 0);
    }
    return this.dma.write(bufferHi(view), bufferLo(view), list);
  }
}

function bufferHi(view: DataView): number {
  return view.getUint32(MAD_BUFFER);
}

function bufferLo(view: DataView): number {
  return view.getUint32(MAD_BUFFER + 4);
}
