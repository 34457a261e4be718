// Guest memory for compiled code that no CPU calls: through the memory slots and the process behind them, as the VM's
// owner would see it. Lists of TCEs are all that is read.
import type { Vm } from "@minivmm/kvm/model";
import { TceList } from "../tce-list.ts";

/** The imports `ramAt` and `load64`. An address is 8 plus the byte of the list that was asked for last. */
export function userMemory(vm: Vm) {
  const list = new TceList(vm.process.mm);
  const first = 8;
  return {
    ramAt(real: bigint, bytes: number): number {
      const user = vm.slots.userAddressOf(Number(BigInt.asUintN(64, real)));
      if (user < 0) return 0;
      list.open(user);
      return list.read(Math.max(bytes / 8 - 1, 0)) ? first : 0;
    },
    load64(address: number): bigint {
      list.read((address - first) / 8);
      const bytes = new DataView(new ArrayBuffer(8));
      bytes.setUint32(0, list.hi);
      bytes.setUint32(4, list.lo);
      return bytes.getBigInt64(0, true);
    },
  };
}
