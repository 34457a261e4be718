// A character device of a modelled kernel, and a process that uses it as it would use a real one.
import { errnoName, O_RDWR, struct, u32 } from "@minivmm/host";
import { ModelKernel } from "@minivmm/host/model";

const adder = struct("adder", { a: u32, b: u32, sum: u32 });

// The kernel's side: one ioctl that adds two numbers in place.
const kernel = new ModelKernel({ arch: "ppc64le" });
const ADD = kernel.ioctls.IOWR(0x61, 1, adder.size);
kernel.registerNode("/dev/adder", () => ({
  kind: "adder",
  ioctl({ request, arg }) {
    if (request !== ADD) return -25; // ENOTTY
    const { a, b } = adder.decode(arg.copyIn(adder.size));
    arg.copyOut(adder.encode({ a, b, sum: a + b }));
    return 0;
  },
}));

// The process's side: the same calls that realHost() offers.
const host = kernel.spawn();
const fd = host.open("/dev/adder", O_RDWR);
const bytes = adder.encode({ a: 30, b: 12 });
console.log(`ioctl 0x${ADD.toString(16)}:`, host.ioctl(fd, ADD, bytes), adder.decode(bytes));
console.log("a wild pointer:", errnoName(host.ioctl(fd, ADD, 0x1000n)));
console.log("another command:", errnoName(host.ioctl(fd, ADD + 1)));
host.exit();
