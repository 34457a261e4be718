/** One ioctl of an iommufd: the struct goes with its own size, and comes back decoded. */
import type { Arch, Host, StructType } from "@minivmm/host";
import { type IommufdCommand, type IommufdIoctls, iommufdIoctls } from "../uapi-iommufd.ts";

const NUMBERS = new Map<Arch, IommufdIoctls>();

export interface IommufdReply<V> {
  /** 0 or -errno. */
  readonly result: number;
  readonly value: V;
}

/** An open iommufd, as much of it as objects need. */
export interface IommufdHandle {
  readonly host: Host;
  readonly fd: number;
}

export function iommufdCall<V extends object>(
  { host, fd }: IommufdHandle,
  name: IommufdCommand,
  struct: StructType<V & { size: number }>,
  value: Partial<V>,
): IommufdReply<V> {
  let numbers = NUMBERS.get(host.arch);
  if (!numbers) {
    numbers = iommufdIoctls(host.arch);
    NUMBERS.set(host.arch, numbers);
  }
  const arg = struct.encode({ ...value, size: struct.size } as Partial<V & { size: number }>);
  const result = host.ioctl(fd, numbers[name], arg);
  return { result, value: struct.decode(arg) };
}
