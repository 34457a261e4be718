// The other calls of POWER recordings that need no guest: opening, closing, memory at the recorder's addresses, limits, sysfs.

import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, O_RDWR, PROT_READ, PROT_WRITE } from "@minivmm/host";
import { vfio_region_info, vfioIoctls } from "@minivmm/vfio-core";
import { type Answer, big, type Call, hex, type PpcScene } from "./scene.ts";

/** Where the recorder put its buffers. */
const FIRST_BUFFER = 0x2_0000_0000n;
const SECOND_BUFFER = 0x2_0100_0000n;
const BAR_BUFFER = 0x2_0200_0000n;
const HUGE_BUFFER = 0x2_4000_0000n;
const HUGE_PAGE = 0x20_0000;
const MAP_HUGETLB = 0x40000;
const READ_WRITE = PROT_READ | PROT_WRITE;
const vfio = vfioIoctls("ppc64le");

const marker: Call = () => ({ ret: 0 });

export const FILE_CALLS: Readonly<Record<string, Call>> = {
  open_container: (scene, { args }) => scene.named(args.as, scene.actor.host.open("/dev/vfio/vfio", O_RDWR)),
  open_group: (scene, { args }) => {
    const group = scene.group(args.group_of);
    return scene.named(args.as, scene.actor.host.open(`/dev/vfio/${group}`, O_RDWR));
  },
  close: (scene, { args }) => {
    const ret = scene.actor.host.close(scene.fd(args.fd));
    scene.fds.delete(String(args.fd));
    return { ret };
  },
  VFIO_GROUP_SET_CONTAINER: (scene, { args }) => {
    const { host } = scene.actor;
    const { container } = args;
    const request = vfio.VFIO_GROUP_SET_CONTAINER;
    if (container === "NULLPTR") return { ret: host.ioctl(scene.fd(args.fd), request, 0) };
    const fd =
      container === "/dev/null" ? host.open("/dev/null", O_RDWR) : container === "-1" ? -1 : scene.fd(container);
    return { ret: host.ioctl(scene.fd(args.fd), request, new Uint8Array(new Int32Array([fd]).buffer)) };
  },
  VFIO_GROUP_GET_DEVICE_FD: (scene, { args }) => {
    const name = new TextEncoder().encode(`${scene.bdf(args.name)}\0`);
    return scene.named(args.as, scene.actor.host.ioctl(scene.fd(args.fd), vfio.VFIO_GROUP_GET_DEVICE_FD, name));
  },
  mmap: (scene, { args }) => mapAt(scene, big(args.addr), Number(args.size), Number(args.prot)),
  munmap: (scene, { out }) => ({
    ret: scene.actor.munmap(big(out.addr), Number(out.size ?? scene.machine.pageSize)),
  }),
  mmap_memfd_shared: (scene) => mapAt(scene, FIRST_BUFFER, 8 * scene.machine.pageSize),
  mmap_untouched: (scene) => mapAt(scene, SECOND_BUFFER, 4 * scene.machine.pageSize),
  mmap_rootfs_file_shared: (scene) => mapAt(scene, SECOND_BUFFER, 4 * scene.machine.pageSize),
  // Whether a kernel offers huge pages is its configuration; the recording says.
  mmap_hugetlb_2M: (scene, { out }) =>
    out.ok === 1 ? mapAt(scene, HUGE_BUFFER, HUGE_PAGE, READ_WRITE, MAP_HUGETLB) : { ret: 0 },
  mmap_hugetlb_16M: marker,
  mmap_bar0: (scene) => {
    const fd = scene.fd("d0");
    const { size } = regionZero(scene, fd);
    const flags = MAP_SHARED | MAP_FIXED;
    scene.actor.host.mmap({ fd, address: BAR_BUFFER, length: Number(size), prot: READ_WRITE, flags });
    return { ret: 0, out: { size: hex(size) } };
  },
  setrlimit_MEMLOCK: (scene, { args }) => ({
    ret: scene.actor.host.setrlimit("memlock", { soft: Number(args.bytes), hard: Number.POSITIVE_INFINITY }),
  }),
  sysfs_write: (scene, { args }) => {
    const value = String(args.value);
    const ret = scene.actor.host.writeFile(`/sys/bus/pci/${args.path}`, value);
    return { ret: ret < 0 ? ret : value.length };
  },
  drop_CAP_IPC_LOCK: (scene) => ({ ret: scene.actor.drop("IPC_LOCK") }),
  after_close_container: marker,
  after_close_group: marker,
  closed: marker,
  group_closed: marker,
  recreated_slot0: marker,
  container_closed: marker,
  closed_group_fd_while_kvm_holds: marker,
  closed_kvm_vfio_dev: marker,
  closed_table_first: marker,
  group_fd_closed_kvm_still_holds: marker,
};

/** REGION_INFO of BAR 0. */
export function regionZero({ actor }: PpcScene, fd: number): { size: bigint; flags: number } {
  const info = vfio_region_info.encode({ argsz: vfio_region_info.size, index: 0 });
  actor.host.ioctl(fd, vfio.VFIO_DEVICE_GET_REGION_INFO, info);
  const { size, flags } = vfio_region_info.decode(info);
  return { size, flags };
}

function mapAt({ actor }: PpcScene, address: bigint, length: number, prot = READ_WRITE, more = 0): Answer {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | more;
  const mapping = actor.host.mmap({ address, length, prot, flags });
  return { ret: typeof mapping === "number" ? mapping : 0 };
}
