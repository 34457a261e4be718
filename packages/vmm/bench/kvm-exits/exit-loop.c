/* The C side of the exit benchmark: runs a guest program in KVM and times how long its exits take, from the first KVM_RUN
 * to the write that ends it. What it does with an exit is what any monitor has to: find the device that owns the port or
 * the address in a table, and call it.
 *
 *   exit-loop GUEST    GUEST: real-mode code for address 0x1000
 *
 * The guest writes to port 0x80 or to memory at 0x100000 and above, and ends with a write to port 0xf4. Prints nanoseconds.
 * Source: Documentation/virt/kvm/api.rst. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define RAM_BYTES 0x100000
#define ENTRY 0x1000
#define PORT_END 0xf4

static unsigned char owners[65536];
static unsigned long seen[3];

static void device_nobody(unsigned value) { seen[0] += value; }
static void device_post(unsigned value) { seen[1] += value; }
static void device_memory(unsigned value) { seen[2] += value; }
static void (*const devices[])(unsigned) = {device_nobody, device_post, device_memory};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static unsigned value_at(const unsigned char *data, unsigned width) {
  unsigned value = 0;
  memcpy(&value, data, width > 4 ? 4 : width);
  return value;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) fail("/dev/kvm");
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) fail("KVM_CREATE_VM");
  unsigned char *ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (ram == MAP_FAILED) fail("mmap");
  FILE *file = fopen(argv[1], "rb");
  if (!file || fread(ram + ENTRY, 1, RAM_BYTES - ENTRY, file) == 0) fail(argv[1]);
  fclose(file);
  struct kvm_userspace_memory_region region = {.memory_size = RAM_BYTES, .userspace_addr = (unsigned long)ram};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) fail("KVM_SET_USER_MEMORY_REGION");
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  if (vcpu < 0) fail("KVM_CREATE_VCPU");
  int length = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  struct kvm_run *run = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) fail("mmap of the run page");
  struct kvm_sregs sregs;
  if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0) fail("KVM_GET_SREGS");
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0) fail("KVM_SET_SREGS");
  struct kvm_regs regs = {.rip = ENTRY, .rflags = 2};
  if (ioctl(vcpu, KVM_SET_REGS, &regs) < 0) fail("KVM_SET_REGS");
  owners[0x80] = 1;

  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0) < 0) fail("KVM_RUN");
    if (run->exit_reason == KVM_EXIT_IO) {
      if (run->io.port == PORT_END) break;
      const unsigned char *data = (const unsigned char *)run + run->io.data_offset;
      for (unsigned i = 0; i < run->io.count; i++)
        devices[owners[run->io.port]](value_at(data + i * run->io.size, run->io.size));
    } else if (run->exit_reason == KVM_EXIT_MMIO) {
      devices[run->mmio.phys_addr >= RAM_BYTES ? 2 : 0](value_at(run->mmio.data, run->mmio.len));
    } else {
      fprintf(stderr, "exit for reason %u\n", run->exit_reason);
      return 1;
    }
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("%lld\n", (end.tv_sec - start.tv_sec) * 1000000000LL + (end.tv_nsec - start.tv_nsec));
  return 0;
}
