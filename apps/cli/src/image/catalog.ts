// The guest images that can be fetched: each is a kernel package of a distribution, found through that distribution's
// own meta package, so that a security update needs no change here.

export interface ImageSource {
  readonly name: string;
  readonly summary: string;
  /** Architecture in the package manager's words. */
  readonly architecture: string;
  /** Package whose first dependency is the kernel of today. */
  readonly metaPackage: string;
  /** What the kernel's file name begins with, in boot/. */
  readonly kernelPrefix: string;
}

export const IMAGES: Readonly<Record<string, ImageSource>> = {
  "debian-ppc64el": {
    name: "debian-ppc64el",
    summary: "Debian's kernel for little-endian POWER, with its modules",
    architecture: "ppc64el",
    metaPackage: "linux-image-powerpc64le",
    kernelPrefix: "vmlinux-",
  },
};
