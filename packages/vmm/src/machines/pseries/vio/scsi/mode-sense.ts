// MODE SENSE (6 and 10): the pages that tell a driver about write protection and the write cache.
// Source: SPC-4 sections 6.11, 6.12, 7.5 (headers, control page), SBC-3 section 6.4 (block descriptor, caching page).
// The pages cannot be changed: changeable values are zero and MODE SELECT does not exist.
import { be16, putBe16, putBe32, type ScsiData } from "./command.ts";
import { DATA_PHASE_ERROR, INVALID_FIELD_IN_CDB, SAVING_PARAMETERS_NOT_SUPPORTED, SENSE_NONE } from "./sense.ts";

export interface ModeFacts {
  readonly writeProtected: boolean;
  readonly blocks: number;
  readonly blockBytes: number;
}

const DISABLE_BLOCK_DESCRIPTORS = 0x08;
const WRITE_PROTECTED_BIT = 0x80;
/** Force unit access is understood. */
const DPOFUA = 0x10;
const BLOCK_DESCRIPTOR_BYTES = 8;

const CONTROL_CHANGEABLE = 1;
const CONTROL_SAVED = 3;
const ALL_PAGES = 0x3f;
const ALL_SUBPAGES = 0xff;
const WRITE_CACHE_ENABLED = 0x04;
const UNRESTRICTED_REORDERING = 0x10;

/** Pages in ascending order, with the bytes that are not zero. */
const PAGES: readonly { readonly code: number; readonly bytes: number; readonly set: readonly [number, number] }[] = [
  { code: 0x08, bytes: 20, set: [2, WRITE_CACHE_ENABLED] },
  { code: 0x0a, bytes: 12, set: [3, UNRESTRICTED_REORDERING] },
];

/** Answers the 6-byte (`ten` false) or 10-byte command. Returns the sense. */
export function modeSense(cdb: Uint8Array, data: ScsiData, ten: boolean, facts: ModeFacts): number {
  const control = cdb[2]! >>> 6;
  const page = cdb[2]! & 0x3f;
  const subpage = cdb[3]!;
  const wanted = PAGES.filter(({ code }) => page === ALL_PAGES || page === code);
  if (wanted.length === 0 || (subpage !== 0 && subpage !== ALL_SUBPAGES)) return INVALID_FIELD_IN_CDB;
  if (control === CONTROL_SAVED) return SAVING_PARAMETERS_NOT_SUPPORTED;

  const headerBytes = ten ? 8 : 4;
  const descriptorBytes = (cdb[1]! & DISABLE_BLOCK_DESCRIPTORS) === 0 ? BLOCK_DESCRIPTOR_BYTES : 0;
  const pageBytes = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
  const answer = new Uint8Array(headerBytes + descriptorBytes + pageBytes);
  const specific = (facts.writeProtected ? WRITE_PROTECTED_BIT : 0) | DPOFUA;
  if (ten) {
    putBe16(answer, 0, answer.length - 2);
    answer[3] = specific;
    putBe16(answer, 6, descriptorBytes);
  } else {
    answer[0] = answer.length - 1;
    answer[2] = specific;
    answer[3] = descriptorBytes;
  }
  if (descriptorBytes > 0) {
    putBe32(answer, headerBytes, Math.min(facts.blocks, 0xffffffff));
    // The count's fifth byte does not exist; the length has three.
    putBe32(answer, headerBytes + 4, facts.blockBytes);
  }
  let at = headerBytes + descriptorBytes;
  for (const { code, bytes, set } of wanted) {
    answer[at] = code;
    answer[at + 1] = bytes - 2;
    if (control !== CONTROL_CHANGEABLE) answer[at + set[0]] = set[1];
    at += bytes;
  }
  const allocation = ten ? be16(cdb, 7) : cdb[4]!;
  return data.send(answer.subarray(0, allocation)) ? SENSE_NONE : DATA_PHASE_ERROR;
}
