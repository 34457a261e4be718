// The real kernel: ask /dev/kvm who it is, and be told when an eventfd becomes readable.
import { EFD_NONBLOCK, ioctlNumbers, O_CLOEXEC, O_RDWR, realHost } from "@minivmm/host";

async function main(): Promise<void> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return console.log("skipped: real system calls need Linux on x86_64");
  }
  const host = realHost();
  const kvm = host.open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) return console.log("skipped: there is no usable /dev/kvm here");

  const { IO } = ioctlNumbers(host.arch);
  console.log("KVM API version:", host.ioctl(kvm, IO(0xae, 0x00)));
  console.log("bytes of a vCPU's kvm_run:", host.ioctl(kvm, IO(0xae, 0x04)));

  const event = host.eventfd(0, EFD_NONBLOCK);
  const count = new BigUint64Array(1);
  const arrived = new Promise<void>((resolve) => {
    host.watch(event, () => {
      host.read(event, new Uint8Array(count.buffer));
      resolve();
    });
  });
  host.write(event, new Uint8Array(BigUint64Array.of(3n).buffer));
  await arrived;
  console.log("eventfd counted:", count[0]);
  host.exit();
}

await main();
