/** A VFIO container as a user holds it: IOMMU type, extensions, and the descriptor that IOMMU clients build on. */
import { type Host, O_CLOEXEC, O_RDWR } from "@minivmm/host";
import { VfioError } from "../error.ts";
import {
  VFIO_API_VERSION,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from "../uapi.ts";
import { ioctlsOf } from "./ioctl.ts";
import { containerOpenRefused, refused, setIommuRefused } from "./refusals.ts";

const IOMMU_TYPES = [
  VFIO_TYPE1_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_NOIOMMU_IOMMU,
];

export class VfioContainer implements Disposable {
  readonly host: Host;
  readonly fd: number;
  readonly #owned: boolean;
  #open = true;

  private constructor(host: Host, fd: number, owned: boolean) {
    this.host = host;
    this.fd = fd;
    this.#owned = owned;
  }

  /**
   * Opens /dev/vfio/vfio, or wraps a descriptor that was passed in; that one stays open at close().
   * Throws VfioError NO_CONTAINER_NODE, PERMISSION, API_VERSION.
   */
  static open(host: Host, fd?: number): VfioContainer {
    const own = fd ?? host.open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
    if (own < 0) throw containerOpenRefused(host, own);
    const container = new VfioContainer(host, own, fd === undefined);
    const version = container.apiVersion();
    if (version === VFIO_API_VERSION) return container;
    container.close();
    throw new VfioError(`descriptor ${own} answers VFIO API version ${version}, not ${VFIO_API_VERSION}`, {
      code: "API_VERSION",
      details: { fd: own, version },
      hint: "Is it a container, that is /dev/vfio/vfio?",
    });
  }

  /** VFIO_GET_API_VERSION, or -errno. */
  apiVersion(): number {
    return this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_GET_API_VERSION);
  }

  /** VFIO_CHECK_EXTENSION: 0 means no; the answer may change once an IOMMU type is set. */
  checkExtension(ext: number): number {
    return this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_CHECK_EXTENSION, ext);
  }

  /** IOMMU types that may be tried now. */
  iommuTypes(): number[] {
    return IOMMU_TYPES.filter((type) => this.checkExtension(type) > 0);
  }

  /** VFIO_SET_IOMMU; at least one group must be attached. Throws VfioError WRONG_IOMMU_TYPE, UNSAFE_INTERRUPTS, PERMISSION, REFUSED. */
  setIommu(type: number): void {
    const result = this.host.ioctl(this.fd, ioctlsOf(this.host).VFIO_SET_IOMMU, type);
    if (result < 0) throw setIommuRefused(this.host, type, this.iommuTypes(), result);
  }

  /** Any other ioctl of the container, for IOMMU clients. Throws VfioError REFUSED with `what`. */
  ioctl(request: number, arg: Uint8Array, what: string): number {
    const result = this.host.ioctl(this.fd, request, arg);
    if (result < 0) throw refused(what, result);
    return result;
  }

  /** The container lives on in the kernel while a group is attached. */
  close(): void {
    if (this.#open && this.#owned) this.host.close(this.fd);
    this.#open = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
