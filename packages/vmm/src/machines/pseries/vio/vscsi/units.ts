// The logical units of one virtual SCSI adapter: who gets a command, and what is answered for places where nobody is.
// Source: SAM-5 section 5.11 (incorrect logical unit numbers), SPC-4 section 6.33 (REPORT LUNS).
// Invariant: a command to a place without a unit gets an answer too, because clients find units by asking everywhere.
import {
  be32,
  INQUIRY,
  type LogicalUnit,
  putBe32,
  REPORT_LUNS,
  REQUEST_SENSE,
  type ScsiData,
  type UnitCounters,
} from "../scsi/command.ts";
import { requestSense } from "../scsi/disk.ts";
import { inquiry } from "../scsi/inquiry.ts";
import { DATA_PHASE_ERROR, INVALID_FIELD_IN_CDB, LUN_NOT_SUPPORTED, SENSE_NONE } from "../scsi/sense.ts";
import { encodeLun, LUN_REPORT_LUNS, sameTarget } from "./lun.ts";

const SELECT_WELL_KNOWN = 1;
const SELECT_ALL = 2;
const UNIT_BYTES = 8;

export class LogicalUnits {
  private readonly units = new Map<number, LogicalUnit>();

  /** `address` as in lun.ts. */
  set(address: number, unit: LogicalUnit): void {
    this.units.set(address, unit);
  }

  at(address: number): LogicalUnit | undefined {
    return this.units.get(address);
  }

  /** Of all units together. */
  counters(): UnitCounters {
    const sum: UnitCounters = { commands: 0, failures: 0, bytesRead: 0, bytesWritten: 0 };
    for (const { counters } of this.units.values()) {
      sum.commands += counters.commands;
      sum.failures += counters.failures;
      sum.bytesRead += counters.bytesRead;
      sum.bytesWritten += counters.bytesWritten;
    }
    return sum;
  }

  reset(): void {
    for (const unit of this.units.values()) unit.reset();
  }

  close(): void {
    for (const unit of this.units.values()) unit.close();
  }

  /** Carries out a command sent to `address`. Returns the sense. */
  execute(address: number, cdb: Uint8Array, data: ScsiData): number {
    if (cdb[0] === REPORT_LUNS) return this.reportLuns(address, cdb, data);
    const unit = this.units.get(address);
    if (unit !== undefined) return unit.execute(cdb, data);
    if (cdb[0] === INQUIRY) return inquiry(cdb, data, undefined);
    return cdb[0] === REQUEST_SENSE ? requestSense(cdb, data, LUN_NOT_SUPPORTED) : LUN_NOT_SUPPORTED;
  }

  /** All units for unit 0 of everything and the well-known unit, else those of the same target in their simple form. */
  private reportLuns(address: number, cdb: Uint8Array, data: ScsiData): number {
    const select = cdb[2]!;
    if (select > SELECT_ALL) return INVALID_FIELD_IN_CDB;
    const whole = address === 0 || address === LUN_REPORT_LUNS;
    const found = [...this.units.keys()].filter((each) => whole || sameTarget(each, address)).sort((a, b) => a - b);
    // Unit 0 is always told, because clients look there first; there are no units of the well-known kind to list.
    if (whole && found[0] !== 0) found.unshift(0);
    if (select === SELECT_WELL_KNOWN) found.length = 0;
    const answer = new Uint8Array(8 + found.length * UNIT_BYTES);
    putBe32(answer, 0, found.length * UNIT_BYTES);
    found.forEach((each, index) => {
      const at = 8 + index * UNIT_BYTES;
      if (whole) encodeLun(each, answer, at);
      else answer[at + 1] = each & 0x1f;
    });
    return data.send(answer.subarray(0, be32(cdb, 6))) ? SENSE_NONE : DATA_PHASE_ERROR;
  }
}
