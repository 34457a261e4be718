// Memory that cannot be mapped for DMA: limits with what is needed, and addresses that the IOMMU does not have.
import { EINVAL, ENOMEM } from "@minivmm/host";
import * as vfio from "../../src/index.ts";
import { EDU } from "../fixture.ts";
import { iommufdHost } from "../iommufd-fixture.ts";
import { ram, type1Parts } from "../type1-fixture.ts";
import { type Failure, groupOf, MIB } from "./table.ts";

const BYTES = new Uint8Array(new SharedArrayBuffer(MIB));

/** A process with a limit, and a container of its own. */
function limited(memlock: number, hard = memlock) {
  const host = type1Parts();
  const process = host.kernel.spawn({ memlock: hard });
  process.setrlimit("memlock", { soft: memlock, hard });
  const joined = vfio.VfioContainer.open(process);
  groupOf(process, EDU).setContainer(joined);
  joined.setIommu(vfio.VFIO_TYPE1v2_IOMMU);
  return { process, type1: new vfio.Type1Container(joined) };
}

export const MEMORY: Failure[] = [
  {
    what: "a limit on locked memory that is too low",
    make: () => {
      const { type1 } = limited(MIB / 2);
      return () => type1.mapDma({ iova: 0n, memory: BYTES });
    },
    code: "MEMLOCK",
    errno: ENOMEM,
    says: ["it needs 1048576 bytes (1024 KiB) of locked memory, and the limit is 524288 bytes (512 KiB)"],
    helps: ["to 1024 KiB as root", "ulimit -l 1024", "limits.conf", "LimitMEMLOCK=", "CAP_IPC_LOCK"],
    details: { limit: MIB / 2, need: MIB, locked: 0 },
  },
  {
    what: "a limit that the user may raise, with memory locked already",
    make: () => {
      const { process, type1 } = limited(MIB, 4 * MIB);
      const { address } = ram(process, 64);
      type1.mapDma({ iova: BigInt(4 * MIB), memory: { address: BigInt(address), size: 64 * 4096 } });
      return () => type1.mapDma({ iova: 0n, memory: BYTES });
    },
    code: "MEMLOCK",
    errno: ENOMEM,
    says: ["1310720 bytes (1280 KiB)", "262144 of them in use already"],
    helps: ["in this shell: ulimit -l 1280"],
    details: { limit: MIB, need: MIB + 64 * 4096, locked: 64 * 4096 },
  },
  {
    what: "a limit that all iommufds of a user share",
    make: () => {
      const { kernel } = iommufdHost();
      const process = kernel.spawn({ memlock: MIB / 2 });
      const iommufd = vfio.Iommufd.open(process);
      const device = vfio.VfioCdev.open(process, EDU);
      device.bind(iommufd);
      const space = iommufd.allocIoas();
      device.attach(space);
      return () => space.map({ memory: BYTES });
    },
    code: "MEMLOCK",
    errno: ENOMEM,
    says: ["at least 1048576 bytes (1024 KiB)", "the limit is 524288 bytes"],
    helps: ["All of a user's iommufds count together", "ulimit -l 1024"],
    details: { limit: MIB / 2, need: MIB },
  },
  {
    what: "a limit that is met when memory is pinned for the first device",
    make: () => {
      const { kernel } = iommufdHost();
      const process = kernel.spawn({ memlock: MIB / 2 });
      const iommufd = vfio.Iommufd.open(process);
      const device = vfio.VfioCdev.open(process, EDU);
      device.bind(iommufd);
      const space = iommufd.allocIoas();
      space.map({ memory: BYTES });
      return () => device.attach(space);
    },
    code: "MEMLOCK",
    errno: ENOMEM,
    says: ["all that is mapped is pinned now", "524288 bytes"],
    helps: ["limits.conf"],
    details: { limit: MIB / 2 },
  },
  {
    what: "a host that is short of memory",
    make: () => {
      const { process, type1 } = limited(4 * MIB);
      type1.info();
      const ioctl = process.ioctl.bind(process);
      const request = vfio.type1Ioctls(process.arch).VFIO_IOMMU_MAP_DMA;
      process.ioctl = (fd, number, arg) => (number === request ? -ENOMEM : ioctl(fd, number, arg));
      return () => type1.mapDma({ iova: 0n, memory: BYTES });
    },
    code: "REFUSED",
    errno: ENOMEM,
    says: ["short of memory"],
    helps: ["give the guest less"],
  },
  {
    what: "a bus address that the IOMMU does not map",
    make: () => {
      const { type1 } = limited(4 * MIB);
      return () => type1.mapDma({ iova: 0xfee0_0000n, memory: BYTES });
    },
    code: "IOVA_RANGE",
    errno: EINVAL,
    says: ["0xfee00000", "0x0-0xfedfffff"],
    helps: ["gap below 4 GiB"],
  },
];
