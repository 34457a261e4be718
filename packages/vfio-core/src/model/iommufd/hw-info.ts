/**
 * IOMMU_GET_HW_INFO: what hardware is in front of a device. On x86 the capability registers of a VT-d unit, as far as the
 * model's description of the unit decides them. Source: iommufd_get_hw_info; Intel VT-d specification, 11.4.2 and 11.4.3.
 */
import { EOPNOTSUPP } from "@minivmm/host";
import * as uapi from "../../uapi-iommufd.ts";
import type { IommuUnit } from "../type1/hardware.ts";
import { command } from "./command.ts";
import { iommufdDevice } from "./device.ts";

const bit = (n: number) => 1n << BigInt(n);
const CHUNK = 4096;

const CAP = { SAGAW_39: bit(9), SAGAW_48: bit(10), SAGAW_57: bit(11), MGAW: 16n, SLLPS_2M: bit(34), SLLPS_1G: bit(35) };
const ECAP = { C: bit(0), QI: bit(1), IR: bit(3), SC: bit(7), NEST: bit(26), SMTS: bit(43), SLADS: bit(45) };

export const getHwInfo = command(uapi.iommu_hw_info, 32, (value, { context, call, respond }) => {
  if (value.flags !== 0 || (value.__reserved0 | value.__reserved1 | value.__reserved2) !== 0) return -EOPNOTSUPP;
  const { unit } = iommufdDevice(context, value.dev_id);
  const x86 = context.host.kernel.arch === "x86_64";
  const data = x86 ? uapi.iommu_hw_info_vtd.encode(vtdRegisters(unit)) : new Uint8Array(0);
  const buffer = call.arg.at(value.data_uptr);
  const known = Math.min(value.data_len, data.length);
  if (known > 0) buffer.copyOut(data.subarray(0, known));
  for (let at = known; at < value.data_len; at += CHUNK) {
    buffer.copyOut(new Uint8Array(Math.min(CHUNK, value.data_len - at)), at);
  }
  value.data_len = data.length;
  value.out_data_type = x86 ? uapi.IOMMU_HW_INFO_TYPE_INTEL_VTD : uapi.IOMMU_HW_INFO_TYPE_NONE;
  value.out_capabilities = unit.dirtyTracking ? BigInt(uapi.IOMMU_HW_CAP_DIRTY_TRACKING) : 0n;
  value.out_max_pasid_log2 = 0;
  respond();
  return 0;
});

function vtdRegisters(unit: IommuUnit): { flags: number; cap_reg: bigint; ecap_reg: bigint } {
  const when = (condition: boolean, bits: bigint) => (condition ? bits : 0n);
  const scalable = unit.dirtyTracking || unit.nesting;
  return {
    flags: 0,
    cap_reg:
      (BigInt(unit.addressWidth - 1) << CAP.MGAW) |
      CAP.SAGAW_39 |
      when(unit.addressWidth >= 48, CAP.SAGAW_48) |
      when(unit.addressWidth >= 57, CAP.SAGAW_57) |
      when(unit.pageSizes.includes(0x20_0000), CAP.SLLPS_2M) |
      when(unit.pageSizes.includes(0x4000_0000), CAP.SLLPS_1G),
    ecap_reg:
      ECAP.C |
      ECAP.QI |
      when(unit.isolatedMsi, ECAP.IR) |
      when(unit.snoopControl, ECAP.SC) |
      when(scalable, ECAP.SMTS) |
      when(unit.nesting, ECAP.NEST) |
      when(unit.dirtyTracking, ECAP.SLADS),
  };
}
