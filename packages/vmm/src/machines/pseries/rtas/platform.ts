// Calls about the platform: time of day, system parameters, power off, reboot. Source: PAPR 2.7 sections 7.3.2, 7.3.9,
// 7.3.16. Power off and reboot answer success and end the VM's run; the guest executes nothing afterwards.
import type { GuestMemory } from "@minivmm/host";
import { RTAS_OUT_PARAM_ERROR, RTAS_OUT_SUCCESS, type RtasTable } from "./table.ts";
import { RTAS_GET_TIME_OF_DAY, RTAS_IBM_GET_SYSTEM_PARAMETER, RTAS_POWER_OFF, RTAS_SYSTEM_REBOOT } from "./tokens.ts";

export interface Platform {
  /** Milliseconds since 1970. */
  timeOfDay(): number;
  powerOff(): void;
  reboot(): void;
}

const SPLPAR_CHARACTERISTICS = 20;
const SYSTEM_PARAMETERS = new Map<number, string>([
  [SPLPAR_CHARACTERISTICS, "MaxEntCap=1,DesMem=0,DesProcs=1,MaxPlatProcs=1"],
]);

export function registerPlatform(table: RtasTable, platform: Platform, ram: GuestMemory): void {
  table.register({
    token: RTAS_GET_TIME_OF_DAY,
    name: "get-time-of-day",
    nargs: 0,
    nret: 8,
    handler: (frame) => {
      const now = new Date(platform.timeOfDay());
      const fields = [now.getUTCFullYear(), now.getUTCMonth() + 1, now.getUTCDate(), now.getUTCHours()];
      fields.push(now.getUTCMinutes(), now.getUTCSeconds(), now.getUTCMilliseconds() * 1_000_000);
      fields.forEach((value, index) => {
        frame.setRet(index + 1, value);
      });
      return RTAS_OUT_SUCCESS;
    },
  });
  table.register({
    token: RTAS_IBM_GET_SYSTEM_PARAMETER,
    name: "ibm,get-system-parameter",
    nargs: 3,
    nret: 1,
    handler: (frame) => {
      const value = SYSTEM_PARAMETERS.get(frame.arg(0));
      return value === undefined ? RTAS_OUT_PARAM_ERROR : storeParameter(ram, frame.arg(1), frame.arg(2), value);
    },
  });
  table.register({
    token: RTAS_POWER_OFF,
    name: "power-off",
    nargs: 2,
    nret: 1,
    handler: () => {
      platform.powerOff();
      return RTAS_OUT_SUCCESS;
    },
  });
  table.register({
    token: RTAS_SYSTEM_REBOOT,
    name: "system-reboot",
    nargs: 0,
    nret: 1,
    handler: () => {
      platform.reboot();
      return RTAS_OUT_SUCCESS;
    },
  });
}

/** A parameter is a 16-bit big-endian length (with the NUL) and its text, cut to the guest's buffer. */
function storeParameter(ram: GuestMemory, address: number, length: number, value: string): number {
  const text = new TextEncoder().encode(`${value}\0`);
  if (length < 2 || !ram.contains(address, length)) return RTAS_OUT_PARAM_ERROR;
  ram.setU16be(address, text.length);
  ram.writeBytes(address + 2, text.subarray(0, length - 2));
  return RTAS_OUT_SUCCESS;
}
