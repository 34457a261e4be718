// Flag values of the Linux system calls that Host offers. The values listed are the same on x86_64 and ppc64le.
// Sources: asm-generic/fcntl.h, asm-generic/mman-common.h, linux/eventfd.h.

export const O_RDONLY = 0o0;
export const O_WRONLY = 0o1;
export const O_RDWR = 0o2;
export const O_ACCMODE = 0o3;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

export const EFD_SEMAPHORE = 0o1;
export const EFD_NONBLOCK: number = O_NONBLOCK;
export const EFD_CLOEXEC: number = O_CLOEXEC;

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
/** Reserve no swap for the pages. */
export const MAP_NORESERVE: number = 0x4000;
